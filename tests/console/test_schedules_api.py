"""Schedules by the JSON API: made, read, changed, run, removed; scopes, and other tenants."""

from typing import Any

import httpx
import pytest

from tests.console.test_api import bearer, problem_of
from tests.support.console import FakeConsole

BODY = {
    "name": "nightly",
    "cron": "0 2 * * *",
    "zone": "Europe/Berlin",
    "kind": "sum",
    "input": {"of": [1]},
    "missed": "all",
}


async def created(console: FakeConsole, api: httpx.AsyncClient, slug: str = "acme", **given: Any) -> Any:
    headers = await bearer(console, "inference", slug=slug)
    response = await api.post("/api/v1/schedules", json=BODY | given, headers=headers)
    assert response.status_code == 201, response.text
    return response.json()


async def test_a_schedule_lives(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers, told = await bearer(console, "inference"), await created(console, api)
    assert {key: told[key] for key in BODY} == BODY
    assert told["next_runs"][:2] == ["2026-01-01T01:00:00Z", "2026-01-02T01:00:00Z"]
    assert (len(told["next_runs"]), told["last_run_at"], told["last_job"], told["error"]) == (5, None, None, None)
    at = f"/api/v1/schedules/{told['id']}"
    assert (await api.get(at, headers=headers)).json() == told
    assert (await api.get("/api/v1/schedules", headers=headers)).json() == {"data": [told], "next_cursor": None}
    paused = (await api.patch(at, json={"paused": True}, headers=headers)).json()
    assert (paused["paused"], paused["next_runs"], paused["cron"]) == (True, [], "0 2 * * *")
    resumed = (await api.patch(at, json={"paused": False, "cron": "@hourly"}, headers=headers)).json()
    assert resumed["next_runs"][0] == "2026-01-01T01:00:00Z"
    ran = await api.post(f"{at}/run", headers=headers)
    assert (ran.status_code, ran.headers["location"]) == (202, f"/api/v1/jobs/{ran.json()['id']}")
    assert (await api.get(ran.headers["location"], headers=headers)).json()["kind"] == "sum"
    assert (await api.delete(at, headers=headers)).status_code == 204
    assert (await api.get(at, headers=headers)).status_code == 404


@pytest.mark.parametrize(
    "given",
    [
        {"cron": "* * *"},
        {"zone": "Mars/Olympus"},
        {"kind": "call"},
        {"input": 1},
        {"missed": "some"},
        {"name": ""},
        {"other": 1},
    ],
)
async def test_what_cannot_be(given: dict[str, Any], console: FakeConsole, api: httpx.AsyncClient) -> None:
    response = await api.post("/api/v1/schedules", json=BODY | given, headers=await bearer(console, "inference"))
    assert (response.status_code, problem_of(response)["code"]) == (400, "invalid_request")


async def test_names_are_taken_once(console: FakeConsole, api: httpx.AsyncClient) -> None:
    await created(console, api)
    await created(console, api, "other")
    response = await api.post("/api/v1/schedules", json=BODY, headers=await bearer(console, "inference"))
    assert (response.status_code, problem_of(response)["param"]) == (409, "name")


async def test_pages(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    made = {(await created(console, api, name=f"n{number}"))["id"] for number in range(3)}
    first = (await api.get("/api/v1/schedules", params={"limit": 2}, headers=headers)).json()
    rest = (await api.get("/api/v1/schedules", params={"cursor": first["next_cursor"]}, headers=headers)).json()
    assert {each["id"] for each in first["data"] + rest["data"]} == made
    assert (await api.get("/api/v1/schedules", params={"cursor": "x"}, headers=headers)).status_code == 400


ROUTES = [
    ("GET", ""),
    ("POST", ""),
    ("GET", "/{schedule}"),
    ("PATCH", "/{schedule}"),
    ("DELETE", "/{schedule}"),
    ("POST", "/{schedule}/run"),
]


async def test_scopes_and_other_tenants(console: FakeConsole, api: httpx.AsyncClient) -> None:
    theirs = await created(console, api, "other")
    mine = await bearer(console, "inference")
    without = await bearer(console, "usage", "keys", "budgets", "approve", "flags")
    assert (await api.get("/api/v1/schedules", headers=mine)).json()["data"] == []
    for method, route in ROUTES:
        body = BODY if (method, route) == ("POST", "") else {"paused": True} if method == "PATCH" else None
        for name in (theirs["id"], "sched_" + "0" * 32, "nonsense"):
            url = f"/api/v1/schedules{route.replace('{schedule}', name)}"
            assert (await api.request(method, url, json=body, headers=without)).status_code == 403
            assert (await api.request(method, url, json=body)).status_code == 401
            if "{schedule}" in route:
                assert (await api.request(method, url, json=body, headers=mine)).status_code == 404
    assert (
        len(
            (await api.get("/api/v1/schedules", headers=await bearer(console, "inference", slug="other"))).json()[
                "data"
            ]
        )
        == 1
    )
