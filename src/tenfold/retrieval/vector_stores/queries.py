"""The SQL of vector stores. Each query names its tenant; all times are the database's. That of their files is in
`file_queries`.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import UNSET

from tenfold.cache.grounds import DOCUMENTS_TOPIC
from tenfold.core.ids import TenantId
from tenfold.retrieval import analyzer
from tenfold.retrieval.queries import CREATE_KB
from tenfold.retrieval.vector_stores.file_queries import DELETE_FILES, PostgresStoreFiles, counts_of
from tenfold.retrieval.vector_stores.ports import ToEmpty
from tenfold.retrieval.vector_stores.types import (
    NewStore,
    Place,
    StoreChanges,
    VectorStore,
    store_name,
)
from tenfold.store import ReadTransaction, Row, Transaction, tell_change, tenants_among

_IS_EXPIRED = "(s.state = 'expired' OR coalesce(s.expires_at <= now(), false))"

_TOLD = f"""s.tenant_id, s.id, s.title, s.description, s.metadata, s.expires_days, s.expires_at, s.created_at,
       s.last_active_at, {_IS_EXPIRED} AS expired, s.last_active_at < now() - interval '1 minute' AS idle"""

_STORE = f"""
SELECT {_TOLD}, c.*
FROM vector_stores s CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE status = 'in_progress') AS in_progress,
           count(*) FILTER (WHERE status = 'completed') AS completed,
           count(*) FILTER (WHERE status = 'failed') AS failed,
           count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
           coalesce(sum(usage_bytes), 0)::bigint AS usage_bytes
    FROM vector_store_files f WHERE f.tenant_id = s.tenant_id AND f.store_id = s.id
) c
WHERE s.tenant_id = $1 AND s.state <> 'deleted'
"""  # noqa: S608  (what is put in stands above)

FIND = f"{_STORE} AND s.id = $2"

BRIEF = f"""
SELECT {_TOLD}, 0 AS in_progress, 0 AS completed, 0 AS failed, 0 AS cancelled, 0 AS usage_bytes
FROM vector_stores s WHERE s.tenant_id = $1 AND s.state <> 'deleted' AND s.id = ANY ($2::uuid[])
"""  # noqa: S608

TITLED = f"{_STORE} AND s.title = $2 AND NOT {_IS_EXPIRED} ORDER BY s.id LIMIT 1"

PAGE = f"{_STORE} AND ($2::uuid IS NULL OR s.id > $2) AND ($3::uuid IS NULL OR s.id < $3) ORDER BY s.id"
UPWARDS, DOWNWARDS = f"{PAGE} LIMIT $4", f"{PAGE} DESC LIMIT $4"

# How many stores a tenant has is bounded, and of a title that is asked for there is one: new ones come one by one.
LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('tenfold.vector_stores ' || $1::uuid::text, 0))"

COUNT = "SELECT count(*) FROM vector_stores WHERE tenant_id = $1 AND state <> 'deleted'"

ADD = """
INSERT INTO vector_stores (tenant_id, id, title, description, metadata, expires_days, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(days => $6::integer)) ON CONFLICT DO NOTHING
"""

# $5: whether the days ($6) are set.
UPDATE = f"""
UPDATE vector_stores s SET
    title = coalesce($3, title), metadata = coalesce($4, metadata),
    expires_days = CASE WHEN $5 THEN $6::integer ELSE expires_days END, last_active_at = now(),
    expires_at = now() + make_interval(days => CASE WHEN $5 THEN $6::integer ELSE expires_days END)
WHERE tenant_id = $1 AND id = $2 AND state = 'live' AND NOT {_IS_EXPIRED}
"""  # noqa: S608

TOUCH = f"""
UPDATE vector_stores s SET last_active_at = now(), expires_at = now() + make_interval(days => expires_days)
WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND state = 'live' AND NOT {_IS_EXPIRED}
  AND last_active_at < now() - interval '1 minute'
"""  # noqa: S608

HIDE = """
UPDATE vector_stores SET state = 'deleted', emptied_at = NULL
WHERE tenant_id = $1 AND id = $2 AND state <> 'deleted' RETURNING TRUE
"""

# Under another name nobody finds it, whoever asks: neither searches nor those that keep answers of its documents.
RENAME = "UPDATE knowledge_bases SET name = 'dropped-' || name WHERE tenant_id = $1 AND id = $2"

TENANTS_TO_TIDY = "SELECT tenfold.tenants_with_vector_stores_to_tidy($1)"

EXPIRE = """
UPDATE vector_stores SET state = 'expired' WHERE tenant_id = $1 AND state = 'live' AND expires_at <= now()
"""

TO_EMPTY = """
SELECT s.id, k.name, s.state = 'deleted' AS deleted
FROM vector_stores s JOIN knowledge_bases k ON k.tenant_id = s.tenant_id AND k.id = s.id
WHERE s.tenant_id = $1 AND s.state <> 'live' AND s.emptied_at IS NULL
UNION ALL
SELECT k.id, k.name, TRUE FROM knowledge_bases k
WHERE k.tenant_id = $1 AND k.name LIKE 'vs\\_%'
  AND NOT EXISTS (SELECT FROM vector_stores s WHERE s.tenant_id = $1 AND s.id = k.id)
LIMIT $2
"""

DELETE_BATCHES = "DELETE FROM vector_store_batches WHERE tenant_id = $1 AND store_id = $2"
DELETE_STORE = "DELETE FROM vector_stores WHERE tenant_id = $1 AND id = $2"
# Sets of words and vectors in the making, or discarded, have no documents: see migration 0023.
_SETS = """ARRAY[k.id, k.words_set, k.vectors_set, k.next_words_set, k.next_vectors_set]
           || k.discarded_words || k.discarded_vectors"""
DELETE_WORDS = f"""
DELETE FROM postings p USING knowledge_bases k
WHERE k.tenant_id = $1 AND k.id = $2 AND p.tenant_id = $1 AND p.kb_id = ANY ({_SETS})
"""  # noqa: S608
DELETE_VECTORS = f"""
DELETE FROM chunk_vectors v USING knowledge_bases k
WHERE k.tenant_id = $1 AND k.id = $2 AND v.tenant_id = $1 AND v.kb_id = ANY ({_SETS})
"""  # noqa: S608
DELETE_KB = "DELETE FROM knowledge_bases WHERE tenant_id = $1 AND id = $2"
EMPTIED = "UPDATE vector_stores SET emptied_at = now() WHERE tenant_id = $1 AND id = $2 AND state = 'expired'"


class PostgresVectorStoreRows(PostgresStoreFiles):
    """See `ports.VectorStoreRows`."""

    async def add(self, new: NewStore, *, most: int) -> VectorStore | None:
        async with self._store.tenant(new.tenant_id) as tx:
            await tx.fetchval(LOCK_TENANT, new.tenant_id)
            return await _added(tx, new, most)

    async def obtain(self, new: NewStore, *, most: int) -> VectorStore | None:
        async with self._store.tenant(new.tenant_id) as tx:
            await tx.fetchval(LOCK_TENANT, new.tenant_id)
            row = await tx.fetchrow(TITLED, new.tenant_id, new.title)
            return await _added(tx, new, most) if row is None else store_of(row)

    async def titled(self, tenant_id: TenantId, title: str) -> VectorStore | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(TITLED, tenant_id, title)
        return None if row is None else store_of(row)

    async def find(self, tenant_id: TenantId, store_id: UUID) -> VectorStore | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await _told(tx, tenant_id, store_id)

    async def brief(self, tenant_id: TenantId, store_ids: Sequence[UUID]) -> dict[UUID, VectorStore]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            rows = await tx.fetch(BRIEF, tenant_id, list(store_ids))
        return {row["id"]: store_of(row) for row in rows}

    async def page(self, tenant_id: TenantId, place: Place) -> list[VectorStore]:
        query = UPWARDS if place.upwards else DOWNWARDS
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            rows = await tx.fetch(query, tenant_id, place.above, place.below, place.limit)
        return [store_of(row) for row in place.told(rows)]

    async def update(self, tenant_id: TenantId, store_id: UUID, changes: StoreChanges) -> VectorStore | None:
        title = None if changes.title is UNSET else changes.title
        metadata = None if changes.metadata is UNSET else changes.metadata
        days = None if changes.expires_days is UNSET else changes.expires_days
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(UPDATE, tenant_id, store_id, title, metadata, changes.expires_days is not UNSET, days)
            return await _told(tx, tenant_id, store_id)

    async def touch(self, tenant_id: TenantId, store_ids: Sequence[UUID]) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(TOUCH, tenant_id, list(store_ids))

    async def hide(self, tenant_id: TenantId, store_id: UUID) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            if await tx.fetchval(HIDE, tenant_id, store_id) is None:
                return False
            await tx.execute(RENAME, tenant_id, store_id)
            await tell_change(tx, DOCUMENTS_TOPIC, tenant_id)
        return True

    async def tenants_to_tidy(self) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_TO_TIDY)

    async def to_empty(self, tenant_id: TenantId, *, limit: int) -> list[ToEmpty]:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(EXPIRE, tenant_id)
            rows = await tx.fetch(TO_EMPTY, tenant_id, limit)
        return [ToEmpty(store_id=row["id"], kb=row["name"], deleted=row["deleted"]) for row in rows]

    async def emptied(self, tenant_id: TenantId, store: ToEmpty) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(DELETE_BATCHES, tenant_id, store.store_id)
            await tx.execute(DELETE_FILES, tenant_id, store.store_id)
            if store.deleted:
                await tx.execute(DELETE_STORE, tenant_id, store.store_id)
                for leftover in (DELETE_WORDS, DELETE_VECTORS):
                    await tx.execute(leftover, tenant_id, store.store_id)
                await tx.execute(DELETE_KB, tenant_id, store.store_id)
            else:
                await tx.execute(EMPTIED, tenant_id, store.store_id)


async def _added(tx: Transaction, new: NewStore, most: int) -> VectorStore | None:
    there = await _told(tx, new.tenant_id, new.id)
    if there is not None:
        return there
    if await tx.fetchval(COUNT, new.tenant_id) >= most:
        return None
    await tx.execute(CREATE_KB, new.tenant_id, store_name(new.id), new.id, analyzer.VERSION)
    await tx.execute(ADD, new.tenant_id, new.id, new.title, new.description, new.metadata, new.expires_days)
    return await _told(tx, new.tenant_id, new.id)


async def _told(tx: ReadTransaction, tenant_id: TenantId, store_id: UUID) -> VectorStore | None:
    row = await tx.fetchrow(FIND, tenant_id, store_id)
    return None if row is None else store_of(row)


def store_of(row: Row) -> VectorStore:
    return VectorStore(
        tenant_id=TenantId(row["tenant_id"]),
        id=row["id"],
        title=row["title"],
        description=row["description"],
        metadata=row["metadata"],
        expires_days=row["expires_days"],
        expires_at=row["expires_at"],
        expired=row["expired"],
        created_at=row["created_at"],
        last_active_at=row["last_active_at"],
        counts=counts_of(row),
        usage_bytes=row["usage_bytes"],
        idle=row["idle"],
    )
