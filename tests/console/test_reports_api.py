"""Reports by the JSON API: scopes, other tenants, questions that are none, and files that fail before they begin."""

import csv
import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from tenfold.console.reports_api import reports_routes
from tenfold.console.services import ConsoleServices
from tenfold.core.ids import TenantId
from tenfold.ledger.reports.fake import FakeReportRows
from tenfold.ledger.reports.handlers import Reports
from tests.console.test_api import bearer, problem_of
from tests.ledger.reports.samples import call
from tests.support.console import FakeConsole

NOON = datetime(2026, 1, 1, tzinfo=UTC)  # of the console's clock
EARLIER = NOON - timedelta(hours=2)
ROUTES = [
    ("GET", "/api/v1/usage"),
    ("GET", "/api/v1/usage/export"),
    ("POST", "/api/v1/outcomes"),
    ("GET", "/api/v1/outcomes/report"),
    ("GET", "/api/v1/drift"),
]
BODY = {"outcomes": [{"task": "T-1", "outcome": "success", "value_usd": "12.50"}]}


@pytest.fixture
def rows(console: FakeConsole) -> FakeReportRows:
    rows = FakeReportRows()
    services = cast(ConsoleServices, SimpleNamespace(keyring=console.keyring))
    console.app.include_router(reports_routes(services, Reports(rows, console.clock)))
    return rows


async def tenant_of(console: FakeConsole, slug: str = "acme") -> TenantId:
    return (await console.tenants.tenant_or_new(slug, slug)).id


async def test_usage(console: FakeConsole, api: httpx.AsyncClient, rows: FakeReportRows) -> None:
    tenant_id, headers = await tenant_of(console), await bearer(console, "usage")
    rows.add([call(tenant_id, 1_500_000_000, at=EARLIER, feature="search"), call(tenant_id, None, at=EARLIER)])
    rows.add([call(tenant_id, 10, at=EARLIER, feature="search", model_used="large")])
    page = (await api.get("/api/v1/usage", params={"group_by": "feature"}, headers=headers)).json()
    assert (page["group_by"], page["since"], page["until"]) == (
        "feature",
        "2025-12-02T01:00:00Z",
        "2026-01-01T01:00:00Z",
    )
    search, bare = page["data"]
    assert (search["group"], search["calls"], search["cost_usd"]) == ("search", 2, "1.50000001")
    assert (bare["group"], bare["unpriced"], bare["cost_usd"]) == (None, 1, "0")
    assert search["mean_latency_ms"] == 812

    only = {"feature": "search", "model": "large"}
    [total] = (await api.get("/api/v1/usage", params=only, headers=headers)).json()["data"]
    assert (total["calls"], total["cost_usd"]) == (1, "0.00000001")
    first = (await api.get("/api/v1/usage", params={"group_by": "feature", "limit": 1}, headers=headers)).json()
    rest = {"group_by": "feature", "cursor": first["next_cursor"]}
    assert (await api.get("/api/v1/usage", params=rest, headers=headers)).json()["data"] == [bare]


async def test_outcomes(console: FakeConsole, api: httpx.AsyncClient, rows: FakeReportRows) -> None:
    tenant_id, headers = await tenant_of(console), await bearer(console, "usage")
    rows.add([call(tenant_id, 400, at=EARLIER, task="T-1"), call(tenant_id, 600, at=EARLIER, task="T-2")])
    assert (await api.post("/api/v1/outcomes", json=BODY, headers=headers)).json() == {"reported": 1}
    assert (await api.post("/api/v1/outcomes", json=BODY, headers=headers)).json() == {"reported": 1}
    failed = {"outcomes": [{"task": "T-2", "outcome": "failure", "at": "2025-12-31T00:00:00Z"}]}
    assert (await api.post("/api/v1/outcomes", json=failed, headers=headers)).status_code == 200
    report = (await api.get("/api/v1/outcomes/report", headers=headers)).json()
    total = report["total"]
    assert (total["successes"], total["failures"], total["value_usd"]) == (1, 1, "12.5")
    assert (total["cost_usd"], total["cost_per_success_usd"]) == ("0.000001", "0.000001")
    assert (total["tasks_without_outcome"], report["tasks_without_calls"]) == (0, 0)


async def test_drift(console: FakeConsole, api: httpx.AsyncClient, rows: FakeReportRows) -> None:
    tenant_id, headers = await tenant_of(console), await bearer(console, "usage")
    for days_ago, nano in ((10, 1000), (3, 1200)):
        rows.add([call(tenant_id, nano, at=NOON - timedelta(days=days_ago), feature="search") for _ in range(30)])
    report = (await api.get("/api/v1/drift", headers=headers)).json()
    [search] = report["features"]
    assert (report["findings"], search["verdict"], search["change_percent"]) == (1, "changed", "20.00")
    assert (search["before"]["mean_usd"], search["after"]["mean_usd"]) == ("0.000001", "0.0000012")
    assert {part["factor"]: part["change_percent"] for part in search["parts"]}["price"] == "20.00"
    calm = (await api.get("/api/v1/drift", params={"threshold_percent": 20}, headers=headers)).json()
    assert calm["findings"] == 0


async def test_exports(console: FakeConsole, api: httpx.AsyncClient, rows: FakeReportRows) -> None:
    tenant_id, headers = await tenant_of(console), await bearer(console, "usage")
    rows.add([call(tenant_id, 5, at=EARLIER, feature="=1+1"), call(tenant_id, 6, at=EARLIER)])
    for params, name, lines in [
        ({}, "receipts", 2),
        ({"group_by": "feature", "model": "gpt-4o-mini-2024-07-18"}, "usage", 2),
        ({"format": "focus"}, "focus", 2),
    ]:
        response = await api.get("/api/v1/usage/export", params=params, headers=headers)
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        assert response.headers["content-disposition"] == f'attachment; filename="tenfold-{name}.csv"'
        found = list(csv.DictReader(io.StringIO(response.text, newline="")))
        assert len(found) == lines
        assert not any(cell.startswith("=") for row in found for cell in row.values())
    assert found[0]["BillingAccountName"] == "acme"


async def test_another_tenant_sees_nothing(console: FakeConsole, api: httpx.AsyncClient, rows: FakeReportRows) -> None:
    mine, theirs = await tenant_of(console), await bearer(console, "usage", slug="other")
    rows.add([call(mine, 5, at=EARLIER, task="T-1")])
    await api.post("/api/v1/outcomes", json=BODY, headers=theirs)
    assert (await api.get("/api/v1/usage", headers=theirs)).json()["data"] == []
    report = (await api.get("/api/v1/outcomes/report", headers=theirs)).json()
    assert (report["total"]["cost_usd"], report["tasks_without_calls"]) == ("0", 1)
    assert (await api.get("/api/v1/drift", headers=theirs)).json()["features"] == []
    assert (await api.get("/api/v1/usage/export", headers=theirs)).text.count("\r\n") == 1


async def test_a_key_needs_the_scope(console: FakeConsole, api: httpx.AsyncClient, rows: FakeReportRows) -> None:
    without = await bearer(console, "inference", "keys")
    for method, path in ROUTES:
        body = BODY if method == "POST" else None
        assert (await api.request(method, path, json=body, headers=without)).status_code == 403
        assert (await api.request(method, path, json=body)).status_code == 401


async def test_an_export_fails_before_it_begins(
    console: FakeConsole, api: httpx.AsyncClient, rows: FakeReportRows
) -> None:
    headers = await bearer(console, "usage")
    rows.away = True
    for method, path in ROUTES:
        response = await api.request(method, path, json=BODY if method == "POST" else None, headers=headers)
        assert (response.status_code, problem_of(response)["code"]) == (503, "store_unavailable")


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("usage", {"group_by": "colour"}),
        ("usage", {"limit": "0"}),
        ("usage", {"cursor": "x"}),
        ("usage", {"since": "2026-01-01T00:00:00"}),
        ("usage", {"since": "yesterday"}),
        ("usage", {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}),
        ("usage", {"feature": "x\0"}),
        ("usage/export", {"format": "xml"}),
        ("usage/export", {"feature": "search"}),
        ("usage/export", {"format": "focus", "feature": "search", "group_by": "model"}),
        ("outcomes/report", {"since": "0001-01-01T00:00:00Z"}),
        ("drift", {"days": "0"}),
        ("drift", {"until": "2026-01-01T01:00:00Z"}),
        ("drift", {"threshold_percent": "0"}),
    ],
)
async def test_bad_questions(
    path: str, params: dict[str, str], console: FakeConsole, api: httpx.AsyncClient, rows: FakeReportRows
) -> None:
    response = await api.get(f"/api/v1/{path}", params=params, headers=await bearer(console, "usage"))
    assert (problem_of(response)["status"], problem_of(response)["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "outcome",
    [
        {},
        {"task": "T-1"},
        {"task": "", "outcome": "success"},
        {"task": "x" * 201, "outcome": "success"},
        {"task": "T\0", "outcome": "success"},
        {"task": "T-1", "outcome": "perhaps"},
        {"task": "T-1", "outcome": "success", "value_usd": "-1"},
        {"task": "T-1", "outcome": "success", "value_usd": "12 EUR"},
        {"task": "T-1", "outcome": "success", "value_usd": 12.5},
        {"task": "T-1", "outcome": "success", "value_usd": "9" * 15},
        {"task": "T-1", "outcome": "success", "at": "2026-01-01T00:00:00"},
        {"task": "T-1", "outcome": "success", "colour": "red"},
    ],
)
async def test_bad_outcomes(
    outcome: dict[str, object], console: FakeConsole, api: httpx.AsyncClient, rows: FakeReportRows
) -> None:
    headers = await bearer(console, "usage")
    bodies: list[object] = [
        {"outcomes": [outcome]},
        {"outcomes": [*BODY["outcomes"], outcome]},
        {"outcomes": []},
        outcome,
    ]
    for body in bodies:
        response = await api.post("/api/v1/outcomes", json=body, headers=headers)
        assert (response.status_code, problem_of(response)["code"]) == (400, "invalid_request")
    report = (await api.get("/api/v1/outcomes/report", headers=headers)).json()
    assert report["tasks_without_calls"] == 0
