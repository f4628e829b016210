"""The SQL of idempotency keys. Each query names its tenant; all times are the database's."""

from typing import Literal
from uuid import UUID

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.ledger.idempotency.types import Claim, Claimed, StoredReply
from tenfold.store import Row, Store, tenants_among

# Two claims at once: the second waits for the first to commit, and then finds its row. Returns no row when the key is
# taken.
CLAIM = """
INSERT INTO idempotency_keys AS k (tenant_id, key, request_hash, call_id, call_at, holder, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
ON CONFLICT (tenant_id, key) DO UPDATE SET
    request_hash = excluded.request_hash, call_id = excluded.call_id, call_at = excluded.call_at,
    holder = excluded.holder, created_at = now(), expires_at = excluded.expires_at, state = 'in_flight',
    ended = NULL, http_status = NULL, stream = NULL, model = NULL, provider = NULL, upstream_model = NULL,
    upstream_request_id = NULL, ignored = NULL, body = NULL
WHERE k.expires_at <= now()
RETURNING TRUE
"""

FIND = """
SELECT request_hash, call_id, call_at, state, ended, http_status, stream, model, provider, upstream_model,
       upstream_request_id, ignored, body
FROM idempotency_keys WHERE tenant_id = $1 AND key = $2
"""

FINISH = """
UPDATE idempotency_keys SET
    state = 'done', ended = $4, http_status = $5, stream = $6, model = $7, provider = $8, upstream_model = $9,
    upstream_request_id = $10, ignored = $11, body = $12
WHERE tenant_id = $1 AND key = $2 AND call_id = $3 AND state = 'in_flight'
"""

INTERRUPT = """
UPDATE idempotency_keys SET state = $4
WHERE tenant_id = $1 AND key = $2 AND call_id = $3 AND state = 'in_flight'
"""

RELEASE = """
DELETE FROM idempotency_keys WHERE tenant_id = $1 AND key = $2 AND call_id = $3 AND state = 'in_flight'
"""

# A receipt that no provider and no money stands on is of a call that can be made again: it was accepted for later, say.
INTERRUPT_HELD = """
WITH interrupted AS (
    UPDATE idempotency_keys k SET state = 'interrupted'
    WHERE k.tenant_id = $1 AND k.holder = $2 AND k.state = 'in_flight'
      AND EXISTS (SELECT FROM receipts r WHERE r.tenant_id = $1 AND r.at = k.call_at AND r.id = k.call_id
                                           AND (r.draft OR r.provider IS NOT NULL OR r.total_nano > 0))
    RETURNING 1
)
SELECT count(*) FROM interrupted
"""

RELEASE_HELD = """
WITH released AS (
    DELETE FROM idempotency_keys WHERE tenant_id = $1 AND holder = $2 AND state = 'in_flight' RETURNING 1
)
SELECT count(*) FROM released
"""

# What is locked is being claimed anew. A CTE, because it is read once: as a subquery it may be read again for each row.
EXPIRE = """
WITH old AS MATERIALIZED (
    SELECT key FROM idempotency_keys WHERE tenant_id = $1 AND expires_at <= now()
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), expired AS (
    DELETE FROM idempotency_keys k USING old WHERE k.tenant_id = $1 AND k.key = old.key RETURNING 1
)
SELECT count(*) FROM expired
"""

TENANTS_IN_FLIGHT = "SELECT tenfold.tenants_with_keys_in_flight($1, $2)"
TENANTS_EXPIRED = "SELECT tenfold.tenants_with_expired_keys($1)"

_CLAIM_TRIES = 5  # of a key that is released between the two statements, again and again


class PostgresIdempotencyRows:
    """See `ports.IdempotencyRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def claim(self, claim: Claim, *, keep_s: float) -> Claimed:
        async with self._store.tenant(claim.tenant_id) as tx:
            for _ in range(_CLAIM_TRIES):
                if await tx.fetchval(
                    CLAIM,
                    claim.tenant_id,
                    claim.key,
                    claim.request_hash,
                    claim.call_id,
                    claim.call_at,
                    claim.holder,
                    keep_s,
                ):
                    return Claimed(found="new")
                row = await tx.fetchrow(FIND, claim.tenant_id, claim.key)
                if row is not None:
                    return _claimed(claim, row)
        raise StoreUnavailable("The Idempotency-Key is in use by many calls at once. Try again.", retry_after_s=1)

    async def finish(self, claim: Claim, reply: StoredReply) -> None:
        async with self._store.tenant(claim.tenant_id) as tx:
            await tx.execute(
                FINISH,
                claim.tenant_id,
                claim.key,
                claim.call_id,
                reply.ended,
                reply.http_status,
                reply.stream,
                reply.model,
                reply.provider,
                reply.upstream_model,
                reply.upstream_request_id,
                reply.ignored,
                reply.body,
            )

    async def interrupt(self, claim: Claim, why: Literal["interrupted", "too_large"]) -> None:
        async with self._store.tenant(claim.tenant_id) as tx:
            await tx.execute(INTERRUPT, claim.tenant_id, claim.key, claim.call_id, why)

    async def release(self, claim: Claim) -> None:
        async with self._store.tenant(claim.tenant_id) as tx:
            await tx.execute(RELEASE, claim.tenant_id, claim.key, claim.call_id)

    async def tenants_in_flight(self, holder: UUID) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_IN_FLIGHT, holder)

    async def settle_holder(self, tenant_id: TenantId, holder: UUID) -> tuple[int, int]:
        async with self._store.tenant(tenant_id) as tx:
            interrupted: int = await tx.fetchval(INTERRUPT_HELD, tenant_id, holder)
            released: int = await tx.fetchval(RELEASE_HELD, tenant_id, holder)
        return interrupted, released

    async def tenants_expired(self) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_EXPIRED)

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        async with self._store.tenant(tenant_id) as tx:
            expired: int = await tx.fetchval(EXPIRE, tenant_id, limit)
        return expired


def _claimed(claim: Claim, row: Row) -> Claimed:
    if row["request_hash"] != claim.request_hash:
        return Claimed(found="mismatch")
    if row["state"] != "done":
        if row["call_id"] == claim.call_id:
            return Claimed(found="new")
        return Claimed(found=row["state"], first=(row["call_id"], row["call_at"]))
    return Claimed(
        found="done",
        reply=StoredReply(
            ended=row["ended"],
            http_status=row["http_status"],
            stream=row["stream"],
            model=row["model"],
            provider=row["provider"],
            upstream_model=row["upstream_model"],
            upstream_request_id=row["upstream_request_id"],
            ignored=tuple(row["ignored"]),
            body=row["body"],
        ),
    )
