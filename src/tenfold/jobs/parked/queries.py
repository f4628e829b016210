"""The SQL of parked calls. Each query names its tenant; all times are the database's."""

from uuid import UUID

import msgspec

from tenfold.core.call import CallOptions
from tenfold.core.ids import KeyId, TenantId, UserId
from tenfold.jobs.parked.types import Ended, ParkedCall, Ticket
from tenfold.store import Row, Store

_STATE = "CASE WHEN state = 'waiting' AND expires_at <= now() THEN 'expired' ELSE state END AS state"
_TOLD = f"""tenant_id, id, {_STATE}, operation, client_dialect, model, feature, created_at, expires_at, ended_at,
       http_status, error_code"""

# Parking is rare and the bound is exact: those of one tenant come one after the other.
LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('tenfold.parked_calls ' || $1::uuid::text, 0))"

WAITING = """
SELECT count(*) AS calls, coalesce(sum(body_bytes), 0)::bigint AS bytes
FROM parked_calls WHERE tenant_id = $1 AND state = 'waiting' AND expires_at > now()
"""

ADD = f"""
INSERT INTO parked_calls (tenant_id, id, key_id, user_id, operation, client_dialect, model, feature, options, body,
                          body_bytes, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::bytea, octet_length($10::bytea), now() + make_interval(secs => $11))
RETURNING {_TOLD}, reply
"""  # noqa: S608  (the columns are those above)

FIND = f"SELECT {_TOLD}, reply FROM parked_calls WHERE tenant_id = $1 AND id = $2"  # noqa: S608

PAGE = f"""
SELECT {_TOLD}, NULL::bytea AS reply FROM parked_calls
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""  # noqa: S608

LOAD = """
SELECT tenant_id, id, key_id, user_id, operation, client_dialect, model, options, body
FROM parked_calls WHERE tenant_id = $1 AND id = $2 AND state = 'waiting' AND expires_at > now()
"""

FINISH = """
UPDATE parked_calls SET
    state = $3, http_status = $4, error_code = $5, reply = $6, ended_at = now(),
    expires_at = now() + make_interval(secs => $7), body = '', body_bytes = 0, options = '{}'
WHERE tenant_id = $1 AND id = $2 AND state = 'waiting' AND expires_at > now()
RETURNING TRUE
"""

REMOVE = "DELETE FROM parked_calls WHERE tenant_id = $1 AND id = $2 RETURNING TRUE"

DELETE_OLD = """
WITH old AS MATERIALIZED (
    SELECT id FROM parked_calls WHERE tenant_id = $1 AND state <> 'waiting' AND expires_at <= now()
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM parked_calls p USING old WHERE p.tenant_id = $1 AND p.id = old.id RETURNING 1
)
SELECT count(*) FROM gone
"""

EXPIRE_WAITING = """
WITH late AS MATERIALIZED (
    SELECT id FROM parked_calls WHERE tenant_id = $1 AND state = 'waiting' AND expires_at <= now()
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), expired AS (
    UPDATE parked_calls p SET state = 'expired', ended_at = now(), expires_at = now() + make_interval(secs => $3),
                              body = '', body_bytes = 0, options = '{}'
    FROM late WHERE p.tenant_id = $1 AND p.id = late.id RETURNING 1
)
SELECT count(*) FROM expired
"""

TENANTS = "SELECT id FROM tenants WHERE id > $1 ORDER BY id LIMIT 10000"
TENANTS_EXPIRED = "SELECT tenfold.tenants_with_expired_tickets($1)"


class PostgresParkedRows:
    """See `ports.ParkedRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, call: ParkedCall, *, keep_s: float, most: int, most_bytes: int) -> Ticket | None:
        async with self._store.tenant(call.tenant_id) as tx:
            await tx.fetchval(LOCK_TENANT, call.tenant_id)
            row = await tx.fetchrow(FIND, call.tenant_id, call.id)
            if row is None:
                waiting = await tx.fetchrow(WAITING, call.tenant_id)
                assert waiting is not None
                if waiting["calls"] >= most or waiting["bytes"] + len(call.body) > most_bytes:
                    return None
                row = await tx.fetchrow(
                    ADD,
                    call.tenant_id,
                    call.id,
                    call.key_id,
                    call.user_id,
                    call.operation,
                    call.dialect,
                    call.model,
                    call.options.feature,
                    call.options,
                    call.body,
                    keep_s,
                )
                assert row is not None
        return _ticket(row)

    async def find(self, tenant_id: TenantId, call_id: UUID) -> Ticket | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(FIND, tenant_id, call_id)
        return None if row is None else _ticket(row)

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Ticket]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_ticket(row) for row in await tx.fetch(PAGE, tenant_id, before, limit)]

    async def load(self, tenant_id: TenantId, call_id: UUID) -> ParkedCall | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(LOAD, tenant_id, call_id)
        return None if row is None else _parked(row)

    async def finish(
        self,
        tenant_id: TenantId,
        call_id: UUID,
        state: Ended,
        *,
        http_status: int,
        keep_s: float,
        error_code: str | None = None,
        reply: bytes | None = None,
    ) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            found = await tx.fetchval(FINISH, tenant_id, call_id, state, http_status, error_code, reply, keep_s)
        return found is not None

    async def remove(self, tenant_id: TenantId, call_id: UUID) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            return await tx.fetchval(REMOVE, tenant_id, call_id) is not None

    async def tenants_expired(self) -> list[TenantId]:
        found: list[TenantId] = []
        last = UUID(int=0)
        async with self._store.directory(readonly=True) as tx:
            while among := [row["id"] for row in await tx.fetch(TENANTS, last)]:
                found += [TenantId(row[0]) for row in await tx.fetch(TENANTS_EXPIRED, among)]
                last = among[-1]
        return found

    async def expire(self, tenant_id: TenantId, *, keep_s: float, limit: int) -> int:
        async with self._store.tenant(tenant_id) as tx:
            deleted: int = await tx.fetchval(DELETE_OLD, tenant_id, limit)
            expired: int = await tx.fetchval(EXPIRE_WAITING, tenant_id, limit, keep_s)
        return deleted + expired


def _ticket(row: Row) -> Ticket:
    return Ticket(
        tenant_id=TenantId(row["tenant_id"]),
        call_id=row["id"],
        state=row["state"],
        operation=row["operation"],
        dialect=row["client_dialect"],
        model=row["model"],
        feature=row["feature"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        ended_at=row["ended_at"],
        http_status=row["http_status"],
        error_code=row["error_code"],
        reply=row["reply"],
    )


def _parked(row: Row) -> ParkedCall:
    return ParkedCall(
        tenant_id=TenantId(row["tenant_id"]),
        id=row["id"],
        key_id=None if row["key_id"] is None else KeyId(row["key_id"]),
        user_id=None if row["user_id"] is None else UserId(row["user_id"]),
        operation=row["operation"],
        dialect=row["client_dialect"],
        model=row["model"],
        options=msgspec.convert(row["options"], CallOptions),
        body=row["body"],
    )
