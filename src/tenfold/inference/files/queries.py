"""The SQL of files. Each query names its tenant; all times are the database's."""

from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.inference.files.types import File, Removal
from tenfold.store import Row, Store, tenants_among

_TOLD = "tenant_id, id, filename, purpose, bytes, created_at, expires_at"
_SEEN = "whole AND (expires_at IS NULL OR expires_at > now())"
_IN_USE = """EXISTS (SELECT FROM batches b WHERE b.tenant_id = f.tenant_id AND b.input_file_id = f.id
                     AND b.ended_at IS NULL)"""

# The bound of a tenant's bytes is exact: pieces of its files are written one after the other.
LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('tenfold.files ' || $1::uuid::text, 0))"

BEGIN = """
INSERT INTO files (tenant_id, id, filename, purpose, expires_at)
VALUES ($1, $2, $3, '', now() + interval '1 hour') ON CONFLICT DO NOTHING
"""

BYTES = "SELECT coalesce(sum(bytes), 0)::bigint FROM files WHERE tenant_id = $1"

GROW = """
UPDATE files SET bytes = bytes + $3, expires_at = now() + interval '1 hour'
WHERE tenant_id = $1 AND id = $2 AND NOT whole RETURNING TRUE
"""

APPEND = """
INSERT INTO file_chunks (tenant_id, file_id, number, data)
SELECT $1, $2, $3 + n - 1, data FROM unnest($4::bytea[]) WITH ORDINALITY AS c (data, n)
"""

FINISH = f"""
UPDATE files SET whole = true, filename = $3, purpose = $4, expires_at = now() + make_interval(secs => $5)
WHERE tenant_id = $1 AND id = $2 AND NOT whole
RETURNING {_TOLD}
"""  # noqa: S608  (the columns are those above)

FIND = f"SELECT {_TOLD} FROM files WHERE tenant_id = $1 AND id = $2 AND {_SEEN}"  # noqa: S608

NEWEST_FIRST = f"""
SELECT {_TOLD} FROM files
WHERE tenant_id = $1 AND {_SEEN} AND ($2::text IS NULL OR purpose = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
"""  # noqa: S608

OLDEST_FIRST = f"""
SELECT {_TOLD} FROM files
WHERE tenant_id = $1 AND {_SEEN} AND ($2::text IS NULL OR purpose = $2) AND ($3::uuid IS NULL OR id > $3)
ORDER BY id LIMIT $4
"""  # noqa: S608

CHUNKS = """
SELECT data FROM file_chunks c
WHERE c.tenant_id = $1 AND c.file_id = $2 AND c.number >= $3 AND c.number < $3 + $4
  AND EXISTS (SELECT FROM files WHERE tenant_id = $1 AND id = $2 AND whole)
ORDER BY c.number
"""

IS_THERE = f"SELECT TRUE FROM files WHERE tenant_id = $1 AND id = $2 AND {_SEEN}"  # noqa: S608

# A file may be large: it is hidden first, then its content goes in pieces, and then it is gone. One that is left half
# way has expired.
HIDE = f"""
UPDATE files f SET whole = false, expires_at = now() WHERE tenant_id = $1 AND id = $2 AND NOT {_IN_USE} RETURNING TRUE
"""  # noqa: S608

DELETE_CHUNKS = """
DELETE FROM file_chunks WHERE tenant_id = $1 AND file_id = $2 AND number <= (
    SELECT max(number) FROM (SELECT number FROM file_chunks WHERE tenant_id = $1 AND file_id = $2
                             ORDER BY number LIMIT 200) AS front)
RETURNING TRUE
"""

DELETE = "DELETE FROM files WHERE tenant_id = $1 AND id = $2 RETURNING TRUE"

EXPIRED = f"""
SELECT id FROM files f WHERE tenant_id = $1 AND expires_at <= now() AND NOT {_IN_USE} ORDER BY expires_at LIMIT $2
"""  # noqa: S608

TENANTS_EXPIRED = "SELECT tenfold.tenants_with_expired_files($1)"


class PostgresFileRows:
    """See `ports.FileRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(self, tenant_id: TenantId, file_id: UUID, filename: str) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(BEGIN, tenant_id, file_id, filename)

    async def append(
        self, tenant_id: TenantId, file_id: UUID, number: int, chunks: list[bytes], *, most_bytes: int | None
    ) -> bool:
        more = sum(map(len, chunks))
        async with self._store.tenant(tenant_id) as tx:
            if most_bytes is not None:
                await tx.fetchval(LOCK_TENANT, tenant_id)
                if await tx.fetchval(BYTES, tenant_id) + more > most_bytes:
                    return False
            if await tx.fetchval(GROW, tenant_id, file_id, more) is None:
                return False
            await tx.execute(APPEND, tenant_id, file_id, number, chunks)
        return True

    async def finish(
        self, tenant_id: TenantId, file_id: UUID, filename: str, purpose: str, *, keep_s: float | None
    ) -> File | None:
        async with self._store.tenant(tenant_id) as tx:
            row = await tx.fetchrow(FINISH, tenant_id, file_id, filename, purpose, keep_s)
        return None if row is None else _file(row)

    async def find(self, tenant_id: TenantId, file_id: UUID) -> File | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(FIND, tenant_id, file_id)
        return None if row is None else _file(row)

    async def page(
        self, tenant_id: TenantId, *, purpose: str | None, after: UUID | None, ascending: bool, limit: int
    ) -> list[File]:
        query = OLDEST_FIRST if ascending else NEWEST_FIRST
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_file(row) for row in await tx.fetch(query, tenant_id, purpose, after, limit)]

    async def chunks(self, tenant_id: TenantId, file_id: UUID, *, start: int, count: int) -> list[bytes]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [row["data"] for row in await tx.fetch(CHUNKS, tenant_id, file_id, start, count)]

    async def remove(self, tenant_id: TenantId, file_id: UUID) -> Removal:
        async with self._store.tenant(tenant_id) as tx:
            there = await tx.fetchval(IS_THERE, tenant_id, file_id) is not None
            hidden = await tx.fetchval(HIDE, tenant_id, file_id) is not None
        if hidden:
            await self._delete(tenant_id, file_id)
        elif there:
            return "in_use"
        return "gone" if there else "none"

    async def _delete(self, tenant_id: TenantId, file_id: UUID) -> bool:
        """One that nobody sees. False: it is gone already."""
        some = True
        while some:
            async with self._store.tenant(tenant_id) as tx:
                some = await tx.fetchval(DELETE_CHUNKS, tenant_id, file_id) is not None
        async with self._store.tenant(tenant_id) as tx:
            return await tx.fetchval(DELETE, tenant_id, file_id) is not None

    async def tenants_expired(self) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_EXPIRED)

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            old = [row["id"] for row in await tx.fetch(EXPIRED, tenant_id, limit)]
        return sum([await self._delete(tenant_id, file_id) for file_id in old])


def _file(row: Row) -> File:
    return File(
        tenant_id=TenantId(row["tenant_id"]),
        id=row["id"],
        filename=row["filename"],
        purpose=row["purpose"],
        bytes=row["bytes"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
