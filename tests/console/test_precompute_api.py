"""Answers ahead of time by the JSON API: figures, runs, and what visitors are shown; scopes, and other tenants."""

import httpx
from msgspec import structs

from tenfold.core.ids import TenantId, uuid7
from tests.assistant.precompute.test_rows import ahead, noted
from tests.console.support_parts import principal_of
from tests.console.test_api import bearer, problem_of
from tests.support.console import FakeConsole

BASE, POPULAR = "/api/v1/precompute", "/api/v1/support/popular"
KEY, PRICE = "How do I reset a key?", "What does it cost?"
DOCUMENT = "vs_1/file-1@v1"


async def with_a_run(console: FakeConsole) -> tuple[dict[str, str], TenantId]:
    """Two frequent questions, one of which was answered ahead of time and asked since."""
    headers = await bearer(console, "inference")
    tenant_id = (await principal_of(console, headers["authorization"].removeprefix("Bearer "))).tenant_id
    rows, run_id = console.questions, uuid7()
    asked = [noted(tenant_id, text, who) for text, who in ((KEY, "ana"), (KEY, "ben"), (KEY, "cyd"), (PRICE, "ana"))]
    await rows.note(tenant_id, asked, min_askers=1)
    await rows.begin(tenant_id, run_id, budget_nano=2_000_000_000)
    digest = asked[0].digest
    await rows.paid(tenant_id, run_id, digest, 500_000_000)
    console.questions.current.add((tenant_id, DOCUMENT))
    await rows.answered(tenant_id, run_id, digest, call_nano=500_000_000, ahead=ahead(KEY), documents=[DOCUMENT])
    await rows.note(tenant_id, [noted(tenant_id, KEY, "ana", from_cache=True)], min_askers=1)
    await rows.end(tenant_id, run_id, "budget")
    return headers, tenant_id


async def test_what_it_costs_and_earns(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers, _ = await with_a_run(console)
    told = (await api.get(BASE, headers=headers)).json()
    assert (told["enabled"], told["questions"], told["answered"], told["hits"]) == (True, 2, 1, 1)
    assert (told["paid_usd"], told["saved_usd"], told["hits_per_usd"]) == ("0.5", "0.5", 2.0)
    assert (told["last_run"]["ended_why"], told["last_run"]["cost_usd"]) == ("budget", "0.5")
    assert (await api.get(f"{BASE}/runs", headers=headers)).json()["data"] == [told["last_run"]]
    first = (await api.get(f"{BASE}/questions", params={"limit": 1}, headers=headers)).json()
    rest = (await api.get(f"{BASE}/questions", params={"cursor": first["next_cursor"]}, headers=headers)).json()
    assert [(each["question"], each["asks"]) for each in first["data"] + rest["data"]] == [(KEY, 4), (PRICE, 1)]
    assert rest["next_cursor"] is None
    for path, cursor in ((f"{BASE}/questions", "x"), (f"{BASE}/questions", "9" * 9), (f"{BASE}/runs", "x")):
        refused = await api.get(path, params={"cursor": cursor}, headers=headers)
        assert problem_of(refused)["param"] == "cursor"


async def test_a_run_is_begun_now(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers, tenant_id = await with_a_run(console)
    begun = await api.post(f"{BASE}/run", headers=headers)
    assert begun.status_code == 202
    assert begun.headers["location"] == f"/api/v1/jobs/{begun.json()['job']}"
    (job,) = await console.work.rows.page(tenant_id, state=None, kind="precompute", before=None, limit=9)
    assert begun.json()["job"] == f"job_{job.id.hex}"
    console.precompute.policy = structs.replace(console.precompute.policy, enabled=False)
    assert (await api.post(f"{BASE}/run", headers=headers)).status_code == 409


async def test_visitors_are_shown_what_is_current_and_told_little_twice(
    console: FakeConsole, api: httpx.AsyncClient
) -> None:
    _, tenant_id = await with_a_run(console)
    visitor = await bearer(console, "support")
    shown = await api.get(POPULAR, headers=visitor)
    assert [(each["question"], each["text"]) for each in shown.json()["data"]] == [(KEY, "Press reset [1].")]
    assert shown.json()["data"][0]["citations"][0]["url"] == "/k"
    assert (shown.headers["cache-control"], shown.headers["vary"]) == ("public, max-age=60", "Authorization")
    same = await api.get(POPULAR, headers=visitor | {"if-none-match": shown.headers["etag"]})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", shown.headers["etag"])
    assert same.headers["cache-control"] == "public, max-age=60"

    console.questions.current.discard((tenant_id, DOCUMENT))
    changed = await api.get(POPULAR, headers=visitor | {"if-none-match": shown.headers["etag"]})
    assert (changed.status_code, changed.json()["data"]) == (200, [])
    console.precompute.policy = structs.replace(console.precompute.policy, public=False)
    assert (await api.get(POPULAR, headers=visitor)).status_code == 404


async def test_a_publishable_key_sees_no_figures_and_another_tenant_nothing(
    console: FakeConsole, api: httpx.AsyncClient
) -> None:
    await with_a_run(console)
    for headers in (await bearer(console, "support"), await bearer(console, "usage")):
        for method, path in (("GET", ""), ("GET", "/runs"), ("GET", "/questions"), ("POST", "/run")):
            assert (await api.request(method, BASE + path, headers=headers)).status_code == 403, path
    assert (await api.get(POPULAR, headers=await bearer(console, "usage"))).status_code == 403
    other = await bearer(console, "inference", slug="other")
    assert (await api.get(BASE, headers=other)).json()["questions"] == 0
    for path in (f"{BASE}/runs", f"{BASE}/questions", POPULAR):
        assert (await api.get(path, headers=other)).json()["data"] == []
