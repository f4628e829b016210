"""Jobs by the JSON API: how far they are, what came of them, dead letters, scopes, and other tenants."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.names import job_name
from tenfold.jobs.types import Job, NewJob, Progress, Result, Work
from tests.console.test_api import bearer, problem_of
from tests.support.console import FakeConsole

WORKER = UUID(int=7)


async def queued(console: FakeConsole, slug: str = "acme", kind: str = "sum", **given: Any) -> Job:
    tenant = await console.tenants.tenant_or_new(slug, slug)
    who = Principal(tenant_id=tenant.id, tenant_slug=slug)
    return await console.work.jobs.enqueue(NewJob(kind=kind, principal=who, **{"input": b'{"of":[1,2]}', **given}))


async def begun(console: FakeConsole) -> Work:
    (work,) = await console.work.rows.claim(WORKER, {"sum", "call"}, limit=1)
    return work


async def ended(console: FakeConsole, state: Any = "done", **given: Any) -> Work:
    work = await begun(console)
    output = given.pop("output", b'{"sum":3}')
    assert await console.work.rows.finish(work, WORKER, state, Result(output=output, cost_nano=1_500_000), **given)
    return work


def path(job: Job) -> str:
    return f"/api/v1/jobs/{job_name(job.id)}"


async def test_a_job_is_submitted_followed_and_its_result_read(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    response = await api.post("/api/v1/jobs", json={"kind": "sum", "input": {"of": [1, 2]}}, headers=headers)
    assert response.status_code == 202, response.text
    told = response.json()
    at = response.headers["location"]
    assert at == f"/api/v1/jobs/{told['id']}"
    assert (told["state"], told["kind"], told["priority"], told["attempts"]) == ("queued", "sum", 4, 0)
    assert (told["progress"], told["eta_s"]) == ({"stage": "", "done": 0, "total": None}, None)
    assert (told["cost_usd"], told["error"]) == ("0", None)
    assert told["events"] == f"/v1/jobs/{told['id']}/events"
    assert 1 <= int(response.headers["retry-after"]) <= 30
    early = await api.get(f"{at}/result", headers=headers)
    assert (early.status_code, problem_of(early)["code"]) == (409, "conflict")
    assert int(early.headers["retry-after"]) >= 1

    assert (await api.get(f"{at}/input", headers=headers)).json() == {"of": [1, 2]}
    work = await begun(console)
    console.clock.advance(10)
    await console.work.rows.tell(work, WORKER, Progress(stage="adding", done=1, total=3), [], after=0)
    told = (await api.get(at, headers=headers)).json()
    assert (told["state"], told["progress"]) == ("running", {"stage": "adding", "done": 1, "total": 3})
    assert told["eta_s"] == pytest.approx(20)

    await console.work.rows.finish(work, WORKER, "done", Result(output=b'{"sum":3}', cost_nano=1_500_000))
    response = await api.get(at, headers=headers)
    told = response.json()
    assert (told["state"], told["cost_usd"], told["ended_at"]) == ("done", "0.0015", "2026-01-01T00:00:10Z")
    assert "retry-after" not in response.headers
    result = await api.get(f"{at}/result", headers=headers)
    assert (result.headers["content-type"], result.json()) == ("application/json", {"sum": 3})
    gone = await api.get(f"{at}/input", headers=headers)
    assert (gone.status_code, "the job is done" in str(problem_of(gone)["detail"])) == (404, True)


async def test_a_poll_of_what_has_not_changed_is_short(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers, job = await bearer(console, "inference"), await queued(console)
    first = await api.get(path(job), headers=headers)
    etag = first.headers["etag"]
    for tags in (etag, f'"x", {etag}', "*", etag.removeprefix("W/")):
        same = await api.get(path(job), headers=headers | {"if-none-match": tags})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
        assert int(same.headers["retry-after"]) >= 1
    work = await begun(console)
    begun_now = await api.get(path(job), headers=headers | {"if-none-match": etag})
    assert (begun_now.status_code, begun_now.json()["state"]) == (200, "running")
    etag = begun_now.headers["etag"]
    await console.work.rows.tell(work, WORKER, Progress(done=1), [], after=0)
    assert (await api.get(path(job), headers=headers | {"if-none-match": etag})).status_code == 200


async def test_the_same_key_is_the_same_job(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference") | {"idempotency-key": "k1"}
    body = {"kind": "sum", "input": {"of": [1]}, "priority": 9, "delay_s": 60}
    first, second = [(await api.post("/api/v1/jobs", json=body, headers=headers)).json() for _ in range(2)]
    assert (first["id"], first["priority"], first["run_at"]) == (second["id"], 9, "2026-01-01T00:01:00Z")
    other = await api.post("/api/v1/jobs", json={"kind": "sum", "input": {"of": [2]}}, headers=headers)
    assert (other.status_code, problem_of(other)["code"]) == (422, "idempotency_mismatch")
    theirs = await bearer(console, "inference", slug="other") | {"idempotency-key": "k1"}
    assert (await api.post("/api/v1/jobs", json=body, headers=theirs)).json()["id"] != first["id"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"kind": "call", "input": {}}, "kind"),  # a part of a feature, not to be submitted
        ({"kind": "nonsense", "input": {}}, "kind"),
        ({"kind": "sum", "input": 7}, "input.of"),
        ({"kind": "sum", "input": {"of": 1}, "priority": 10}, "priority"),
        ({"kind": "sum", "input": {"of": 1}, "delay_s": -1}, "delay_s"),
        ({"kind": "sum", "input": {"of": 1}, "delay_s": 1e9}, "delay_s"),
        ({"kind": "sum", "input": {"of": 1}, "other": 1}, "other"),
        ({"kind": "sum"}, "input"),
    ],
)
async def test_what_cannot_be_submitted(
    body: dict[str, Any], param: str, console: FakeConsole, api: httpx.AsyncClient
) -> None:
    response = await api.post("/api/v1/jobs", json=body, headers=await bearer(console, "inference"))
    assert (response.status_code, problem_of(response)["param"]) == (400, param)
    if param == "kind":
        assert "known are: sum" in str(problem_of(response)["detail"])
    assert len(console.work.rows) == 0


async def test_a_job_is_cancelled_once(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers, job = await bearer(console, "inference"), await queued(console)
    told = (await api.post(f"{path(job)}/cancel", headers=headers)).json()
    assert told["state"] == "cancelled"
    result = await api.get(f"{path(job)}/result", headers=headers)
    assert "cancelled" in str(problem_of(result)["detail"])

    running = await queued(console)
    await begun(console)
    told = (await api.post(f"{path(running)}/cancel", headers=headers)).json()
    assert (told["state"], told["cancel_requested"]) == ("running", True)

    over = await queued(console)
    await ended(console)
    refused = await api.post(f"{path(over)}/cancel", headers=headers)
    assert (refused.status_code, problem_of(refused)["code"]) == (409, "conflict")


async def test_dead_letters_are_listed_redriven_and_discarded(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    dead = []
    for number in range(4):
        dead.append(await queued(console, kind="call" if number == 3 else "sum"))
        await ended(console, "failed", code="upstream_error", message="It said no.")
    alive = await queued(console)
    listed = (await api.get("/api/v1/dead-letters", headers=headers)).json()["data"]
    assert {each["id"] for each in listed} == {job_name(job.id) for job in dead}
    assert listed[0]["error"] == {"code": "upstream_error", "message": "It said no."}
    assert (listed[0]["attempts"], listed[0]["cost_usd"]) == (1, "0.0015")
    of_kind = (await api.get("/api/v1/dead-letters", params={"kind": "call"}, headers=headers)).json()["data"]
    assert [each["id"] for each in of_kind] == [job_name(dead[3].id)]
    assert (await api.get("/api/v1/queue", headers=headers)).json()["dead"] == 4

    told = (await api.post(f"{path(dead[0])}/redrive", headers=headers)).json()
    assert (told["state"], told["cost_usd"]) == ("queued", "0.0015")
    assert (await api.post(f"{path(alive)}/redrive", headers=headers)).status_code == 409
    assert (await api.delete(path(alive), headers=headers)).status_code == 409
    assert (await api.delete(path(dead[1]), headers=headers)).status_code == 204
    assert (await api.get(path(dead[1]), headers=headers)).status_code == 404
    redriven = await api.post("/api/v1/dead-letters/redrive", json={"kind": "sum"}, headers=headers)
    assert redriven.json() == {"redriven": 1}
    assert (await api.delete("/api/v1/dead-letters", headers=headers)).json() == {"discarded": 1}
    assert (await api.post("/api/v1/dead-letters/redrive", headers=headers)).json() == {"redriven": 0}


async def test_pages_and_filters(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    made = {job_name((await queued(console)).id) for _ in range(5)}
    done = job_name((await queued(console, kind="call", priority=9)).id)
    await ended(console)
    first = (await api.get("/api/v1/jobs", params={"limit": 4}, headers=headers)).json()
    rest = (await api.get("/api/v1/jobs", params={"cursor": first["next_cursor"]}, headers=headers)).json()
    assert {each["id"] for each in first["data"] + rest["data"]} == made | {done}
    assert rest["next_cursor"] is None
    for params, found in (({"state": "done"}, {done}), ({"kind": "sum"}, made), ({"state": "failed"}, set())):
        told = (await api.get("/api/v1/jobs", params=params, headers=headers)).json()
        assert {each["id"] for each in told["data"]} == found
    for wrong in ({"state": "odd"}, {"cursor": "x"}, {"limit": "0"}, {"limit": "101"}):
        assert (await api.get("/api/v1/jobs", params=wrong, headers=headers)).status_code == 400


async def test_how_full_the_queue_is(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    for delay_s in (0.0, 0.0, 60.0):
        await queued(console, delay_s=delay_s)
    await queued(console, "other")
    told = (await api.get("/api/v1/queue", headers=headers)).json()
    assert (told["waiting"], told["later"], told["running"], told["dead"]) == (2, 1, 0, 0)


@pytest.mark.parametrize(
    ("output", "kind"), [(b"words", "application/octet-stream"), (b"\xff\x00", "application/octet-stream")]
)
async def test_a_result_may_be_anything(output: bytes, kind: str, console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers, job = await bearer(console, "inference"), await queued(console)
    await ended(console, output=output)
    result = await api.get(f"{path(job)}/result", headers=headers)
    assert (result.headers["content-type"], result.content) == (kind, output)
    assert result.headers["x-content-type-options"] == "nosniff"


ROUTES = [
    ("GET", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/{job}"),
    ("GET", "/api/v1/jobs/{job}/input"),
    ("GET", "/api/v1/jobs/{job}/result"),
    ("POST", "/api/v1/jobs/{job}/cancel"),
    ("POST", "/api/v1/jobs/{job}/redrive"),
    ("DELETE", "/api/v1/jobs/{job}"),
    ("GET", "/api/v1/queue"),
    ("GET", "/api/v1/dead-letters"),
    ("POST", "/api/v1/dead-letters/redrive"),
    ("DELETE", "/api/v1/dead-letters"),
]


@pytest.mark.parametrize(("method", "route"), ROUTES)
async def test_a_key_does_what_its_scopes_say(
    method: str, route: str, console: FakeConsole, api: httpx.AsyncClient
) -> None:
    job = await queued(console)
    url = route.replace("{job}", job_name(job.id))
    body = {"kind": "sum", "input": {}} if (method, route) == ("POST", "/api/v1/jobs") else None
    others = await bearer(console, "usage", "keys", "budgets", "approve", "flags")
    assert (await api.request(method, url, json=body, headers=others)).status_code == 403
    assert (await api.request(method, url, json=body)).status_code == 401


async def test_another_tenants_jobs_do_not_exist(console: FakeConsole, api: httpx.AsyncClient) -> None:
    mine, theirs = await bearer(console, "inference"), await queued(console, "other")
    await ended(console, "failed", code="x", message="y")
    before = await console.work.jobs.get(theirs.tenant_id, theirs.id)
    for path_ in ("/api/v1/jobs", "/api/v1/dead-letters"):
        assert (await api.get(path_, headers=mine)).json()["data"] == []
    assert (await api.post("/api/v1/dead-letters/redrive", headers=mine)).json() == {"redriven": 0}
    assert (await api.delete("/api/v1/dead-letters", headers=mine)).json() == {"discarded": 0}
    for name in (job_name(theirs.id), job_name(uuid7()), "nonsense"):
        for method, route in ROUTES:
            if "{job}" in route:
                response = await api.request(method, route.replace("{job}", name), headers=mine)
                assert (response.status_code, problem_of(response)["code"]) == (404, "not_found"), route
    assert await console.work.jobs.get(theirs.tenant_id, theirs.id) == before
