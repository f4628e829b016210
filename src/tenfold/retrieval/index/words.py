"""The words of a knowledge base anew, from its chunks, which hold all they are made of. They are made beside those that
are searched; whoever makes them holds the lease to write, so that no chunk comes or goes meanwhile.
"""

from typing import Final

from tenfold.core.ids import uuid7
from tenfold.retrieval import analyzer
from tenfold.retrieval import queries as of_chunks
from tenfold.retrieval.index import queries
from tenfold.retrieval.index.progress import Progress, nobody_looks
from tenfold.retrieval.index.sets import tidy
from tenfold.retrieval.lease import Lease
from tenfold.retrieval.prepare import indexed_words

_CHUNKS_PER_BATCH: Final = 200


async def renew_words(lease: Lease) -> None:
    """Made, switched to, and the old ones deleted. Raises Conflict, StoreUnavailable."""
    await switch_words(lease, await make_words(lease))
    await tidy(lease)


async def make_words(lease: Lease, progress: Progress = nobody_looks) -> int:
    """The next set of words, from the first chunk on; one that was begun before is discarded. Returns how many words
    there are in all."""
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        made = uuid7()
        await tx.execute(queries.BEGIN_WORDS, lease.tenant_id, kb.id, made)
    last, terms, done = -1, 0, 0
    while True:
        async with lease.store.tenant(lease.tenant_id) as tx:
            await lease.hold(tx)
            rows = await tx.fetch(of_chunks.CHUNKS_AFTER, lease.tenant_id, kb.id, last, _CHUNKS_PER_BATCH)
            if not rows:
                return terms
            words = [indexed_words(row["title"], row["heading"], row["text"]) for row in rows]
            numbers = [row["number"] for row in rows]
            terms += await tx.fetchval(of_chunks.INSERT_POSTINGS, lease.tenant_id, made, numbers, words)
        last, done = numbers[-1], done + len(rows)
        progress("words", done, kb.chunk_count)


async def switch_words(lease: Lease, terms: int) -> None:
    """Searches go by the words that were made, in one row."""
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        await tx.execute(queries.SWITCH_WORDS, lease.tenant_id, kb.id, analyzer.VERSION, terms)


async def discard_words(lease: Lease) -> None:
    """What was made is not wanted, or was left behind by a process that died."""
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        await tx.execute(queries.BEGIN_WORDS, lease.tenant_id, kb.id, None)
