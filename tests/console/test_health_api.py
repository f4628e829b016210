"""The health of targets and what would become of a call, by API: live, paged, for keys that may see usage."""

from time import perf_counter
from typing import Any

import httpx
import pytest

from tenfold.console.services import KeyLimit, TargetStanding
from tests.console.test_api import bearer, problem_of
from tests.support.console import FakeConsole


def standing(provider: str = "openai", model: str = "gpt-4o-mini", **more: Any) -> TargetStanding:
    known: dict[str, Any] = {
        "served_as": ("small",),
        "state": "closed",
        "asked_again_s": 0.0,
        "in_flight": 3,
        "calls": 12,
        "failures": 2,
        "slow": 1,
        "latency_ms": 310.5,
        "duration_ms": None,
        "opened_total": 4,
        "keys": (KeyLimit(key="1", limit=64, in_flight=3, waiting=0),),
    }
    return TargetStanding(provider=provider, model=model, **(known | more))


async def test_each_target_is_told(console: FakeConsole, api: httpx.AsyncClient) -> None:
    console.targets.told = [standing(), standing(model="gpt-4o", state="open", asked_again_s=1.5)]
    reply = await api.get("/api/v1/health/targets", headers=await bearer(console, "usage"))
    assert reply.status_code == 200, reply.text
    first, second = reply.json()["data"]
    assert first == {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "served_as": ["small"],
        "state": "closed",
        "asked_again_s": 0.0,
        "in_flight": 3,
        "calls": 12,
        "failures": 2,
        "slow": 1,
        "latency_ms": 310.5,
        "duration_ms": None,
        "opened_total": 4,
        "keys": [{"key": "1", "limit": 64, "in_flight": 3, "waiting": 0}],
    }
    assert (second["state"], second["asked_again_s"]) == ("open", 1.5)


async def test_targets_come_in_pages(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "usage")
    console.targets.told = [standing(model=f"meta/llama-{number}") for number in range(5)]
    seen: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        params = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = (await api.get("/api/v1/health/targets", params=params, headers=headers)).json()
        seen += [each["model"] for each in page["data"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert (pages, seen) == (3, [f"meta/llama-{number}" for number in range(5)])
    for wrong in ({"cursor": "openai/gone"}, {"limit": "0"}, {"limit": "101"}):
        assert (await api.get("/api/v1/health/targets", params=wrong, headers=headers)).status_code == 400


async def explain(console: FakeConsole, api: httpx.AsyncClient, slug: str = "acme", **body: Any) -> dict[str, Any]:
    headers = await bearer(console, "usage", slug=slug)
    reply = await api.post("/api/v1/route/explain", json={"model": "support", **body}, headers=headers)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


async def test_a_call_is_explained_from_what_is_known_now(console: FakeConsole, api: httpx.AsyncClient) -> None:
    told = await explain(console, api, input_chars=1000, max_tokens=100, feature="helpdesk", deadline_ms=2000)
    assert [(each["model"], each["why"], each["stand_in"]) for each in told["attempts"]] == [
        ("fast", "first", False),
        ("strong", "fallback", True),
    ]
    # 1,000 bytes and 1,024 tokens that providers may add, at 1 USD a million; 100 tokens at 2.
    assert told["attempts"][0]["bound_usd"] == "0.002224"
    assert (told["route"], told["then"], told["deadline_ms"]) == ("support", ["stale", "template"], 2000)
    assert (told["refused"], told["skipped"], told["ceiling_usd"]) == (None, [], None)


async def test_open_circuits_are_told_and_all_of_them_open_is_a_refusal(
    console: FakeConsole, api: httpx.AsyncClient
) -> None:
    fast, strong = (target.health for target in console.route.targets)
    fast.adopt_open(perf_counter(), 3.0)
    told = await explain(console, api)
    assert [each["model"] for each in told["attempts"]] == ["strong"]
    (skipped,) = told["skipped"]
    assert (skipped["model"], skipped["why"], skipped["state"]) == ("fast", "circuit open", "open")
    assert 0 < skipped["asked_again_s"] <= 3

    strong.adopt_open(perf_counter(), 3.0)
    told = await explain(console, api)
    assert (told["attempts"], len(told["skipped"])) == ([], 2)
    assert (told["refused"]["code"], told["refused"]["status"]) == ("upstream_unavailable", 503)
    assert told["refused"]["retry_after_s"] >= 1


async def test_the_plan_and_the_switches_are_the_tenants_own(console: FakeConsole, api: httpx.AsyncClient) -> None:
    acme = await console.tenants.tenant_or_new("acme", "Acme")
    assert (await explain(console, api, plan="pro"))["attempts"][0]["model"] == "strong"
    assert (await explain(console, api))["attempts"][0]["model"] == "fast"
    await console.tenants.set_plan("acme", "pro")
    assert (await explain(console, api))["attempts"][0]["model"] == "strong"
    assert (await explain(console, api, slug="other"))["attempts"][0]["model"] == "fast"

    await console.flags.kill(acme.id, scope="model", subject="strong", reason="too slow", actor="key:x")
    told = await explain(console, api)
    assert [each["model"] for each in told["attempts"]] == ["fast"]
    assert [(each["why"], each["detail"]) for each in told["skipped"]] == [
        ("switched off", "the model `strong`: too slow")
    ]
    assert len((await explain(console, api, slug="other"))["attempts"]) == 2


async def test_another_tenant_is_told_the_same_of_the_targets(console: FakeConsole, api: httpx.AsyncClient) -> None:
    console.targets.told = [standing()]
    mine = await api.get("/api/v1/health/targets", headers=await bearer(console, "usage"))
    theirs = await api.get("/api/v1/health/targets", headers=await bearer(console, "usage", slug="other"))
    assert mine.json() == theirs.json()
    assert "acme" not in mine.text


async def test_an_unknown_name_is_told_with_the_nearest(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "usage")
    reply = await api.post("/api/v1/route/explain", json={"model": "suport"}, headers=headers)
    problem = problem_of(reply)
    assert (reply.status_code, problem["code"]) == (404, "model_not_found")
    assert "Did you mean `support`?" in str(problem["detail"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "support", "tenant": "other"},
        {"model": "support", "max_cost_usd": "much"},
        {"model": "support", "input_chars": -1},
        {"model": "support", "input_chars": 10**12},
        {"model": "support", "deadline_ms": 0},
        {"model": "x" * 2000},
    ],
)
async def test_what_cannot_be_asked(body: dict[str, Any], console: FakeConsole, api: httpx.AsyncClient) -> None:
    reply = await api.post("/api/v1/route/explain", json=body, headers=await bearer(console, "usage"))
    assert (reply.status_code, problem_of(reply)["code"]) == (400, "invalid_request")


async def test_they_are_not_for_every_key(console: FakeConsole, api: httpx.AsyncClient) -> None:
    others = await bearer(console, "inference", "keys", "budgets")
    assert (await api.get("/api/v1/health/targets")).status_code == 401
    assert (await api.get("/api/v1/health/targets", headers=others)).status_code == 403
    assert (await api.post("/api/v1/route/explain", json={"model": "support"})).status_code == 401
    reply = await api.post("/api/v1/route/explain", json={"model": "support"}, headers=others)
    assert reply.status_code == 403
