"""Proves that the index is a cache: everything derived is made again from the documents' rows, beside what is searched,
and compared with it. With `switch` what was made takes its place; without it, it is deleted again.
"""

from collections.abc import Collection
from itertools import groupby
from math import hypot
from operator import mul
from typing import Final

from msgspec import convert

from tenfold.core.errors import NotFound
from tenfold.core.ids import TenantId
from tenfold.retrieval.chunker import Chunk
from tenfold.retrieval.embedding import fill
from tenfold.retrieval.index import queries
from tenfold.retrieval.index.progress import Part, Progress, nobody_looks
from tenfold.retrieval.index.sets import tidy
from tenfold.retrieval.index.types import MAX_EXAMPLES, Compared, Rebuilt
from tenfold.retrieval.index.vectors import discard_vectors, make_vectors, next_set, switch_vectors
from tenfold.retrieval.index.words import discard_words, make_words, switch_words
from tenfold.retrieval.ingest import replace
from tenfold.retrieval.lease import Lease
from tenfold.retrieval.ports import Embedder, Embedders
from tenfold.retrieval.prepare import Prepared, content_hash, prepare
from tenfold.retrieval.queries import FIND_KB
from tenfold.retrieval.types import Chunking, SourceDocument
from tenfold.store import Row, Store

PARTS: Final[tuple[Part, ...]] = ("documents", "words", "vectors")

_DOCUMENTS_PER_BATCH: Final = 8  # of 4 MB of text at most
_WORDS_PER_BATCH: Final = 2_000
_VECTORS_PER_BATCH: Final = 200
_SAME_COSINE: Final = 0.9999  # halves keep 11 bits, and threads and machines may add up in another order


async def rebuild(
    store: Store,
    tenant_id: TenantId,
    kb: str,
    embedders: Embedders,
    *,
    parts: Collection[Part] = PARTS,
    switch: bool = False,
    progress: Progress = nobody_looks,
) -> Rebuilt:
    """While documents and words are compared nobody else writes to the knowledge base; it is searched throughout.

    Raises NotFound, Conflict (another process writes, or embeds), UpstreamError (the embedder), StoreUnavailable."""
    async with store.tenant(tenant_id, readonly=True) as tx:
        if await tx.fetchrow(FIND_KB, tenant_id, kb) is None:
            raise NotFound(f"There is no knowledge base '{kb}'.")
    compared: list[Compared] = []
    if "documents" in parts or "words" in parts:
        lease = Lease(store, tenant_id, kb, "write")
        try:
            if "documents" in parts:
                compared.append(await _documents(lease, switch, progress))
            if "words" in parts:
                compared.append(await _words(lease, switch, progress))
        finally:
            await lease.release()
    if "vectors" in parts:
        lease = Lease(store, tenant_id, kb, "reembed")
        try:
            compared.append(await _vectors(lease, embedders, switch, progress))
        finally:
            await lease.release()
    return Rebuilt(kb=kb, parts=compared)


# -- documents ------------------------------------------------------------------------


async def _documents(lease: Lease, switch: bool, progress: Progress) -> Compared:
    """Their hashes and chunks. With `switch` what differs is cut anew, like a document that has changed."""
    found = Compared(part="documents")
    last = ""
    while True:
        async with lease.store.tenant(lease.tenant_id) as tx:
            kb = await lease.hold(tx)
            rows = await tx.fetch(queries.DOCUMENTS_AFTER, lease.tenant_id, kb.id, last, _DOCUMENTS_PER_BATCH)
            ids = [row["id"] for row in rows]
            chunks = await tx.fetch(queries.CHUNKS_OF, lease.tenant_id, kb.id, ids)
            counted = await tx.fetchrow(queries.COUNTED, lease.tenant_id, kb.id)
        assert counted is not None
        if not rows:
            break
        stored = {name: list(group) for name, group in groupby(chunks, key=lambda row: str(row["document_id"]))}
        wrong = [made for row in rows if (made := _remade(row, stored.get(row["id"], []), found)) is not None]
        if wrong and switch:
            await replace(lease, wrong, known={item.document.id for item in wrong})
        last = ids[-1]
        progress("documents", found.checked, counted["documents"])
    if (counted["document_count"], counted["chunk_count"]) != (counted["documents"], counted["chunks"]):
        found.differs(
            f"{counted['document_count']} documents and {counted['chunk_count']} chunks are noted,"
            f" {counted['documents']} and {counted['chunks']} are there"
        )
        if switch:
            async with lease.store.tenant(lease.tenant_id) as tx:
                await lease.hold(tx)
                there = (counted["documents"], counted["chunks"])
                await tx.execute(queries.SET_COUNTS, lease.tenant_id, kb.id, *there)
    found.switched = switch and not found.equal
    return found


def _remade(row: Row, stored: list[Row], found: Compared) -> Prepared | None:
    """The document made again where it differs from what is stored; None where it does not, or cannot be told."""
    found.checked += 1
    if row["text"] is None:
        found.differs(f"{row['id']}: its text was not kept; read it in again")
        return None
    document = SourceDocument(
        id=row["id"],
        text=row["text"],
        title=row["title"],
        url=row["url"],
        metadata=row["metadata"],
        chunking=None if row["chunking"] is None else convert(row["chunking"], Chunking),
    )
    hashed = content_hash(document)
    [made] = prepare([document], [hashed])
    if hashed != row["hash"]:
        found.differs(f"{row['id']}: its hash is not that of its text")
        return made
    if made.chunks != [_chunk(each) for each in stored]:
        found.differs(f"{row['id']}: {len(made.chunks)} chunks are cut from its text, {len(stored)} others are stored")
        return made
    return None


def _chunk(row: Row) -> Chunk:
    return Chunk(heading=row["heading"], text=row["text"], start=row["span_start"], end=row["span_end"])


# -- words ------------------------------------------------------------------------


async def _words(lease: Lease, switch: bool, progress: Progress) -> Compared:
    found = Compared(part="words")
    terms = await make_words(lease, progress)
    last: str | None = ""
    noted = 0
    while last is not None:
        async with lease.store.tenant(lease.tenant_id) as tx:
            kb = await lease.hold(tx)
            both = (lease.tenant_id, kb.words_set, kb.next_words_set)
            until = await tx.fetchval(queries.WORDS_UNTIL, *both, last, _WORDS_PER_BATCH)
            row = await tx.fetchrow(queries.COMPARE_WORDS, *both, last, until, MAX_EXAMPLES)
            noted = await tx.fetchval(queries.NOTED_WORDS, lease.tenant_id, kb.id)
        assert row is not None  # sums always come
        found.checked += row["checked"]
        found.differing += row["differing"]
        found.examples += (row["examples"] or [])[: MAX_EXAMPLES - len(found.examples)]
        last = until
    if noted != terms:
        found.differs(f"{noted} words are noted in all, {terms} are there")
    if switch:
        await switch_words(lease, terms)
        found.switched = True
    else:
        await discard_words(lease)
    await tidy(lease)
    return found


# -- vectors ------------------------------------------------------------------------


async def _vectors(lease: Lease, embedders: Embedders, switch: bool, progress: Progress) -> Compared:
    """By the embedder that made those which are searched; none are made where it is not there, or nothing is embedded
    yet. A chunk that has no vector yet is no difference."""
    found = Compared(part="vectors")
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
    embedder = embedders.named(lease.tenant_id, kb.embedder)
    if embedder is None:
        if kb.embedder is not None:
            found.differs(f"the embedder {kb.embedder!r} is not there, so its vectors cannot be made again")
        return found
    await make_vectors(lease, embedder, progress)
    last = -1
    while rows := await _pairs(lease, last):
        for row in rows:
            _compare(row, found)
        last = rows[-1]["number"]
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        orphans = await tx.fetchval(queries.ORPHANS, lease.tenant_id, kb.vectors_set, kb.id)
    if orphans:
        found.differs(f"{orphans} vectors are of chunks that are gone")
    if switch:
        await _switch(lease, embedder)
        found.switched = True
    else:
        await discard_vectors(lease)
    await tidy(lease)
    return found


async def _pairs(lease: Lease, last: int) -> list[Row]:
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        both = (lease.tenant_id, kb.vectors_set, next_set(kb))
        return await tx.fetch(queries.VECTORS_AFTER, *both, last, _VECTORS_PER_BATCH, kb.id)


def _compare(row: Row, found: Compared) -> None:
    one, other = row["one"], row["other"]
    if one is None or other is None:  # not embedded yet, there or here
        return
    found.checked += 1
    if one == other:
        cosine = 1.0
    elif len(one) != len(other):
        cosine = 0.0
    else:
        cosine = sum(map(mul, one, other)) / ((hypot(*one) * hypot(*other)) or 1.0)
    found.lowest_cosine = min(cosine, 1.0 if found.lowest_cosine is None else found.lowest_cosine)
    if cosine < _SAME_COSINE:
        found.differs(f"{row['document_id']}, chunk {row['ordinal']}: cosine {cosine:.4f} to the new vector")


async def _switch(lease: Lease, embedder: Embedder) -> None:
    """Once what came meanwhile has its vector too."""
    await fill(lease, embedder, next_set, switch_vectors)
