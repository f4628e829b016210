"""Knowledge bases of all tenants follow the wanted embedder, in the background: now and then the ones whose vectors are
of another are made anew, one after the other.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from tenfold.core.errors import Conflict, StoreUnavailable, TenfoldError
from tenfold.core.ids import TenantId
from tenfold.retrieval.index import queries
from tenfold.retrieval.index.types import IndexStatus, State
from tenfold.retrieval.index.vectors import reembed
from tenfold.retrieval.ports import Embedders
from tenfold.store import Row, Store, tenants_among

logger = logging.getLogger(__name__)

EVERY_S: Final = 60.0


async def reembed_all(
    store: Store, embedders: Embedders, wanted: str, made: Callable[[int], None] = lambda _vectors: None
) -> None:
    """`wanted`: the fingerprint of the embedder that new vectors are made by. `made` is told of each knowledge base how
    many there were. What another process is at is left to it, and an embedder that fails for one tenant holds up no
    other. Raises StoreUnavailable."""
    for tenant_id in await tenants_among(store, queries.TENANTS_TO_MAKE, wanted):
        for kb in await to_make(store, tenant_id, wanted):
            try:
                made(await reembed(store, tenant_id, kb, embedders))
            except Conflict:
                continue
            except StoreUnavailable:
                raise
            except TenfoldError as error:
                logger.warning("the vectors of %s in tenant %s are not made anew: %s", kb, tenant_id, error.message)


async def to_make(store: Store, tenant_id: TenantId, wanted: str) -> list[str]:
    """The names of the tenant's knowledge bases with vectors of another embedder, or with sets to delete."""
    async with store.tenant(tenant_id, readonly=True) as tx:
        return [row["name"] for row in await tx.fetch(queries.TO_MAKE, tenant_id, wanted)]


async def statuses(
    store: Store, tenant_id: TenantId, embedders: Embedders, *, after: str = "", limit: int = 100
) -> Sequence[IndexStatus]:
    """A page of the tenant's knowledge bases in the order of their names. Raises StoreUnavailable."""
    async with store.tenant(tenant_id, readonly=True) as tx:
        rows = await tx.fetch(queries.INDEXES, tenant_id, after, limit)
    return [_status(row, there=embedders.named(tenant_id, row["embedder"]) is not None) for row in rows]


def _status(row: Row, *, there: bool) -> IndexStatus:
    return IndexStatus(
        kb=row["name"],
        documents=row["document_count"],
        chunks=row["chunk_count"],
        embedder=row["embedder"],
        embedded=row["vectors"],
        next_embedder=row["next_embedder"],
        next_embedded=row["next_vectors"],
        without_text=row["without_text"],
        discarded=row["discarded"],
        state=_state(row, there=there),
    )


def _state(row: Row, *, there: bool) -> State:
    if row["next_embedder"] not in (None, row["embedder"]):  # the same one: a rebuild compares
        return "switching"
    return "ready" if row["embedded"] and there else "words"
