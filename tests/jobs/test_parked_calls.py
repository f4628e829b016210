"""The upgrade from a release in which calls waited in a table of their own: they are jobs, under the same tickets."""

from pathlib import Path
from uuid import UUID

import asyncpg
from msgspec import json

import tenfold.store
from tenfold.core.call import CallOptions
from tenfold.core.ids import TenantId, uuid7
from tenfold.inference.tickets.types import KIND, LaterCall, ticket_of
from tenfold.jobs.queries import PostgresJobRows
from tenfold.store import Store
from tests.ledger.samples import add_tenant

MIGRATIONS = Path(tenfold.store.__file__).parent / "migrations"
ADD = """
INSERT INTO parked_calls (tenant_id, id, key_id, operation, client_dialect, model, feature, options, body, body_bytes,
                          state, expires_at)
VALUES ($1, $2, $3, 'chat', 'anthropic', 'm', 'support', $4, $5, $6, $7, now() + make_interval(secs => $8))
"""


async def add(connection: asyncpg.Connection, tenant_id: TenantId, body: bytes, state: str, left_s: float) -> UUID:
    call_id = uuid7()
    options = json.encode(CallOptions(feature="support", end_user="Zoë", upstream_headers=((b"a", b"b"),))).decode()
    kept = body if state == "waiting" else b""
    await connection.execute("SELECT set_config('tenfold.tenant_id', $1, false)", str(tenant_id))
    await connection.execute(ADD, tenant_id, call_id, uuid7(), options, kept, len(kept), state, left_s)
    return call_id


async def test_calls_that_waited_go_on_waiting(store: Store, database: str) -> None:
    tenants = [TenantId(uuid7()) for _ in range(2)]
    for tenant_id in tenants:
        await add_tenant(store, tenant_id)
    body = bytes(range(256)) * 5
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("SET search_path = tenfold, public")
        await connection.execute((MIGRATIONS / "0014_parked_calls.pre.sql").read_text())
        waiting = {tenant_id: await add(connection, tenant_id, body, "waiting", 60.0) for tenant_id in tenants}
        await add(connection, tenants[0], body, "waiting", -1.0)
        await add(connection, tenants[0], body, "done", 60.0)
        for _ in range(2):  # it may stop half way
            await connection.execute((MIGRATIONS / "0022_tickets.post.sql").read_text())
        assert await connection.fetchval("SELECT to_regclass('tenfold.parked_calls')") is None
    finally:
        await connection.close()
    rows = PostgresJobRows(store)
    works = {work.job.tenant_id: work for work in await rows.claim(uuid7(), {KIND}, limit=10)}
    assert {tenant_id: work.job.id for tenant_id, work in works.items()} == waiting
    for tenant_id, work in works.items():
        call = json.decode(work.input, type=LaterCall)
        assert (call.operation, call.dialect, call.body) == ("chat", "anthropic", body)
        assert call.options == CallOptions(feature="support", end_user="Zoë", upstream_headers=((b"a", b"b"),))
        ticket = ticket_of(work.job)
        assert (ticket.state, ticket.model, ticket.feature) == ("running", "m", "support")
        assert work.principal.tenant_id == tenant_id
        assert work.new.max_attempts > 1000
