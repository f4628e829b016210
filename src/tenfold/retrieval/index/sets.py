"""What was discarded goes batch by batch, and a process that dies at it leaves no row behind for good: the knowledge
base names a set until the last of its rows is gone.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from tenfold.retrieval.index import queries
from tenfold.retrieval.lease import KnowledgeBase, Lease

_ROWS_PER_BATCH: Final = 5_000  # some 50 ms


async def tidy(lease: Lease) -> None:
    """Deletes the rows of sets that nothing is searched in any more. Raises Conflict, StoreUnavailable."""
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
    await _delete(lease, kb, kb.discarded_words, queries.DELETE_WORDS_OF, queries.WORDS_ARE_GONE)
    await _delete(lease, kb, kb.discarded_vectors, queries.DELETE_VECTORS_OF, queries.VECTORS_ARE_GONE)


async def _delete(lease: Lease, kb: KnowledgeBase, sets: Sequence[UUID], delete_rows: str, note: str) -> None:
    for each in sets:
        gone = _ROWS_PER_BATCH
        while gone == _ROWS_PER_BATCH:
            async with lease.store.tenant(lease.tenant_id) as tx:
                await lease.hold(tx)
                tag = await tx.execute(delete_rows, lease.tenant_id, each, _ROWS_PER_BATCH)
                gone = int(tag.removeprefix("DELETE "))
                if gone < _ROWS_PER_BATCH:
                    await tx.execute(note, lease.tenant_id, kb.id, each)
