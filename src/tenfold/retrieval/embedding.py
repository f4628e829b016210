"""Fills in the vectors that a knowledge base lacks, batch by batch. It may stop anywhere and goes on from there."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.retrieval import queries
from tenfold.retrieval.index.queries import BEGIN_VECTORS
from tenfold.retrieval.lease import KnowledgeBase, Lease
from tenfold.retrieval.ports import Embedder, Embedders
from tenfold.retrieval.prepare import embedded_text
from tenfold.store import Row, Store, Transaction

_CHUNKS_PER_BATCH = 64


async def embed_missing(store: Store, tenant_id: TenantId, kb: str, embedders: Embedders) -> int | None:
    """Returns how many vectors were made, by the embedder that made those which are there; the first are made by the
    wanted one. None: their embedder is gone, and only another set helps, which `index.vectors` makes.

    Raises Conflict (another process does it), UpstreamError (the embedder), StoreUnavailable."""
    lease = Lease(store, tenant_id, kb, "embed")
    await lease.create()
    try:
        embedder = await _embedder(lease, embedders)
        return None if embedder is None else await fill(lease, embedder, _searched, _note_all)
    finally:
        await lease.release()


async def _embedder(lease: Lease, embedders: Embedders) -> Embedder | None:
    """None: there is none, or not the one that the vectors are of."""
    wanted = embedders.wanted(lease.tenant_id)
    if wanted is None:
        return None
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        if kb.next_embedder is not None and kb.next_embedder == kb.embedder and kb.nobody_reembeds:
            # A rebuild that died had made them to compare.
            await tx.execute(BEGIN_VECTORS, lease.tenant_id, kb.id, None, None)
        if kb.embedder == wanted.fingerprint:
            return wanted
        if kb.embedder is None or not await tx.fetchval(queries.HAS_VECTORS, lease.tenant_id, kb.vectors_set):
            await tx.execute(queries.SET_EMBEDDER, lease.tenant_id, kb.id, wanted.fingerprint)
            return wanted
    return embedders.named(lease.tenant_id, kb.embedder)


def _searched(kb: KnowledgeBase) -> UUID:
    return kb.vectors_set


async def _note_all(tx: Transaction, kb: KnowledgeBase, tenant_id: TenantId) -> None:
    await tx.execute(queries.SET_EMBEDDED, tenant_id, kb.id)


async def fill(
    lease: Lease,
    embedder: Embedder,
    where: Callable[[KnowledgeBase], UUID],
    complete: Callable[[Transaction, KnowledgeBase, TenantId], Awaitable[None]],
    made_so_far: Callable[[int], None] = lambda _made: None,
) -> int:
    """Makes the vectors that the set `where` lacks; `complete` is called under the same lock that finds none lacking.
    Returns how many were made. Raises as `embed_missing` does."""
    async with lease.store.tenant(lease.tenant_id) as tx:
        insert = queries.INSERT_VECTOR.format(type=await tx.fetchval(queries.VECTOR_TYPE))
    made, last = 0, -1
    while True:
        async with lease.store.tenant(lease.tenant_id) as tx:
            kb = await lease.hold(tx)
            rows = await _lacking(tx, lease.tenant_id, kb.id, last, where(kb))
            if not rows:
                await complete(tx, kb, lease.tenant_id)
                return made
        vectors = await embedder.embed_passages(
            [embedded_text(row["title"], row["heading"], row["text"]) for row in rows]
        )
        await _put(lease, insert, where, rows, vectors)
        made += len(rows)
        last = rows[-1]["number"]
        made_so_far(made)


async def _lacking(tx: Transaction, tenant_id: TenantId, kb_id: UUID, last: int, vectors: UUID) -> list[Row]:
    """The next chunks without a vector; from the first on when there are none left."""
    rows = await tx.fetch(queries.UNEMBEDDED, tenant_id, kb_id, last, _CHUNKS_PER_BATCH, vectors)
    return rows or await tx.fetch(queries.UNEMBEDDED, tenant_id, kb_id, -1, _CHUNKS_PER_BATCH, vectors)


async def _put(
    lease: Lease,
    insert: str,
    where: Callable[[KnowledgeBase], UUID],
    rows: Sequence[Row],
    vectors: Sequence[list[float]],
) -> None:
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        await tx.executemany(
            insert,
            [
                (lease.tenant_id, kb.id, row["number"], vector, where(kb))
                for row, vector in zip(rows, vectors, strict=True)
            ],
        )
