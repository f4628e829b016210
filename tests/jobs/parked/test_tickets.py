"""The rules of tickets: what may wait, what of it is kept, and what is none."""

import pytest
from msgspec import structs

from tenfold.core.call import Call, CallOptions
from tenfold.core.clock import FakeClock
from tenfold.core.errors import InvalidRequest, NotFound, Overloaded, StoreUnavailable, TooLarge
from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.parked.fake import FakeParkedRows
from tenfold.jobs.parked.handlers import Tickets

ACME = Principal(tenant_id=TenantId(uuid7()), tenant_slug="acme", key_id=KeyId(uuid7()))
OTHER = structs.replace(ACME, tenant_id=TenantId(uuid7()))


@pytest.fixture
def rows() -> FakeParkedRows:
    return FakeParkedRows(FakeClock())


def asked(whose: Principal = ACME, body: bytes = b"{}", options: CallOptions | None = None) -> Call:
    call = Call(
        principal=whose, operation="chat", dialect="openai", body=body, options=options or CallOptions(feature="f")
    )
    call.model = "fast"
    return call


async def test_a_call_is_parked_once(rows: FakeParkedRows) -> None:
    tickets, call = Tickets(rows), asked()
    first, second = await tickets.park(call), await tickets.park(call)
    assert first == second
    assert first.call_id == call.id
    assert len(rows) == 1


async def test_what_holds_for_the_moment_alone_is_not_kept(rows: FakeParkedRows) -> None:
    options = CallOptions(
        feature="f",
        task="t",
        max_cost_nano=9,
        approved_cost_nano=99,
        idempotency_key="k",
        deadline_ms=5,
        client_retry=True,
        tell_budget=True,
        explain=frozenset({"route"}),
        traceparent="00-1",
    )
    call = asked(options=options)
    await Tickets(rows).park(call)
    kept = await rows.load(ACME.tenant_id, call.id)
    assert kept is not None
    assert kept.options == CallOptions(feature="f", task="t", max_cost_nano=9)
    assert (kept.key_id, kept.model, kept.body) == (ACME.key_id, "fast", b"{}")


async def test_a_tenant_has_so_many_waiting_and_no_more(rows: FakeParkedRows) -> None:
    tickets = Tickets(rows, max_waiting=2)
    await tickets.park(asked())
    again = asked()
    await tickets.park(again)
    with pytest.raises(Overloaded):
        await tickets.park(asked())
    await tickets.park(again)
    await tickets.park(asked(OTHER))


async def test_what_is_too_large_is_not_kept(rows: FakeParkedRows) -> None:
    tickets = Tickets(rows, max_body_bytes=10, max_waiting_bytes=15)
    with pytest.raises(TooLarge):
        await tickets.park(asked(body=b"x" * 11))
    await tickets.park(asked(body=b"x" * 10))
    with pytest.raises(Overloaded):
        await tickets.park(asked(body=b"x" * 6))


async def test_another_tenants_ticket_is_none(rows: FakeParkedRows) -> None:
    tickets = Tickets(rows)
    ticket = await tickets.park(asked())
    with pytest.raises(NotFound):
        await tickets.find(OTHER.tenant_id, ticket.id)
    with pytest.raises(NotFound):
        await tickets.remove(OTHER.tenant_id, ticket.id)
    assert await tickets.find(ACME.tenant_id, ticket.id) == ticket
    await tickets.remove(ACME.tenant_id, ticket.id)
    with pytest.raises(NotFound):
        await tickets.find(ACME.tenant_id, ticket.id)


@pytest.mark.parametrize("name", ["", "x", "tkt_", "tkt_12", "TKT_" + "0" * 32, "0" * 32, "tkt_" + "0" * 33, "tkt_é"])
async def test_what_is_no_id_is_no_ticket(rows: FakeParkedRows, name: str) -> None:
    with pytest.raises(NotFound):
        await Tickets(rows).find(ACME.tenant_id, name)
    with pytest.raises(NotFound):
        await Tickets(rows).remove(ACME.tenant_id, name)


async def test_tickets_come_in_pages(rows: FakeParkedRows) -> None:
    tickets = Tickets(rows)
    made = [(await tickets.park(asked())).id for _ in range(5)]
    first = await tickets.list(ACME.tenant_id, limit=3)
    rest = await tickets.list(ACME.tenant_id, limit=3, cursor=first.cursor)
    assert [ticket.id for ticket in first.items + rest.items] == sorted(made, reverse=True)
    assert rest.cursor is None
    for cursor, limit in ((None, 0), (None, 101), ("x", 3)):
        with pytest.raises(InvalidRequest):
            await tickets.list(ACME.tenant_id, cursor=cursor, limit=limit)


async def test_while_the_database_is_away_nothing_is_parked(rows: FakeParkedRows) -> None:
    rows.away = True
    with pytest.raises(StoreUnavailable):
        await Tickets(rows).park(asked())
