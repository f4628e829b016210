"""Parked calls at rest: one contract for the fake and for Postgres, then what only Postgres must uphold."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tenfold.core.call import CallOptions
from tenfold.core.ids import KeyId, TenantId, UserId, uuid7
from tenfold.jobs.parked.handlers import expire_tickets
from tenfold.jobs.parked.queries import PostgresParkedRows
from tenfold.jobs.parked.types import ParkedCall, Ticket
from tenfold.store import Store
from tests.jobs.parked.conftest import Parked
from tests.ledger.samples import add_tenant

KEEP_S = 1000.0


def call(tenant_id: TenantId, **facts: Any) -> ParkedCall:
    defaults: dict[str, Any] = {
        "id": uuid7(),
        "key_id": KeyId(UUID(int=7)),
        "user_id": None,
        "operation": "chat",
        "dialect": "openai",
        "model": "fast",
        "options": CallOptions(feature="support"),
        "body": b'{"model":"fast"}',
    }
    return ParkedCall(tenant_id=tenant_id, **(defaults | facts))


async def add(parked: Parked, one: ParkedCall, *, most: int = 100, most_bytes: int = 10_000) -> Ticket | None:
    return await parked.rows.add(one, keep_s=KEEP_S, most=most, most_bytes=most_bytes)


async def added(parked: Parked, **facts: Any) -> ParkedCall:
    one = call(parked.tenants[0], **facts)
    assert await add(parked, one) is not None
    return one


async def test_a_parked_call_comes_back_as_it_was_asked(parked: Parked) -> None:
    options = CallOptions(
        feature="support",
        task="T-1",
        end_user="Zoë",
        run="r",
        max_cost_nano=5,
        cache=frozenset({"exact"}),
        upstream_headers=((b"anthropic-beta", b"b1"), (b"openai-beta", b"x")),
    )
    one = await added(
        parked, options=options, body=b"\0\xff{}", key_id=None, user_id=UserId(uuid7()), operation="embeddings"
    )
    assert await parked.rows.load(parked.tenants[0], one.id) == one


async def test_its_ticket_tells_what_it_is(parked: Parked) -> None:
    one = call(parked.tenants[0])
    ticket = await add(parked, one)
    assert ticket is not None
    assert (ticket.state, ticket.operation, ticket.dialect, ticket.model) == ("waiting", "chat", "openai", "fast")
    assert (ticket.feature, ticket.ended_at, ticket.reply) == ("support", None, None)
    assert (ticket.expires_at - ticket.created_at).total_seconds() == pytest.approx(KEEP_S, abs=1)
    assert ticket.id == f"tkt_{one.id.hex}"
    assert ticket.location == f"/api/v1/tickets/tkt_{one.id.hex}"
    assert await parked.rows.find(parked.tenants[0], one.id) == ticket


async def test_the_same_call_twice_is_one_ticket(parked: Parked) -> None:
    one = call(parked.tenants[0])
    tickets = await asyncio.gather(*(add(parked, one, most=1) for _ in range(5)))
    assert tickets == [tickets[0]] * 5
    assert len(await parked.rows.page(parked.tenants[0], before=None, limit=9)) == 1


async def test_never_more_wait_than_may_however_many_come_at_once(parked: Parked) -> None:
    calls = [call(parked.tenants[0]) for _ in range(8)]
    tickets = await asyncio.gather(*(add(parked, one, most=3) for one in calls))
    assert sum(ticket is not None for ticket in tickets) == 3
    assert await add(parked, call(parked.tenants[1]), most=3) is not None  # the bound is each tenant's own


async def test_never_more_bytes_wait_than_may(parked: Parked) -> None:
    mine = parked.tenants[0]
    assert await add(parked, call(mine, body=b"x" * 60), most_bytes=100) is not None
    assert await add(parked, call(mine, body=b"x" * 41), most_bytes=100) is None
    assert await add(parked, call(mine, body=b"x" * 40), most_bytes=100) is not None


async def test_what_has_ended_or_expired_makes_room(parked: Parked) -> None:
    mine = parked.tenants[0]
    first, second = await added(parked), await added(parked)
    assert await add(parked, call(mine), most=2) is None
    assert await parked.rows.finish(mine, first.id, "done", http_status=200, keep_s=KEEP_S)
    assert await add(parked, call(mine), most=2) is not None
    assert await parked.rows.remove(mine, second.id)
    assert await add(parked, call(mine), most=2) is not None
    await parked.let_pass(KEEP_S)
    assert await add(parked, call(mine), most=2) is not None


async def test_what_came_of_a_call_is_told_and_its_body_goes(parked: Parked) -> None:
    mine = parked.tenants[0]
    done, failed = await added(parked), await added(parked)
    assert await parked.rows.finish(mine, done.id, "done", http_status=200, keep_s=KEEP_S, reply=b'{"a":1}')
    assert await parked.rows.finish(
        mine, failed.id, "failed", http_status=404, keep_s=KEEP_S, error_code="model_not_found"
    )
    ticket = await parked.rows.find(mine, done.id)
    assert ticket is not None
    assert (ticket.state, ticket.http_status, ticket.reply, ticket.error_code) == ("done", 200, b'{"a":1}', None)
    assert ticket.ended_at is not None
    ticket = await parked.rows.find(mine, failed.id)
    assert ticket is not None
    assert (ticket.state, ticket.http_status, ticket.error_code) == ("failed", 404, "model_not_found")
    assert await parked.rows.load(mine, done.id) is None


async def test_what_came_of_a_call_first_stays(parked: Parked) -> None:
    mine = parked.tenants[0]
    one = await added(parked)
    assert await parked.rows.finish(mine, one.id, "done", http_status=200, keep_s=KEEP_S)
    assert not await parked.rows.finish(mine, one.id, "failed", http_status=500, keep_s=KEEP_S)
    assert not await parked.rows.finish(mine, uuid7(), "done", http_status=200, keep_s=KEEP_S)
    ticket = await parked.rows.find(mine, one.id)
    assert ticket is not None
    assert ticket.state == "done"


async def test_a_call_that_was_parked_and_has_ended_is_not_parked_again(parked: Parked) -> None:
    one = await added(parked)
    await parked.rows.finish(parked.tenants[0], one.id, "done", http_status=200, keep_s=KEEP_S)
    ticket = await add(parked, one)
    assert ticket is not None
    assert ticket.state == "done"


async def test_pages_hold_every_ticket_once_the_newest_first(parked: Parked) -> None:
    mine = parked.tenants[0]
    calls = [await added(parked) for _ in range(5)]
    await parked.rows.finish(mine, calls[4].id, "done", http_status=200, keep_s=KEEP_S, reply=b"{}")
    seen: list[Ticket] = []
    before: UUID | None = None
    while page := await parked.rows.page(mine, before=before, limit=2):
        seen += page
        before = page[-1].call_id
    assert [ticket.call_id for ticket in seen] == sorted((one.id for one in calls), reverse=True)
    assert {ticket.reply for ticket in seen} == {None}


async def test_a_tenant_reaches_its_own_only(parked: Parked) -> None:
    mine, other = parked.tenants
    one = await added(parked)
    assert await parked.rows.find(other, one.id) is None
    assert await parked.rows.load(other, one.id) is None
    assert await parked.rows.page(other, before=None, limit=9) == []
    assert not await parked.rows.remove(other, one.id)
    assert not await parked.rows.finish(other, one.id, "done", http_status=200, keep_s=KEEP_S)
    assert await parked.rows.expire(other, keep_s=KEEP_S, limit=9) == 0
    assert await parked.rows.find(mine, one.id) is not None


async def test_what_is_removed_is_gone(parked: Parked) -> None:
    one = await added(parked)
    assert await parked.rows.remove(parked.tenants[0], one.id)
    assert await parked.rows.find(parked.tenants[0], one.id) is None
    assert await parked.rows.load(parked.tenants[0], one.id) is None
    assert not await parked.rows.remove(parked.tenants[0], one.id)


async def test_a_call_that_waited_too_long_is_not_asked_any_more(parked: Parked) -> None:
    mine = parked.tenants[0]
    one = await added(parked)
    assert await parked.rows.tenants_expired() == []
    await parked.let_pass(KEEP_S)
    ticket = await parked.rows.find(mine, one.id)
    assert ticket is not None
    assert ticket.state == "expired"  # before anybody has swept
    assert await parked.rows.load(mine, one.id) is None
    assert not await parked.rows.finish(mine, one.id, "done", http_status=200, keep_s=KEEP_S)
    assert await parked.rows.tenants_expired() == [mine]
    assert await expire_tickets(parked.rows, keep_s=KEEP_S) == 1
    assert await expire_tickets(parked.rows, keep_s=KEEP_S) == 0
    ticket = await parked.rows.find(mine, one.id)
    assert ticket is not None
    assert (ticket.state, ticket.ended_at is None) == ("expired", False)


async def test_a_ticket_that_was_kept_long_enough_goes(parked: Parked) -> None:
    mine = parked.tenants[0]
    done, waited = await added(parked), await added(parked)
    await parked.let_pass(KEEP_S - 10)
    await parked.rows.finish(mine, done.id, "done", http_status=200, keep_s=KEEP_S)
    await parked.let_pass(10)
    assert await expire_tickets(parked.rows, keep_s=KEEP_S) == 1  # the one that waited
    assert len(await parked.rows.page(mine, before=None, limit=9)) == 2
    await parked.let_pass(KEEP_S)
    assert await expire_tickets(parked.rows, keep_s=KEEP_S) == 2
    assert await parked.rows.page(mine, before=None, limit=9) == []
    assert await parked.rows.find(mine, waited.id) is None


async def test_expiring_goes_in_batches(parked: Parked) -> None:
    for _ in range(3):
        await added(parked)
    await parked.let_pass(KEEP_S)
    told = [await parked.rows.expire(parked.tenants[0], keep_s=KEEP_S, limit=2) for _ in range(3)]
    assert told == [2, 1, 0]


# -- Postgres alone --------------------------------------------------------------------------


async def test_row_level_security_holds_without_the_tenant_in_the_query(store: Store) -> None:
    mine, other = TenantId(uuid7()), TenantId(uuid7())
    for tenant_id in (mine, other):
        await add_tenant(store, tenant_id)
    await PostgresParkedRows(store).add(call(mine), keep_s=KEEP_S, most=9, most_bytes=999)
    async with store.tenant(other) as tx:
        assert await tx.fetchval("SELECT count(*) FROM parked_calls") == 0
    async with store.tenant(mine) as tx:
        assert await tx.fetchval("SELECT count(*) FROM parked_calls") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with store.tenant(mine) as tx:
            await tx.execute("UPDATE parked_calls SET tenant_id = $1", other)


async def test_nothing_of_the_body_is_left_once_the_call_has_ended(store: Store) -> None:
    mine = TenantId(uuid7())
    await add_tenant(store, mine)
    rows, one = PostgresParkedRows(store), call(mine, options=CallOptions(end_user="Zoë"))
    await rows.add(one, keep_s=KEEP_S, most=9, most_bytes=999)
    await rows.finish(mine, one.id, "failed", http_status=500, keep_s=KEEP_S)
    async with store.tenant(mine) as tx:
        row = await tx.fetchrow("SELECT body, options FROM parked_calls")
    assert row is not None
    assert (row["body"], row["options"]) == (b"", {})
