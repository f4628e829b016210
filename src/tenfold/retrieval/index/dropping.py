"""A knowledge base goes whole."""

from tenfold.core.errors import Conflict
from tenfold.core.ids import TenantId
from tenfold.retrieval import documents
from tenfold.retrieval.index import queries
from tenfold.retrieval.index.sets import tidy
from tenfold.retrieval.index.vectors import discard_vectors
from tenfold.retrieval.index.words import discard_words
from tenfold.retrieval.ingest import delete
from tenfold.retrieval.lease import Lease
from tenfold.retrieval.queries import FIND_KB
from tenfold.store import Store

_DOCUMENTS_PER_BATCH = 200


async def drop(store: Store, tenant_id: TenantId, kb: str) -> bool:
    """Documents, sets and the knowledge base itself; False: there was none. May be repeated after a crash.

    Raises Conflict (another process writes), StoreUnavailable."""
    async with store.tenant(tenant_id, readonly=True) as tx:
        if await tx.fetchrow(FIND_KB, tenant_id, kb) is None:
            return False
    while ids := await documents.ids(store, tenant_id, kb, limit=_DOCUMENTS_PER_BATCH):
        await delete(store, tenant_id, kb, ids)
    lease = Lease(store, tenant_id, kb, "write")
    try:
        await discard_words(lease)
        await discard_vectors(lease)
        await tidy(lease)
        async with store.tenant(tenant_id) as tx:
            found = await lease.hold(tx)
            if await tx.fetchval(queries.DELETE_KB, tenant_id, found.id) is None:
                raise Conflict(f"Somebody wrote to the knowledge base '{kb}' while it was dropped.")
    finally:
        await lease.release()
    return True
