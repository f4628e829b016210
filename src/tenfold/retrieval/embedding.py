"""Fills in the vectors that a knowledge base lacks, batch by batch. It may stop anywhere and goes on from there."""

from collections.abc import Sequence
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.retrieval import queries
from tenfold.retrieval.lease import Lease
from tenfold.retrieval.ports import Embedder
from tenfold.retrieval.prepare import embedded_text
from tenfold.store import Row, Store

_CHUNKS_PER_BATCH = 32


async def embed_missing(store: Store, tenant_id: TenantId, kb: str, embedder: Embedder) -> int:
    """Returns how many vectors were made. Vectors of another model are dropped first.

    Raises Conflict (another process does it), UpstreamError (the embedder), StoreUnavailable."""
    lease = Lease(store, tenant_id, kb, "embed")
    await lease.create()
    made, last = 0, -1
    try:
        async with store.tenant(tenant_id) as tx:
            found = await lease.hold(tx)
            if found.embedder != embedder.fingerprint:
                await tx.execute(queries.FORGET_VECTORS, tenant_id, found.id)
                await tx.execute(queries.SET_EMBEDDER, tenant_id, found.id, embedder.fingerprint)
            insert = queries.INSERT_VECTOR.format(type=await tx.fetchval(queries.VECTOR_TYPE))
        while rows := await _next(lease, last):
            vectors = await embedder.embed([embedded_text(row["title"], row["heading"], row["text"]) for row in rows])
            await _put(lease, insert, found.id, rows, vectors)
            made += len(rows)
            last = rows[-1]["number"]
    finally:
        await lease.release()
    return made


async def _next(lease: Lease, last: int) -> list[Row]:
    """The next chunks without a vector; when there are none left, that is noted under the same lock."""
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        rows = await tx.fetch(queries.UNEMBEDDED, lease.tenant_id, kb.id, last, _CHUNKS_PER_BATCH)
        if not rows:
            rows = await tx.fetch(queries.UNEMBEDDED, lease.tenant_id, kb.id, -1, _CHUNKS_PER_BATCH)
        if not rows:
            await tx.execute(queries.SET_EMBEDDED, lease.tenant_id, kb.id)
        return rows


async def _put(lease: Lease, insert: str, kb_id: UUID, rows: Sequence[Row], vectors: Sequence[list[float]]) -> None:
    async with lease.store.tenant(lease.tenant_id) as tx:
        await lease.hold(tx)
        await tx.executemany(
            insert,
            [(lease.tenant_id, kb_id, row["number"], vector) for row, vector in zip(rows, vectors, strict=True)],
        )
