"""Flags, switches and their log by the JSON API: scopes, other tenants, and what is the operator's."""

from typing import Any

import httpx
import pytest

from tests.console.test_api import bearer, problem_of
from tests.docs.test_reference import routes_of
from tests.support.console import FakeConsole

FLAG: dict[str, Any] = {
    "key": "search.model",
    "type": "string",
    "variants": {"small": "haiku", "large": "sonnet"},
    "default_variant": "small",
    "rules": [
        {"conditions": [{"attribute": "user", "equals": "ada"}], "variant": "large"},
        {"split": {"weights": {"small": 90, "large": 10}}},
    ],
    "description": "Which model answers",
}
KILL: dict[str, Any] = {"scope": "feature", "subject": "search", "reason": "wrong answers"}
OPERATOR: dict[str, Any] = {"actor": "operator:ada", "by": "operator"}

ROUTES = [
    ("GET", "/api/v1/flags", None),
    ("POST", "/api/v1/flags", FLAG | {"key": "another"}),
    ("GET", "/api/v1/flags/search.model", None),
    ("PATCH", "/api/v1/flags/search.model", {"enabled": False}),
    ("DELETE", "/api/v1/flags/search.model", None),
    ("GET", "/api/v1/kills", None),
    ("POST", "/api/v1/kills", KILL),
    ("DELETE", "/api/v1/kills/{kill}", None),
    ("GET", "/api/v1/flag-changes", None),
]


async def test_a_flag_is_created_listed_changed_and_ended(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "flags")
    response = await api.post("/api/v1/flags", json=FLAG | {"reason": "a try"}, headers=headers)
    assert response.status_code == 201, response.text
    created = response.json()
    assert {key: created[key] for key in FLAG if key != "rules"} == {key: FLAG[key] for key in FLAG if key != "rules"}
    assert created["rules"] == [
        {"conditions": [{"attribute": "user", "one_of": ["ada"]}], "variant": "large"},
        {"conditions": [], "split": {"by": "targetingKey", "weights": {"small": 90, "large": 10}}},
    ]
    assert (created["owner"], created["holds_for"], created["revision"]) == ("tenant", "tenant", 1)
    assert (await api.get("/api/v1/flags/search.model", headers=headers)).json() == created
    assert (await api.get("/api/v1/flags", headers=headers)).json() == {"data": [created], "next_cursor": None}
    assert (await api.post("/api/v1/flags", json=FLAG, headers=headers)).status_code == 409

    changed = await api.patch("/api/v1/flags/search.model", json={"rules": created["rules"][1:]}, headers=headers)
    assert (changed.json()["rules"], changed.json()["revision"]) == (created["rules"][1:], 2)
    ended = await api.delete("/api/v1/flags/search.model", params={"reason": "over"}, headers=headers)
    assert (ended.status_code, ended.content) == (204, b"")
    assert (await api.delete("/api/v1/flags/search.model", headers=headers)).status_code == 404

    lines = (await api.get("/api/v1/flag-changes", headers=headers)).json()["data"]
    assert sorted((line["action"], line["reason"]) for line in lines) == [
        ("changed", ""),
        ("created", "a try"),
        ("ended", "over"),
    ]
    assert {line["actor"][:4] for line in lines} == {"key:"}
    (made,) = [line for line in lines if line["action"] == "created"]
    assert (made["before"], made["after"]["variants"]) == (None, FLAG["variants"])


async def test_switches(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "flags")
    response = await api.post("/api/v1/kills", json=KILL, headers=headers)
    assert response.status_code == 201, response.text
    kill = response.json()
    assert {key: kill[key] for key in KILL} == KILL
    assert (await api.post("/api/v1/kills", json=KILL, headers=headers)).json() == kill
    assert (await api.get("/api/v1/kills", headers=headers)).json()["data"] == [kill]
    for scope in ("tenant", "provider"):
        refused = await api.post("/api/v1/kills", json=KILL | {"scope": scope}, headers=headers)
        assert refused.status_code == 403
    for _, status in ((1, 204), (2, 404)):
        assert (await api.delete(f"/api/v1/kills/{kill['id']}", headers=headers)).status_code == status
    lines = (await api.get("/api/v1/flag-changes", params={"subject": "feature:search"}, headers=headers)).json()[
        "data"
    ]
    assert sorted(line["action"] for line in lines) == ["created", "ended"]


async def test_lists_come_in_pages(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "flags")
    for name in "abc":
        await api.post("/api/v1/flags", json={"key": name, "type": "boolean"}, headers=headers)
        await api.post("/api/v1/kills", json=KILL | {"subject": name}, headers=headers)
    for path, count in (("/api/v1/flags", 3), ("/api/v1/kills", 3), ("/api/v1/flag-changes", 6)):
        first = (await api.get(path, params={"limit": 2}, headers=headers)).json()
        rest = (await api.get(path, params={"cursor": first["next_cursor"]}, headers=headers)).json()
        assert (len(first["data"]), len(rest["data"]), rest["next_cursor"]) == (2, count - 2, None)
        assert (await api.get(path, params={"cursor": "x"}, headers=headers)).status_code == 400
        assert (await api.get(path, params={"limit": 101}, headers=headers)).status_code == 400


async def test_the_operators_are_seen_and_not_changed(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "flags")
    rules = [{"conditions": [{"attribute": "tenant", "one_of": ["globex", "initech"]}], "variant": "on"}]
    await console.flags.create(None, "beta", type="boolean", rules=rules, **OPERATOR)
    kill = await console.flags.kill(None, scope="model", subject="m", reason="withdrawn", **OPERATOR)
    told = await api.get("/api/v1/flags/beta", headers=headers)
    assert (told.json()["rules"], told.json()["holds_for"]) == (None, "installation")
    listed = await api.get("/api/v1/flags", headers=headers)
    assert "globex" not in told.text + listed.text  # who else is a tenant is nobody's business
    assert "ada" not in (await api.get("/api/v1/kills", headers=headers)).text
    assert (await api.patch("/api/v1/flags/beta", json={"enabled": False}, headers=headers)).status_code == 403
    assert (await api.delete("/api/v1/flags/beta", headers=headers)).status_code == 403
    assert (await api.delete(f"/api/v1/kills/{kill.id}", headers=headers)).status_code == 403
    assert (await api.get("/api/v1/flag-changes", headers=headers)).json()["data"] == []

    tenant = await console.tenants.tenant_or_new("acme", "acme")
    await console.flags.create(tenant.id, "ours", type="boolean", rules=rules, **OPERATOR)
    (line,) = (await api.get("/api/v1/flag-changes", headers=headers)).json()["data"]
    assert line["actor"] == "operator"


async def test_no_route_is_left_out(console: FakeConsole) -> None:
    mine = {route for route in routes_of(console.app) if route[1].startswith(("/api/v1/flag", "/api/v1/kills"))}
    said = {
        (method, path.replace("search.model", "{key}").replace("{kill}", "{kill_id}")) for method, path, _ in ROUTES
    }
    assert mine == said


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_routes_ask_for_the_scope(
    console: FakeConsole, api: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    wrong = await bearer(console, "inference", "keys", "usage", "budgets", "approve")
    assert (await api.request(method, path, json=body, headers=wrong)).status_code == 403
    problem = problem_of(await api.request(method, path, json=body))
    assert problem["code"] == "invalid_api_key"


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_another_tenant_sees_and_changes_nothing(
    console: FakeConsole, api: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    mine, others = await bearer(console, "flags"), await bearer(console, "flags", slug="globex")
    await api.post("/api/v1/flags", json=FLAG, headers=mine)
    kill = (await api.post("/api/v1/kills", json=KILL, headers=mine)).json()
    before = [
        (await api.get(p, headers=mine)).json() for p in ("/api/v1/flags", "/api/v1/kills", "/api/v1/flag-changes")
    ]
    response = await api.request(method, path.replace("{kill}", kill["id"]), json=body, headers=others)
    if "{" in path or path.endswith("search.model"):
        assert problem_of(response)["code"] == "not_found"
    elif method == "GET":
        assert response.json() == {"data": [], "next_cursor": None}
    else:
        assert response.status_code == 201  # its own
    after = [
        (await api.get(p, headers=mine)).json() for p in ("/api/v1/flags", "/api/v1/kills", "/api/v1/flag-changes")
    ]
    assert after == before


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"key": "a b"}, "key"),
        ({"type": "float"}, "type"),
        ({"variants": {"small": 1}}, "variants.small"),
        ({"rules": [{"variant": "none"}]}, "rules[0].variant"),
        ({"rules": [{"split": {"weights": {"small": 1}, "salt": "x"}}]}, "rules.0.split.salt"),
        ({"colour": "red"}, "colour"),
        ({"enabled": "perhaps"}, "enabled"),
        ({"reason": "x" * 501}, "reason"),
    ],
)
async def test_bad_bodies(console: FakeConsole, api: httpx.AsyncClient, change: dict[str, Any], param: str) -> None:
    headers = await bearer(console, "flags")
    response = await api.post("/api/v1/flags", json=FLAG | change, headers=headers)
    problem = problem_of(response)
    assert (problem["status"], problem["param"]) == (400, param)


@pytest.mark.parametrize(
    "body",
    [b'{"key": "f", "type": "number", "variants": {"a": NaN}, "default_variant": "a"}', b"[" * 30_000, b"\xff", b"{"],
)
async def test_bodies_that_are_no_json(console: FakeConsole, api: httpx.AsyncClient, body: bytes) -> None:
    headers = await bearer(console, "flags") | {"content-type": "application/json"}
    assert (await api.post("/api/v1/flags", content=body, headers=headers)).status_code == 400
