"""Tickets by the JSON API: what is told of a parked call, scopes, and other tenants."""

import httpx
import pytest

from tenfold.core.call import Call, CallOptions
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.inference.tickets.types import KIND, Ticket, ticket_location
from tenfold.jobs.types import Result
from tests.console.test_api import bearer, problem_of
from tests.support.console import FakeConsole


async def parked(console: FakeConsole, slug: str = "acme") -> Ticket:
    tenant = await console.tenants.tenant_or_new(slug, slug)
    call = Call(
        principal=Principal(tenant_id=tenant.id, tenant_slug=slug),
        operation="chat",
        dialect="openai",
        body=b'{"model":"fast","messages":"the prompt itself"}',
        options=CallOptions(feature="support", end_user="Zoe"),
    )
    call.model = "fast"
    return await console.tickets.accept(call, 0.0)


async def test_a_ticket_is_read_listed_and_deleted(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers, ticket = await bearer(console, "inference"), await parked(console)
    response = await api.get(ticket_location(ticket.id), headers=headers)
    assert response.status_code == 200, response.text
    told = response.json()
    assert (told["id"], told["request_id"]) == (ticket.id, f"req_{ticket.call_id.hex}")
    assert (told["state"], told["model"], told["feature"]) == ("waiting", "fast", "support")
    assert (told["created_at"], told["expires_at"]) == ("2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z")
    assert (told["reply"], told["attempts"], told["ended_at"]) == (None, 0, None)
    assert (response.headers["etag"], response.headers["retry-after"]) == ('"1"', "1")
    assert "prompt" not in response.text
    assert "Zoe" not in response.text

    listed = (await api.get("/api/v1/tickets", headers=headers)).json()
    assert (listed["next_cursor"], [each["id"] for each in listed["data"]]) == (None, [ticket.id])
    deleted = await api.delete(ticket_location(ticket.id), headers=headers)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await api.get(ticket_location(ticket.id), headers=headers)).status_code == 404
    assert (await api.delete(ticket_location(ticket.id), headers=headers)).status_code == 404
    assert len(console.work.rows) == 0


@pytest.mark.parametrize(
    ("reply", "told"),
    [(b'{"object":"chat.completion"}', {"object": "chat.completion"}), (b"data: x\n\n", "data: x\n\n")],
)
async def test_what_came_of_a_call_is_told(
    reply: bytes, told: object, console: FakeConsole, api: httpx.AsyncClient
) -> None:
    headers, ticket = await bearer(console, "inference"), await parked(console)
    worker = uuid7()
    (work,) = await console.work.rows.claim(worker, [KIND], limit=1)
    running = await api.get(ticket_location(ticket.id), headers=headers)
    assert (running.json()["state"], running.headers["retry-after"]) == ("running", "1")
    tag = running.headers["etag"]
    same = await api.get(ticket_location(ticket.id), headers=headers | {"if-none-match": tag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    await console.work.rows.finish(work, worker, "done", Result(output=reply))
    response = await api.get(ticket_location(ticket.id), headers=headers | {"if-none-match": tag})
    assert "retry-after" not in response.headers
    found = response.json()
    assert (found["state"], found["attempts"], found["reply"]) == ("done", 1, told)
    (line,) = (await api.get("/api/v1/tickets", headers=headers)).json()["data"]
    assert "reply" not in line


async def test_tickets_come_in_pages(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    made = {(await parked(console)).id for _ in range(3)}
    first = (await api.get("/api/v1/tickets", params={"limit": 2}, headers=headers)).json()
    rest = (await api.get("/api/v1/tickets", params={"cursor": first["next_cursor"]}, headers=headers)).json()
    assert {each["id"] for each in first["data"] + rest["data"]} == made
    assert rest["next_cursor"] is None
    for params in ({"cursor": "x"}, {"limit": "0"}, {"limit": "101"}):
        assert (await api.get("/api/v1/tickets", params=params, headers=headers)).status_code == 400


async def test_a_key_does_what_its_scopes_say(console: FakeConsole, api: httpx.AsyncClient) -> None:
    ticket = await parked(console)
    others = await bearer(console, "usage", "keys", "budgets", "approve")
    for path in ("/api/v1/tickets", ticket_location(ticket.id)):
        assert (await api.get(path, headers=others)).status_code == 403
        assert (await api.get(path)).status_code == 401
    assert (await api.delete(ticket_location(ticket.id), headers=others)).status_code == 403


async def test_another_tenants_tickets_do_not_exist(console: FakeConsole, api: httpx.AsyncClient) -> None:
    mine, theirs = await bearer(console, "inference"), await parked(console, "other")
    assert (await api.get("/api/v1/tickets", headers=mine)).json()["data"] == []
    beyond = {"cursor": f"job_{theirs.call_id.hex}"}
    after_theirs = (await api.get("/api/v1/tickets", params=beyond, headers=mine)).json()
    assert after_theirs["data"] == []
    for ticket in (theirs.id, "tkt_" + "0" * 32, "nonsense"):
        for response in (
            await api.get(f"/api/v1/tickets/{ticket}", headers=mine),
            await api.delete(f"/api/v1/tickets/{ticket}", headers=mine),
        ):
            assert (response.status_code, problem_of(response)["code"]) == (404, "not_found")
    other = await console.tenants.tenant_or_new("other", "other")
    assert await console.tickets.find(other.id, theirs.id) == theirs
