"""Another embedder takes over: its vectors are made beside those that are searched, and one row switches.

It may stop anywhere, killed or not, and goes on from there. Searches are served by the old vectors throughout, and what
is read in meanwhile gets its vector in both sets.
"""

from typing import Final
from uuid import UUID

from tenfold.core.errors import Conflict
from tenfold.core.ids import TenantId, uuid7
from tenfold.retrieval.embedding import fill
from tenfold.retrieval.index import queries
from tenfold.retrieval.index.progress import Progress, nobody_looks
from tenfold.retrieval.index.sets import tidy
from tenfold.retrieval.lease import KnowledgeBase, Lease
from tenfold.retrieval.ports import Embedder, Embedders
from tenfold.store import Store, Transaction

_TAKEN_AWAY: Final = "The vectors in the making were discarded; another embedder is wanted by now."


async def reembed(
    store: Store, tenant_id: TenantId, kb: str, embedders: Embedders, progress: Progress = nobody_looks
) -> int:
    """Vectors of the wanted embedder in the place of those of another one; returns how many were made. None are, where
    the wanted one made those that are there.

    Raises Conflict (another process does it), UpstreamError (the embedder), StoreUnavailable."""
    embedder = embedders.wanted(tenant_id)
    if embedder is None:
        return 0
    lease = Lease(store, tenant_id, kb, "reembed")
    await lease.create()
    try:
        made = 0
        async with store.tenant(tenant_id) as tx:
            needed = (await lease.hold(tx)).embedder not in (None, embedder.fingerprint)
        if needed:
            made = await make_vectors(lease, embedder, progress, switch=True)
        else:
            await discard_vectors(lease)
        await tidy(lease)
        return made
    finally:
        await lease.release()


async def make_vectors(
    lease: Lease, embedder: Embedder, progress: Progress = nobody_looks, *, switch: bool = False
) -> int:
    """The next set of vectors; one of the same embedder that was begun before is gone on with, any other is discarded.
    With `switch` searches go by it in the moment in which no chunk lacks its vector. Returns how many were made."""
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        if kb.next_vectors_set is None or kb.next_embedder != embedder.fingerprint:
            await tx.execute(queries.BEGIN_VECTORS, lease.tenant_id, kb.id, uuid7(), embedder.fingerprint)
            there = 0
        else:
            there = await tx.fetchval(queries.COUNT_VECTORS, lease.tenant_id, kb.next_vectors_set)
    return await fill(
        lease,
        embedder,
        next_set,
        switch_vectors if switch else _leave,
        lambda made: progress("vectors", there + made, kb.chunk_count),
    )


async def discard_vectors(lease: Lease) -> None:
    """What was made, or begun, is not wanted."""
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        if kb.next_vectors_set is not None:
            await tx.execute(queries.BEGIN_VECTORS, lease.tenant_id, kb.id, None, None)


def next_set(kb: KnowledgeBase) -> UUID:
    """Raises Conflict: it was discarded."""
    if kb.next_vectors_set is None:
        raise Conflict(_TAKEN_AWAY)
    return kb.next_vectors_set


async def switch_vectors(tx: Transaction, kb: KnowledgeBase, tenant_id: TenantId) -> None:
    """See `embedding.fill`: the lock under which none is lacking is the one under which searches change over."""
    await tx.execute(queries.SWITCH_VECTORS, tenant_id, kb.id)


async def _leave(_tx: Transaction, _kb: KnowledgeBase, _tenant_id: TenantId) -> None:
    """They are to be compared first."""
