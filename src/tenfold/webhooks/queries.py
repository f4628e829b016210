"""The SQL of webhooks. Each query names its tenant; what processes keep in memory is told in the same transaction."""

from datetime import datetime
from uuid import UUID

from tenfold.core.errors import Conflict
from tenfold.core.ids import TenantId
from tenfold.store import Row, Store, tell_change, tenants_among
from tenfold.webhooks.ports import TOPIC
from tenfold.webhooks.types import (
    MAX_ENDPOINTS,
    MAX_WAITING,
    MIN_FAILURES,
    Attempt,
    Delivery,
    DeliveryState,
    DisabledBy,
    Endpoint,
)

# Endpoints are added rarely and the bound is exact: those of one tenant come one after the other.
LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('tenfold.webhook_endpoints ' || $1::uuid::text, 0))"
COUNT = "SELECT count(*) FROM webhook_endpoints WHERE tenant_id = $1"
ADD = """
INSERT INTO webhook_endpoints (tenant_id, id, url, events, description, secret, revision, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
"""
CHANGE = """
UPDATE webhook_endpoints SET
    url = $4, events = $5, description = $6, secret = $7, old_secret = $8, old_secret_until = $9, disabled_by = $10,
    failing_since = CASE WHEN disabled_by IS NOT NULL AND $10::text IS NULL THEN NULL ELSE failing_since END,
    failures = CASE WHEN disabled_by IS NOT NULL AND $10::text IS NULL THEN 0 ELSE failures END,
    updated_at = $11, revision = $3 + 1
WHERE tenant_id = $1 AND id = $2 AND revision = $3
RETURNING TRUE
"""
END = "DELETE FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2 RETURNING TRUE"
ENDPOINT = "SELECT * FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2"
ENDPOINTS = """
SELECT * FROM webhook_endpoints WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""

ATTEMPTED = """
WITH delivery AS (
    INSERT INTO webhook_deliveries AS d (tenant_id, id, endpoint_id, event_id, type, resource, body, state, created_at,
                                         job_id, last_at, last_status, last_latency_ms, last_reply, last_error)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    ON CONFLICT (tenant_id, id) DO UPDATE SET
        attempts = d.attempts + 1,
        state = CASE WHEN d.state = 'delivered' THEN d.state ELSE excluded.state END,
        job_id = greatest(d.job_id, excluded.job_id),
        last_at = excluded.last_at, last_status = excluded.last_status, last_reply = excluded.last_reply,
        last_latency_ms = excluded.last_latency_ms, last_error = excluded.last_error
    RETURNING attempts
)
INSERT INTO webhook_attempts (tenant_id, delivery_id, number, at, status, latency_ms, reply, error)
SELECT $1, $2, attempts, $11, $12, $13, $14, $15 FROM delivery
"""
TAKEN = """
UPDATE webhook_endpoints SET failing_since = NULL, failures = 0
WHERE tenant_id = $1 AND id = $2 AND failing_since IS NOT NULL
"""
NOT_TAKEN = """
UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, $3), failures = failures + 1
WHERE tenant_id = $1 AND id = $2
"""
DISABLE = f"""
UPDATE webhook_endpoints SET
    disabled_by = CASE WHEN $3 THEN 'gone' ELSE 'failing' END, revision = revision + 1, updated_at = $5
WHERE tenant_id = $1 AND id = $2 AND disabled_by IS NULL
  AND ($3 OR (failing_since <= $4 AND failures >= {MIN_FAILURES}))
RETURNING disabled_by
"""  # noqa: S608  (a number of ours)
WAITING = f"""
SELECT count(*) FROM (
    SELECT FROM webhook_deliveries WHERE tenant_id = $1 AND state = 'waiting' AND last_at >= $2
    LIMIT {MAX_WAITING}
) counted
"""  # noqa: S608  (a number of ours)
GIVE_UP = """
UPDATE webhook_deliveries SET state = 'failed' WHERE tenant_id = $1 AND job_id = $2 AND state = 'waiting' RETURNING TRUE
"""

DELIVERY = "SELECT * FROM webhook_deliveries WHERE tenant_id = $1 AND id = $2"
DELIVERIES = """
SELECT * FROM webhook_deliveries
WHERE tenant_id = $1 AND endpoint_id = $2 AND ($3::text IS NULL OR state = $3) AND ($4::uuid IS NULL OR id < $4)
ORDER BY id DESC LIMIT $5
"""
ATTEMPTS = """
SELECT * FROM webhook_attempts WHERE tenant_id = $1 AND delivery_id = $2 AND ($3::integer IS NULL OR number < $3)
ORDER BY number DESC LIMIT $4
"""
FAILED_SINCE = """
SELECT id FROM webhook_deliveries WHERE tenant_id = $1 AND endpoint_id = $2 AND state = 'failed' AND created_at >= $3
ORDER BY id LIMIT $4
"""
TENANTS_EXPIRED = "SELECT tenfold.tenants_with_old_deliveries($1, $2)"
EXPIRE = """
WITH old AS MATERIALIZED (
    SELECT id FROM webhook_deliveries WHERE tenant_id = $1 AND created_at < $2
    ORDER BY created_at LIMIT $3 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM webhook_deliveries d USING old WHERE d.tenant_id = $1 AND d.id = old.id RETURNING 1
)
SELECT count(*) FROM gone
"""


class PostgresWebhookRows:
    """See `ports.WebhookRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # -- endpoints ---------------------------------------------------------------------------

    async def add_endpoint(self, endpoint: Endpoint) -> None:
        tenant_id = endpoint.tenant_id
        async with self._store.tenant(tenant_id) as tx:
            await tx.fetchval(LOCK_TENANT, tenant_id)
            if await tx.fetchval(COUNT, tenant_id) >= MAX_ENDPOINTS:
                raise Conflict(f"A tenant has {MAX_ENDPOINTS} webhook endpoints at most.")
            await tx.execute(
                ADD,
                tenant_id,
                endpoint.id,
                endpoint.url,
                endpoint.events,
                endpoint.description,
                endpoint.secret,
                endpoint.revision,
                endpoint.created_at,
            )
            await tell_change(tx, TOPIC, tenant_id)

    async def change_endpoint(self, endpoint: Endpoint) -> bool:
        async with self._store.tenant(endpoint.tenant_id) as tx:
            changed = await tx.fetchval(
                CHANGE,
                endpoint.tenant_id,
                endpoint.id,
                endpoint.revision - 1,
                endpoint.url,
                endpoint.events,
                endpoint.description,
                endpoint.secret,
                endpoint.old_secret,
                endpoint.old_secret_until,
                endpoint.disabled_by,
                endpoint.updated_at,
            )
            if changed is not None:
                await tell_change(tx, TOPIC, endpoint.tenant_id)
        return changed is not None

    async def end_endpoint(self, tenant_id: TenantId, endpoint_id: UUID) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            ended = await tx.fetchval(END, tenant_id, endpoint_id)
            if ended is not None:
                await tell_change(tx, TOPIC, tenant_id)
        return ended is not None

    async def endpoint(self, tenant_id: TenantId, endpoint_id: UUID) -> Endpoint | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(ENDPOINT, tenant_id, endpoint_id)
        return None if row is None else _endpoint(row)

    async def endpoints(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Endpoint]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_endpoint(row) for row in await tx.fetch(ENDPOINTS, tenant_id, before, limit)]

    # -- the log -----------------------------------------------------------------------------

    async def attempted(self, delivery: Delivery, *, gone: bool, failing_before: datetime) -> DisabledBy | None:
        tenant_id, endpoint_id, last = delivery.tenant_id, delivery.endpoint_id, delivery.last
        disabled_by: DisabledBy | None = None
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(
                ATTEMPTED,
                tenant_id,
                delivery.id,
                endpoint_id,
                delivery.event_id,
                delivery.type,
                delivery.resource,
                delivery.body,
                delivery.state,
                delivery.created_at,
                delivery.job_id,
                last.at,
                last.status,
                last.latency_ms,
                last.reply,
                last.error,
            )
            if delivery.state == "delivered":
                await tx.execute(TAKEN, tenant_id, endpoint_id)
            else:
                await tx.execute(NOT_TAKEN, tenant_id, endpoint_id, last.at)
                disabled_by = await tx.fetchval(DISABLE, tenant_id, endpoint_id, gone, failing_before, last.at)
                if disabled_by is not None:
                    await tell_change(tx, TOPIC, tenant_id)
        return disabled_by

    async def waiting(self, tenant_id: TenantId, since: datetime) -> int:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            waiting: int = await tx.fetchval(WAITING, tenant_id, since)
        return waiting

    async def give_up(self, tenant_id: TenantId, job_id: UUID) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            return await tx.fetchval(GIVE_UP, tenant_id, job_id) is not None

    async def delivery(self, tenant_id: TenantId, delivery_id: UUID) -> Delivery | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(DELIVERY, tenant_id, delivery_id)
        return None if row is None else _delivery(row)

    async def deliveries(
        self, tenant_id: TenantId, endpoint_id: UUID, *, state: DeliveryState | None, before: UUID | None, limit: int
    ) -> list[Delivery]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_delivery(row) for row in await tx.fetch(DELIVERIES, tenant_id, endpoint_id, state, before, limit)]

    async def attempts(
        self, tenant_id: TenantId, delivery_id: UUID, *, before: int | None, limit: int
    ) -> list[tuple[int, Attempt]]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            rows = await tx.fetch(ATTEMPTS, tenant_id, delivery_id, before, limit)
        return [(row["number"], _attempt(row)) for row in rows]

    async def failed_since(self, tenant_id: TenantId, endpoint_id: UUID, since: datetime, limit: int) -> list[UUID]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [row["id"] for row in await tx.fetch(FAILED_SINCE, tenant_id, endpoint_id, since, limit)]

    async def tenants_expired(self, before: datetime) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_EXPIRED, before)

    async def expire(self, tenant_id: TenantId, before: datetime, *, limit: int) -> int:
        async with self._store.tenant(tenant_id) as tx:
            deleted: int = await tx.fetchval(EXPIRE, tenant_id, before, limit)
        return deleted


def _endpoint(row: Row) -> Endpoint:
    return Endpoint(
        tenant_id=TenantId(row["tenant_id"]),
        id=row["id"],
        url=row["url"],
        events=tuple(row["events"]),
        secret=row["secret"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        description=row["description"],
        disabled_by=row["disabled_by"],
        old_secret=row["old_secret"],
        old_secret_until=row["old_secret_until"],
        failing_since=row["failing_since"],
        failures=row["failures"],
        revision=row["revision"],
    )


def _attempt(row: Row, prefix: str = "") -> Attempt:
    return Attempt(
        at=row[f"{prefix}at"],
        status=row[f"{prefix}status"],
        latency_ms=row[f"{prefix}latency_ms"],
        reply=row[f"{prefix}reply"],
        error=row[f"{prefix}error"],
    )


def _delivery(row: Row) -> Delivery:
    return Delivery(
        tenant_id=TenantId(row["tenant_id"]),
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        event_id=row["event_id"],
        type=row["type"],
        resource=row["resource"],
        body=row["body"],
        state=row["state"],
        created_at=row["created_at"],
        job_id=row["job_id"],
        last=_attempt(row, "last_"),
        attempts=row["attempts"],
    )
