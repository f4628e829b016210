"""The SQL of the files of vector stores, and of batches of them. Each query names its tenant."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from tenfold.core.ids import TenantId, uuid7
from tenfold.retrieval.types import Chunking
from tenfold.retrieval.vector_stores.ports import Refusal
from tenfold.retrieval.vector_stores.types import (
    Adding,
    Attributes,
    FileBatch,
    FileCounts,
    FileError,
    FileStatus,
    Place,
    StoreFile,
)
from tenfold.store import ReadTransaction, Row, Store

_TOLD = """f.tenant_id, f.store_id, f.file_id, f.job_id, f.filename, f.attributes, f.chunking, f.status, f.error_code,
       f.error_message, f.usage_bytes, f.pages, f.created_at"""

_LIVE = """EXISTS (SELECT FROM vector_stores s WHERE s.tenant_id = $1 AND s.id = $2 AND s.state = 'live'
                   AND (s.expires_at IS NULL OR s.expires_at > now()))"""

# Files of a store come one after the other: its bound is exact.
LOCK_STORE = """
UPDATE vector_stores SET last_active_at = now(), expires_at = now() + make_interval(days => expires_days)
WHERE tenant_id = $1 AND id = $2 AND state = 'live' AND (expires_at IS NULL OR expires_at > now()) RETURNING TRUE
"""

WITH_THESE = """
SELECT (SELECT count(*) FROM vector_store_files WHERE tenant_id = $1 AND store_id = $2 AND file_id <> ALL ($3::uuid[]))
       + cardinality($3::uuid[]) AS files,
       (SELECT coalesce(sum(usage_bytes), 0)::bigint FROM vector_store_files WHERE tenant_id = $1) AS bytes
"""

PUT = """
INSERT INTO vector_store_files AS f (tenant_id, store_id, job_id, file_id, added, filename, attributes, chunking)
SELECT $1, $2, $3, a.file_id, a.added, a.filename, a.attributes::jsonb, a.chunking::jsonb
FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[])
     AS a (file_id, added, filename, attributes, chunking)
ON CONFLICT (tenant_id, store_id, file_id) DO UPDATE SET
    job_id = excluded.job_id, attributes = excluded.attributes, chunking = excluded.chunking, status = 'in_progress',
    begun = false, error_code = NULL, error_message = NULL, changed_at = now()
WHERE f.status IN ('failed', 'cancelled') OR f.attributes <> excluded.attributes
   OR f.chunking IS DISTINCT FROM excluded.chunking
"""

ADD_BATCH = "INSERT INTO vector_store_batches (tenant_id, id, store_id) VALUES ($1, $2, $3)"

ADD_TO_BATCH = """
INSERT INTO vector_store_batch_files (tenant_id, batch_id, store_id, file_id)
SELECT $1, $2, $3, file_id FROM unnest($4::uuid[]) AS file_id
"""

WITHDRAW_BATCH = "DELETE FROM vector_store_batches WHERE tenant_id = $1 AND id = $2"

WITHDRAW_NEW = """
DELETE FROM vector_store_files
WHERE tenant_id = $1 AND store_id = $2 AND job_id = $3 AND status = 'in_progress' AND usage_bytes = 0
"""

FILES = f"""
SELECT {_TOLD} FROM vector_store_files f WHERE tenant_id = $1 AND store_id = $2 AND file_id = ANY ($3::uuid[])
"""  # noqa: S608  (the columns are those above)

STORES_OF = """
SELECT f.store_id FROM vector_store_files f JOIN vector_stores s ON s.tenant_id = f.tenant_id AND s.id = f.store_id
WHERE f.tenant_id = $1 AND f.file_id = $2 AND s.state <> 'deleted' ORDER BY f.store_id
"""

_AT = "(SELECT added FROM vector_store_files WHERE tenant_id = $1 AND store_id = $2 AND file_id = {place})"
PAGE = f"""
SELECT {_TOLD} FROM vector_store_files f
WHERE tenant_id = $1 AND store_id = $2
  AND ($3::uuid IS NULL OR added > {_AT.format(place="$3")}) AND ($4::uuid IS NULL OR added < {_AT.format(place="$4")})
  AND ($6::text IS NULL OR status = $6)
  AND ($7::uuid IS NULL OR EXISTS (SELECT FROM vector_store_batch_files b
                                   WHERE b.tenant_id = $1 AND b.batch_id = $7 AND b.file_id = f.file_id))
ORDER BY added
"""  # noqa: S608
UPWARDS, DOWNWARDS = f"{PAGE} LIMIT $5", f"{PAGE} DESC LIMIT $5"

BEGIN = f"""
UPDATE vector_store_files f SET begun = true, changed_at = now()
WHERE tenant_id = $1 AND store_id = $2 AND file_id = $3 AND job_id = $4 AND status = 'in_progress' AND {_LIVE}
RETURNING {_TOLD}
"""  # noqa: S608

END = f"""
UPDATE vector_store_files SET
    status = CASE WHEN $5::text IS NULL THEN 'completed' ELSE 'failed' END, begun = false, error_code = $5,
    error_message = $6, usage_bytes = $7, pages = $8, changed_at = now()
WHERE tenant_id = $1 AND store_id = $2 AND file_id = $3 AND job_id = $4 AND status = 'in_progress' AND {_LIVE}
RETURNING TRUE
"""  # noqa: S608

FAIL = """
UPDATE vector_store_files
SET status = 'failed', begun = false, error_code = $4, error_message = $5, changed_at = now()
WHERE tenant_id = $1 AND store_id = $2 AND job_id = $3 AND status = 'in_progress' AND (begun OR NOT $6::boolean)
"""

DESCRIBE = f"""
UPDATE vector_store_files f SET attributes = $4, changed_at = now()
WHERE tenant_id = $1 AND store_id = $2 AND file_id = $3 RETURNING {_TOLD}
"""  # noqa: S608

RELEASE = f"""
UPDATE vector_store_files f SET status = 'cancelled', begun = false, job_id = $4, changed_at = now()
WHERE tenant_id = $1 AND store_id = $2 AND file_id = $3 RETURNING {_TOLD}
"""  # noqa: S608

TAKE_OUT = """
DELETE FROM vector_store_files WHERE tenant_id = $1 AND store_id = $2 AND file_id = $3 RETURNING TRUE
"""

FIND_BATCH = """
SELECT b.tenant_id, b.id, b.store_id, b.created_at, b.cancelled_at IS NOT NULL AS is_cancelled, c.*
FROM vector_store_batches b CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE f.status = 'in_progress') AS in_progress,
           count(*) FILTER (WHERE f.status = 'completed') AS completed,
           count(*) FILTER (WHERE f.status = 'failed') AS failed,
           count(*) FILTER (WHERE f.status = 'cancelled') AS cancelled
    FROM vector_store_batch_files m JOIN vector_store_files f
      ON f.tenant_id = m.tenant_id AND f.store_id = m.store_id AND f.file_id = m.file_id
    WHERE m.tenant_id = b.tenant_id AND m.batch_id = b.id
) c
WHERE b.tenant_id = $1 AND b.store_id = $2 AND b.id = $3
"""

CANCEL_FILES = """
UPDATE vector_store_files f SET status = 'cancelled', begun = false, changed_at = now()
FROM vector_store_batch_files m
WHERE m.tenant_id = $1 AND m.batch_id = $3 AND f.tenant_id = $1 AND f.store_id = $2 AND f.file_id = m.file_id
  AND f.status = 'in_progress'
"""

CANCEL_BATCH = """
UPDATE vector_store_batches SET cancelled_at = now()
WHERE tenant_id = $1 AND store_id = $2 AND id = $3 AND cancelled_at IS NULL
"""

DELETE_FILES = "DELETE FROM vector_store_files WHERE tenant_id = $1 AND store_id = $2"

# Jobs are found by their store: those that go on with a long batch have other ids than its first one.
FAIL_FORGOTTEN = """
UPDATE vector_store_files f
SET status = 'failed', begun = false, error_code = $2, error_message = $3, changed_at = now()
WHERE f.tenant_id = $1 AND f.status = 'in_progress' AND f.changed_at <= now() - interval '1 minute'
  AND NOT EXISTS (SELECT FROM job_queue q JOIN jobs j ON j.tenant_id = q.tenant_id AND j.id = q.job_id
                  WHERE q.tenant_id = $1 AND q.kind = ANY ($4::text[])
                    AND j.subject = 'vs_' || replace(f.store_id::text, '-', ''))
"""


class PostgresStoreFiles:
    """The part of `ports.VectorStoreRows` that is about files."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, adding: Adding, *, most: int, most_bytes: int) -> list[StoreFile] | Refusal:
        tenant_id, store_id = adding.principal.tenant_id, adding.store_id
        new = {file.file_id: file for file in adding.files}
        ids = list(new)
        async with self._store.tenant(tenant_id) as tx:
            if await tx.fetchval(LOCK_STORE, tenant_id, store_id) is None:
                return "gone"
            then = await tx.fetchrow(WITH_THESE, tenant_id, store_id, ids)
            assert then is not None
            if then["files"] > most or then["bytes"] >= most_bytes:
                return "full"
            await tx.execute(
                PUT,
                tenant_id,
                store_id,
                adding.job_id,
                ids,
                sorted(uuid7() for _ in ids),
                [file.filename for file in new.values()],
                [_json(file.attributes) for file in new.values()],
                [None if file.chunking is None else _json(file.chunking) for file in new.values()],
            )
            if adding.batch_id is not None:
                await tx.execute(ADD_BATCH, tenant_id, adding.batch_id, store_id)
                await tx.execute(ADD_TO_BATCH, tenant_id, adding.batch_id, store_id, ids)
            found = await _files(tx, tenant_id, store_id, ids)
        return [found[each] for each in ids]

    async def withdraw(self, adding: Adding) -> None:
        tenant_id, store_id = adding.principal.tenant_id, adding.store_id
        async with self._store.tenant(tenant_id) as tx:
            if adding.batch_id is not None:
                await tx.execute(WITHDRAW_BATCH, tenant_id, adding.batch_id)
            await tx.execute(WITHDRAW_NEW, tenant_id, store_id, adding.job_id)
            message = "There was no room for the job that reads it. Add it again later."
            await tx.execute(FAIL, tenant_id, store_id, adding.job_id, "server_error", message, False)

    async def find_file(self, tenant_id: TenantId, store_id: UUID, file_id: UUID) -> StoreFile | None:
        return (await self.files(tenant_id, store_id, [file_id])).get(file_id)

    async def files(self, tenant_id: TenantId, store_id: UUID, file_ids: Iterable[UUID]) -> dict[UUID, StoreFile]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await _files(tx, tenant_id, store_id, list(file_ids))

    async def stores_of(self, tenant_id: TenantId, file_id: UUID) -> list[UUID]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [row["store_id"] for row in await tx.fetch(STORES_OF, tenant_id, file_id)]

    async def page_files(
        self,
        tenant_id: TenantId,
        store_id: UUID,
        place: Place,
        *,
        status: FileStatus | None = None,
        batch_id: UUID | None = None,
    ) -> list[StoreFile]:
        query = UPWARDS if place.upwards else DOWNWARDS
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            rows = await tx.fetch(query, tenant_id, store_id, place.above, place.below, place.limit, status, batch_id)
        return [file_of(row) for row in place.told(rows)]

    async def begin(self, tenant_id: TenantId, store_id: UUID, file_id: UUID, job_id: UUID) -> StoreFile | None:
        async with self._store.tenant(tenant_id) as tx:
            row = await tx.fetchrow(BEGIN, tenant_id, store_id, file_id, job_id)
        return None if row is None else file_of(row)

    async def end(
        self,
        tenant_id: TenantId,
        store_id: UUID,
        file_id: UUID,
        job_id: UUID,
        *,
        error: FileError | None = None,
        usage_bytes: int = 0,
        pages: Sequence[int] = (),
    ) -> bool:
        code, message = (None, None) if error is None else (error.code, error.message)
        async with self._store.tenant(tenant_id) as tx:
            args = tenant_id, store_id, file_id, job_id, code, message, usage_bytes, list(pages)
            return await tx.fetchval(END, *args) is not None

    async def fail(self, tenant_id: TenantId, store_id: UUID, job_id: UUID, error: FileError, *, begun: bool) -> int:
        async with self._store.tenant(tenant_id) as tx:
            return _count(await tx.execute(FAIL, tenant_id, store_id, job_id, error.code, error.message, begun))

    async def describe(
        self, tenant_id: TenantId, store_id: UUID, file_id: UUID, attributes: Attributes
    ) -> StoreFile | None:
        async with self._store.tenant(tenant_id) as tx:
            row = await tx.fetchrow(DESCRIBE, tenant_id, store_id, file_id, attributes)
        return None if row is None else file_of(row)

    async def release(self, tenant_id: TenantId, store_id: UUID, file_id: UUID) -> StoreFile | None:
        async with self._store.tenant(tenant_id) as tx:
            row = await tx.fetchrow(RELEASE, tenant_id, store_id, file_id, uuid7())
        return None if row is None else file_of(row)

    async def take_out(self, tenant_id: TenantId, store_id: UUID, file_id: UUID) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            return await tx.fetchval(TAKE_OUT, tenant_id, store_id, file_id) is not None

    async def find_batch(self, tenant_id: TenantId, store_id: UUID, batch_id: UUID) -> FileBatch | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await _batch(tx, tenant_id, store_id, batch_id)

    async def cancel_batch(self, tenant_id: TenantId, store_id: UUID, batch_id: UUID) -> FileBatch | None:
        async with self._store.tenant(tenant_id) as tx:
            found = await _batch(tx, tenant_id, store_id, batch_id)
            if found is None or not found.counts.in_progress:
                return found
            await tx.execute(CANCEL_BATCH, tenant_id, store_id, batch_id)
            await tx.execute(CANCEL_FILES, tenant_id, store_id, batch_id)
            return await _batch(tx, tenant_id, store_id, batch_id)

    async def fail_forgotten(self, tenant_id: TenantId, error: FileError, *, kinds: Sequence[str]) -> int:
        async with self._store.tenant(tenant_id) as tx:
            return _count(await tx.execute(FAIL_FORGOTTEN, tenant_id, error.code, error.message, list(kinds)))


async def _files(tx: ReadTransaction, tenant_id: TenantId, store_id: UUID, ids: list[UUID]) -> dict[UUID, StoreFile]:
    rows = await tx.fetch(FILES, tenant_id, store_id, ids)
    return {row["file_id"]: file_of(row) for row in rows}


async def _batch(tx: ReadTransaction, tenant_id: TenantId, store_id: UUID, batch_id: UUID) -> FileBatch | None:
    row = await tx.fetchrow(FIND_BATCH, tenant_id, store_id, batch_id)
    if row is None:
        return None
    return FileBatch(
        tenant_id=TenantId(row["tenant_id"]),
        id=row["id"],
        store_id=row["store_id"],
        created_at=row["created_at"],
        cancelled=row["is_cancelled"],
        counts=counts_of(row),
    )


def counts_of(row: Row) -> FileCounts:
    return FileCounts(
        in_progress=row["in_progress"],
        completed=row["completed"],
        failed=row["failed"],
        cancelled=row["cancelled"],
    )


def file_of(row: Row) -> StoreFile:
    error = None
    if row["error_code"] is not None:
        error = FileError(code=row["error_code"], message=row["error_message"])
    return StoreFile(
        tenant_id=TenantId(row["tenant_id"]),
        store_id=row["store_id"],
        file_id=row["file_id"],
        job_id=row["job_id"],
        filename=row["filename"],
        attributes=row["attributes"],
        chunking=None if row["chunking"] is None else msgspec.convert(row["chunking"], Chunking),
        status=row["status"],
        error=error,
        usage_bytes=row["usage_bytes"],
        pages=tuple(row["pages"]),
        created_at=row["created_at"],
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
