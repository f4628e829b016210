"""Budgets, limits and alerts by the JSON API: scopes, other tenants, and amounts that are none."""

from typing import Any

import httpx
import pytest

from tenfold.core.ids import TenantId, uuid7
from tests.console.browser import Browser
from tests.console.test_api import bearer, problem_of
from tests.support.console import FakeConsole

BUDGET: dict[str, Any] = {"per": "feature", "subject": "search", "period": "month", "limit_usd": "25.50"}
LIMIT: dict[str, Any] = {"per": "key", "measure": "requests", "amount": 60, "window_s": 60}


async def tenant_of(console: FakeConsole, slug: str = "acme") -> TenantId:
    return (await console.tenants.tenant_or_new(slug, slug)).id


async def both(console: FakeConsole, slug: str = "acme") -> dict[str, str]:
    return await bearer(console, "budgets", "usage", slug=slug)


# -- budgets ---------------------------------------------------------------------------------


async def test_a_budget_is_created_listed_changed_and_ended(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await both(console)
    response = await api.post("/api/v1/budgets", json=BUDGET, headers=headers)
    assert response.status_code == 201, response.text
    created = response.json()
    assert {key: created[key] for key in BUDGET} == BUDGET | {"limit_usd": "25.5"}
    assert (created["hard"], created["alerts"], created["owner"]) == (True, [80, 100], "tenant")

    tenant_id = await tenant_of(console)
    budget = (await console.budgets.line(tenant_id, created["id"])).budget
    await console.spend(budget, "search", settled_nano=10_000_000_001, held_nano=500_000_000)
    listed = (await api.get("/api/v1/budgets", headers=headers)).json()
    assert listed["next_cursor"] is None
    (line,) = listed["data"]
    (state,) = line["states"]
    assert (state["settled_usd"], state["held_usd"], state["remaining_usd"]) == ("10.000000001", "0.5", "14.999999999")
    assert (state["subject"], state["period_start"]) == ("search", "2026-01-01T00:00:00Z")
    assert (await api.get(f"/api/v1/budgets/{created['id']}", headers=headers)).json() == line

    changed = await api.patch(f"/api/v1/budgets/{created['id']}", json={"limit_usd": "30"}, headers=headers)
    assert (changed.json()["limit_usd"], changed.json()["hard"]) == ("30", True)
    soft = {"hard": False, "alerts": [50]}
    changed = await api.patch(f"/api/v1/budgets/{created['id']}", json=soft, headers=headers)
    assert (changed.json()["limit_usd"], changed.json()["hard"], changed.json()["alerts"]) == ("30", False, [50])

    ended = await api.delete(f"/api/v1/budgets/{created['id']}", headers=headers)
    assert (ended.status_code, ended.content) == (204, b"")
    assert (await api.get("/api/v1/budgets", headers=headers)).json()["data"] == []
    assert (await api.delete(f"/api/v1/budgets/{created['id']}", headers=headers)).status_code == 404


async def test_a_budget_of_nothing_is_one(console: FakeConsole, api: httpx.AsyncClient, browser: Browser) -> None:
    headers = await both(console)
    assert (await api.post("/api/v1/budgets", json=BUDGET | {"limit_usd": "0"}, headers=headers)).status_code == 201
    (line,) = (await api.get("/api/v1/budgets", headers=headers)).json()["data"]
    assert [state["remaining_usd"] for state in line["states"]] == ["0"]
    await browser.sign_up()
    await browser.open("/budgets")
    page = await browser.send("/budgets", per="tenant", period="day", limit_usd="0", hard="yes")
    assert "0 USD a day" in page.text
    assert "used up: further calls are refused" in page.text


async def test_budgets_come_in_pages(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await both(console)
    for _ in range(3):
        await api.post("/api/v1/budgets", json=BUDGET, headers=headers)
    first = (await api.get("/api/v1/budgets", params={"limit": 2}, headers=headers)).json()
    rest = (await api.get("/api/v1/budgets", params={"cursor": first["next_cursor"]}, headers=headers)).json()
    assert [len(first["data"]), len(rest["data"]), rest["next_cursor"]] == [2, 1, None]
    assert (await api.get("/api/v1/budgets", params={"cursor": "x"}, headers=headers)).status_code == 400
    assert (await api.get("/api/v1/budgets", params={"limit": 101}, headers=headers)).status_code == 400


@pytest.mark.parametrize("amount", ["", "-1", "NaN", "1e9", "5 EUR", "€5", "1,50", "0.0000000001", "9" * 30])
async def test_a_limit_that_is_no_amount(amount: str, console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await both(console)
    response = await api.post("/api/v1/budgets", json=BUDGET | {"limit_usd": amount}, headers=headers)
    assert (response.status_code, problem_of(response)["code"]) == (400, "invalid_request")
    assert (await api.get("/api/v1/budgets", headers=headers)).json()["data"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        BUDGET | {"limit_usd": 25.5},
        BUDGET | {"per": "team"},
        BUDGET | {"period": "week"},
        BUDGET | {"owner": "operator"},
        BUDGET | {"alerts": ["x"]},
        BUDGET | {"currency": "EUR"},
    ],
)
async def test_bad_budgets(body: dict[str, Any], console: FakeConsole, api: httpx.AsyncClient) -> None:
    response = await api.post("/api/v1/budgets", json=body, headers=await both(console))
    assert (response.status_code, problem_of(response)["code"]) == (400, "invalid_request")


async def test_the_operators_budget_is_seen_and_not_changed(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await both(console)
    tenant_id = await tenant_of(console)
    budget = await console.budgets.create(tenant_id, per="tenant", period="day", limit_nano=10**9, by="operator")
    (line,) = (await api.get("/api/v1/budgets", headers=headers)).json()["data"]
    assert line["owner"] == "operator"
    for response in (
        await api.patch(f"/api/v1/budgets/{budget.id}", json={"limit_usd": "2"}, headers=headers),
        await api.delete(f"/api/v1/budgets/{budget.id}", headers=headers),
    ):
        assert (response.status_code, problem_of(response)["code"]) == (403, "permission_denied")


# -- limits ----------------------------------------------------------------------------------


async def test_a_limit_is_created_listed_and_ended(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await both(console)
    created = (await api.post("/api/v1/limits", json=LIMIT, headers=headers)).json()
    assert {key: created[key] for key in LIMIT} == LIMIT
    assert (created["amount_usd"], created["owner"], created["subject"]) == (None, "tenant", None)
    money = {"per": "tenant", "measure": "usd", "amount_usd": "1.25", "window_s": 3600, "burst_usd": "0.25"}
    created = (await api.post("/api/v1/limits", json=money, headers=headers)).json()
    assert (created["amount"], created["amount_usd"], created["burst_usd"]) == (None, "1.25", "0.25")
    slots = {"per": "end_user", "measure": "concurrency", "amount": 4}
    assert (await api.post("/api/v1/limits", json=slots, headers=headers)).status_code == 201

    listed = (await api.get("/api/v1/limits", headers=headers)).json()["data"]
    assert {each["measure"] for each in listed} == {"concurrency", "usd", "requests"}
    for each in listed:
        assert (await api.delete(f"/api/v1/limits/{each['id']}", headers=headers)).status_code == 204
    assert (await api.get("/api/v1/limits", headers=headers)).json() == {"data": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (LIMIT | {"amount": 0}, "amount"),
        (LIMIT | {"amount": -5}, "amount"),
        (LIMIT | {"amount": 10**30}, "amount"),
        (LIMIT | {"amount_usd": "1"}, "amount"),
        (LIMIT | {"window_s": None}, "window_s"),
        (LIMIT | {"measure": "usd"}, "amount_usd"),
        (LIMIT | {"measure": "usd", "amount": None, "amount_usd": "5 EUR"}, "amount_usd"),
        (LIMIT | {"measure": "usd", "amount": None, "amount_usd": "0"}, "amount"),
        (LIMIT | {"measure": "calls"}, "measure"),
        (LIMIT | {"measure": "concurrency"}, "window_s"),
        (LIMIT | {"per": "feature"}, "per"),
        (LIMIT | {"subject": "not-a-key"}, "subject"),
        (LIMIT | {"weight": 3}, "weight"),
    ],
)
async def test_bad_limits(body: dict[str, Any], param: str, console: FakeConsole, api: httpx.AsyncClient) -> None:
    response = await api.post("/api/v1/limits", json=body, headers=await both(console))
    assert (response.status_code, problem_of(response).get("param")) == (400, param), response.text


async def test_the_operators_limit_is_not_the_tenants_to_end(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers, tenant_id = await both(console), await tenant_of(console)
    limit = await console.limits.create(
        tenant_id, per="tenant", measure="requests", amount=1, window_s=1, by="operator"
    )
    assert (await api.delete(f"/api/v1/limits/{limit.id}", headers=headers)).status_code == 403


# -- alerts ----------------------------------------------------------------------------------


async def test_alerts_are_listed_in_pages(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers, tenant_id = await both(console), await tenant_of(console)
    budget = await console.budgets.create(tenant_id, per="tenant", period="month", limit_nano=10**10, alerts=(80, 90))
    await console.spend(budget, settled_nano=9_500_000_000)
    first = (await api.get("/api/v1/alerts", params={"limit": 1}, headers=headers)).json()
    (alert,) = first["data"]
    assert (alert["spent_usd"], alert["limit_usd"], alert["subject"], alert["delivered"]) == ("9.5", "10", None, False)
    assert (alert["at"], alert["budget_id"]) == ("2026-01-01T00:00:00Z", str(budget.id))
    rest = (await api.get("/api/v1/alerts", params={"cursor": first["next_cursor"]}, headers=headers)).json()
    assert {alert["percent"], *(each["percent"] for each in rest["data"])} == {80, 90}


# -- who may ---------------------------------------------------------------------------------


async def test_a_key_does_what_its_scopes_say(console: FakeConsole, api: httpx.AsyncClient) -> None:
    readers = await bearer(console, "usage")
    writers = await bearer(console, "budgets")
    others = await bearer(console, "inference", "keys", "approve")
    somewhere = f"/api/v1/budgets/{uuid7()}"
    for headers in (writers, others):
        for path in ("/api/v1/budgets", somewhere, "/api/v1/limits", "/api/v1/alerts"):
            assert (await api.get(path, headers=headers)).status_code == 403, path
    for headers in (readers, others):
        assert (await api.post("/api/v1/budgets", json=BUDGET, headers=headers)).status_code == 403
        assert (await api.patch(somewhere, json={"hard": True}, headers=headers)).status_code == 403
        assert (await api.delete(somewhere, headers=headers)).status_code == 403
        assert (await api.post("/api/v1/limits", json=LIMIT, headers=headers)).status_code == 403
        assert (await api.delete(f"/api/v1/limits/{uuid7()}", headers=headers)).status_code == 403
    assert (await api.get("/api/v1/budgets")).status_code == 401


async def test_another_tenants_budgets_and_limits_do_not_exist(console: FakeConsole, api: httpx.AsyncClient) -> None:
    mine, theirs = await both(console), await both(console, slug="other")
    budget = (await api.post("/api/v1/budgets", json=BUDGET, headers=theirs)).json()["id"]
    limit = (await api.post("/api/v1/limits", json=LIMIT, headers=theirs)).json()["id"]
    owned = (await console.budgets.line(await tenant_of(console, "other"), budget)).budget
    await console.spend(owned, "search", settled_nano=owned.limit_nano)
    for path in ("/api/v1/budgets", "/api/v1/limits", "/api/v1/alerts"):
        assert (await api.get(path, headers=mine)).json()["data"] == []
    for budget_id in (budget, str(uuid7()), "nonsense"):
        path = f"/api/v1/budgets/{budget_id}"
        for response in (
            await api.get(path, headers=mine),
            await api.patch(path, json={"limit_usd": "1"}, headers=mine),
            await api.delete(path, headers=mine),
        ):
            assert (response.status_code, problem_of(response)["code"]) == (404, "not_found")
    for limit_id in (limit, str(uuid7()), "nonsense"):
        assert (await api.delete(f"/api/v1/limits/{limit_id}", headers=mine)).status_code == 404
    assert (await api.delete(f"/api/v1/limits/{limit}", headers=theirs)).status_code == 204
