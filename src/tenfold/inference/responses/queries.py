"""The SQL of stored responses. Each query names its tenant; all times are the database's."""

from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.inference.responses.types import Keyed, Link, NewResponse, Status, StoredResponse
from tenfold.store import Row, Store, tenants_among

_ALL = """tenant_id, id, previous_id, background, stream, status, died, model, request, input, response, cost_nano,
       version, created_at, expires_at"""

FREE_KEY = """
UPDATE responses SET key = NULL
WHERE tenant_id = $1 AND key = $2 AND (created_at <= now() - make_interval(secs => $3) OR expires_at <= now())
"""

ADD = f"""
INSERT INTO responses (tenant_id, id, previous_id, background, stream, status, model, request, input, response,
                       cost_nano, key, request_hash, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, now() + make_interval(secs => $14))
ON CONFLICT DO NOTHING
RETURNING {_ALL}
"""  # noqa: S608  (the columns are those above)

ADDED = f"""
SELECT {_ALL} FROM responses WHERE tenant_id = $1 AND (id = $2 OR key = $3) ORDER BY id = $2 DESC LIMIT 1
"""  # noqa: S608

KEYED = """
SELECT id, request_hash FROM responses
WHERE tenant_id = $1 AND key = $2 AND created_at > now() - make_interval(secs => $3) AND expires_at > now()
"""

FIND = f"SELECT {_ALL} FROM responses WHERE tenant_id = $1 AND id = $2 AND expires_at > now()"  # noqa: S608

# The sizes are summed up before anything is read: a chain may be longer than fits into memory.
CHAIN = """
WITH RECURSIVE up AS (
    SELECT id, previous_id, 1 AS depth, length(input)::bigint + length(response) AS bytes
    FROM responses WHERE tenant_id = $1 AND id = $2 AND expires_at > now()
    UNION ALL
    SELECT r.id, r.previous_id, up.depth + 1, up.bytes + length(r.input) + length(r.response)
    FROM up JOIN responses r ON r.tenant_id = $1 AND r.id = up.previous_id AND r.expires_at > now()
    WHERE up.depth < $3 AND up.bytes <= $4
)
SELECT up.id, up.previous_id, r.status,
       CASE WHEN up.bytes <= $4 THEN r.input END AS input, CASE WHEN up.bytes <= $4 THEN r.response END AS response
FROM up JOIN responses r ON r.tenant_id = $1 AND r.id = up.id
ORDER BY up.depth
"""

BEGIN = """
UPDATE responses SET status = 'in_progress', died = false, version = version + 1
WHERE tenant_id = $1 AND id = $2 AND (status = 'queued' OR died)
"""

# What is needed to try again is kept as long as that can be.
FINISH = """
UPDATE responses SET status = $3, response = coalesce($4, response), cost_nano = cost_nano + $5, died = $6,
                     request = CASE WHEN $6 THEN request ELSE '' END, version = version + 1
WHERE tenant_id = $1 AND id = $2 AND status IN ('queued', 'in_progress')
RETURNING TRUE
"""

AMEND = """
UPDATE responses SET response = $3, cost_nano = $4, version = version + 1
WHERE tenant_id = $1 AND id = $2 AND status = 'cancelled'
RETURNING TRUE
"""

REMOVE = f"DELETE FROM responses WHERE tenant_id = $1 AND id = $2 AND expires_at > now() RETURNING {_ALL}"  # noqa: S608

TENANTS_EXPIRED = "SELECT tenfold.tenants_with_expired_responses($1)"

EXPIRE = """
WITH old AS MATERIALIZED (
    SELECT id FROM responses WHERE tenant_id = $1 AND expires_at <= now()
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM responses r USING old WHERE r.tenant_id = $1 AND r.id = old.id RETURNING 1
)
SELECT count(*) FROM gone
"""


class PostgresResponseRows:
    """See `ports.ResponseRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, new: NewResponse, *, keep_s: float, key_s: float) -> StoredResponse:
        async with self._store.tenant(new.tenant_id) as tx:
            if new.key is not None:
                await tx.execute(FREE_KEY, new.tenant_id, new.key, key_s)
            row = await tx.fetchrow(
                ADD,
                new.tenant_id,
                new.id,
                new.previous_id,
                new.background,
                new.stream,
                new.status,
                new.model,
                new.request,
                new.input,
                new.response,
                new.cost_nano,
                new.key,
                new.request_hash,
                keep_s,
            )
            if row is None:
                row = await tx.fetchrow(ADDED, new.tenant_id, new.id, new.key)
            assert row is not None
        return _stored(row)

    async def keyed(self, tenant_id: TenantId, key: bytes, *, key_s: float) -> Keyed | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(KEYED, tenant_id, key, key_s)
        return None if row is None else Keyed(id=row["id"], request_hash=row["request_hash"])

    async def find(self, tenant_id: TenantId, response_id: UUID) -> StoredResponse | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(FIND, tenant_id, response_id)
        return None if row is None else _stored(row)

    async def chain(self, tenant_id: TenantId, response_id: UUID, *, most: int, most_bytes: int) -> list[Link]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_link(row) for row in await tx.fetch(CHAIN, tenant_id, response_id, most, most_bytes)]

    async def begin(self, tenant_id: TenantId, response_id: UUID) -> StoredResponse | None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(BEGIN, tenant_id, response_id)
            row = await tx.fetchrow(FIND, tenant_id, response_id)
        return None if row is None else _stored(row)

    async def finish(
        self,
        tenant_id: TenantId,
        response_id: UUID,
        status: Status,
        response: bytes | None,
        *,
        cost_nano: int = 0,
        died: bool = False,
    ) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            done = await tx.fetchval(FINISH, tenant_id, response_id, status, response, cost_nano, died)
        return done is not None

    async def amend(self, tenant_id: TenantId, response_id: UUID, response: bytes, *, cost_nano: int) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            return await tx.fetchval(AMEND, tenant_id, response_id, response, cost_nano) is not None

    async def remove(self, tenant_id: TenantId, response_id: UUID) -> StoredResponse | None:
        async with self._store.tenant(tenant_id) as tx:
            row = await tx.fetchrow(REMOVE, tenant_id, response_id)
        return None if row is None else _stored(row)

    async def tenants_expired(self) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_EXPIRED)

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        async with self._store.tenant(tenant_id) as tx:
            gone: int = await tx.fetchval(EXPIRE, tenant_id, limit)
        return gone


def _stored(row: Row) -> StoredResponse:
    return StoredResponse(
        tenant_id=TenantId(row["tenant_id"]),
        id=row["id"],
        previous_id=row["previous_id"],
        background=row["background"],
        stream=row["stream"],
        status=row["status"],
        died=row["died"],
        model=row["model"],
        request=row["request"],
        input=row["input"],
        response=row["response"],
        cost_nano=row["cost_nano"],
        version=row["version"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )


def _link(row: Row) -> Link:
    return Link(
        id=row["id"],
        previous_id=row["previous_id"],
        status=row["status"],
        input=row["input"],
        response=row["response"],
    )
