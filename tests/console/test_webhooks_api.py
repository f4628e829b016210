"""Webhooks by the JSON API: endpoints, secrets that are told once, the log, and doing it once more; other tenants."""

from typing import Any
from uuid import UUID

import httpx

from tenfold.webhooks.delivery import Deliver, GiveUp
from tenfold.webhooks.fake import FakeAnswer
from tests.console.test_api import bearer, problem_of
from tests.docs.test_reference import routes_of
from tests.support.console import FakeConsole

URL = "https://hooks.example/in"
NEW: dict[str, Any] = {"url": URL, "events": ["response.*", "batch.completed"], "description": "ours"}
SINCE = {"since": "2025-01-01T00:00:00Z"}

ROUTES = [
    ("GET", "/api/v1/webhooks", None),
    ("POST", "/api/v1/webhooks", NEW),
    ("GET", "/api/v1/webhooks/{endpoint}", None),
    ("PATCH", "/api/v1/webhooks/{endpoint}", {"enabled": False}),
    ("DELETE", "/api/v1/webhooks/{endpoint}", None),
    ("POST", "/api/v1/webhooks/{endpoint}/rotate", {}),
    ("POST", "/api/v1/webhooks/{endpoint}/test", None),
    ("POST", "/api/v1/webhooks/{endpoint}/redeliver", SINCE),
    ("GET", "/api/v1/webhooks/{endpoint}/deliveries", None),
    ("GET", "/api/v1/webhook-deliveries/{delivery}", None),
    ("GET", "/api/v1/webhook-deliveries/{delivery}/attempts", None),
    ("POST", "/api/v1/webhook-deliveries/{delivery}/redeliver", None),
]


async def made(api: httpx.AsyncClient, headers: dict[str, str], **more: Any) -> dict[str, Any]:
    response = await api.post("/api/v1/webhooks", json=NEW | more, headers=headers)
    assert response.status_code == 201, response.text
    endpoint: dict[str, Any] = response.json()
    return endpoint


async def after_a_test(console: FakeConsole, api: httpx.AsyncClient, headers: dict[str, str], endpoint: str) -> str:
    """The delivery of a test event that a worker has tried."""
    response = await api.post(f"/api/v1/webhooks/{endpoint}/test", headers=headers)
    assert response.status_code == 202, response.text
    await work_off(console, response.json()["job"])
    delivery: str = response.json()["delivery"]
    return delivery


async def work_off(console: FakeConsole, job: str) -> None:
    """By a worker, until the job has ended."""
    tenant = await console.tenants.tenant("acme")
    deliver = Deliver(console.webhook_rows, console.sender, console.clock)
    async with console.work.working([deliver, GiveUp(console.webhook_rows)]):
        ended = await console.work.jobs.wait(tenant.id, UUID(job.removeprefix("job_")), 20)
    assert ended.state == "done", ended


async def test_an_endpoint_is_created_listed_changed_and_ended(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "webhooks")
    created = await made(api, headers)
    assert {key: created[key] for key in NEW} == NEW
    assert created["secret"].startswith("whsec_")
    assert (created["enabled"], created["disabled_by"], created["failures"]) == (True, None, 0)
    shown = {key: value for key, value in created.items() if key != "secret"}
    path = f"/api/v1/webhooks/{created['id']}"
    assert (await api.get(path, headers=headers)).json() == shown
    assert (await api.get("/api/v1/webhooks", headers=headers)).json() == {"data": [shown], "next_cursor": None}

    changed = await api.patch(path, json={"enabled": False, "events": ["*"]}, headers=headers)
    assert changed.status_code == 200, changed.text
    assert (changed.json()["disabled_by"], changed.json()["events"], changed.json()["url"]) == ("asked", ["*"], URL)
    assert (await api.delete(path, headers=headers)).status_code == 204
    assert (await api.get(path, headers=headers)).status_code == 404
    assert (await api.delete(path, headers=headers)).status_code == 404


async def test_a_secret_is_exchanged(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "webhooks")
    created = await made(api, headers)
    path = f"/api/v1/webhooks/{created['id']}/rotate"
    rotated = (await api.post(path, json={"grace_s": 3600}, headers=headers)).json()
    assert rotated["secret"] != created["secret"]
    assert rotated["old_secret_until"] == "2026-01-01T01:00:00Z"
    refused = problem_of(await api.post(path, json={"grace_s": -1}, headers=headers))
    assert (refused["status"], refused["param"]) == (400, "grace_s")


async def test_what_was_delivered_is_told_and_delivered_once_more(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "webhooks")
    endpoint = (await made(api, headers))["id"]
    console.sender.answers = [FakeAnswer(status=500, body=b"oh"), FakeAnswer(status=204)]
    delivery = await after_a_test(console, api, headers, endpoint)
    path = f"/api/v1/webhook-deliveries/{delivery}"
    told = (await api.get(path, headers=headers)).json()
    assert (told["state"], told["type"], told["endpoint"], told["attempts"]) == ("failed", "webhook.test", endpoint, 1)
    assert (told["last"]["status"], told["last"]["reply"], told["last"]["error"]) == (500, "oh", None)
    assert f'"id":"{told["event"]}"' in told["body"]

    again = await api.post(f"{path}/redeliver", headers=headers)
    assert (again.status_code, again.json()["delivery"]) == (202, delivery)
    await work_off(console, again.json()["job"])
    assert (await api.get(path, headers=headers)).json()["state"] == "delivered"
    attempts = (await api.get(f"{path}/attempts", headers=headers)).json()
    assert ([each["status"] for each in attempts["data"]], attempts["next_cursor"]) == ([204, 500], None)
    listed = f"/api/v1/webhooks/{endpoint}/deliveries"
    (line,) = (await api.get(listed, params={"state": "delivered"}, headers=headers)).json()["data"]
    assert (line["id"], "body" in line) == (delivery, False)
    assert (await api.get(listed, params={"state": "failed"}, headers=headers)).json()["data"] == []

    response = await api.post(f"/api/v1/webhooks/{endpoint}/redeliver", json=SINCE, headers=headers)
    assert (response.status_code, response.json()) == (202, {"count": 0, "more": False})


async def test_what_is_wrong_is_a_problem(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "webhooks")
    endpoint = (await made(api, headers))["id"]
    console.sender.refused.add("https://10.0.0.1/")
    for method, path, body, param in (
        ("POST", "/api/v1/webhooks", {"url": "https://10.0.0.1/"}, "url"),
        ("POST", "/api/v1/webhooks", {"url": URL, "events": ["response.done"]}, "events"),
        ("POST", "/api/v1/webhooks", {"url": "x" * 2049}, "url"),
        ("POST", "/api/v1/webhooks", {"url": URL, "secret": "mine"}, "secret"),
        ("PATCH", f"/api/v1/webhooks/{endpoint}", {"url": "https://10.0.0.1/"}, "url"),
        ("POST", f"/api/v1/webhooks/{endpoint}/redeliver", {"since": "2026-01-01T00:00:00"}, "since"),
        ("GET", f"/api/v1/webhooks/{endpoint}/deliveries?state=lost", None, "state"),
        ("GET", "/api/v1/webhooks?cursor=x", None, "cursor"),
    ):
        problem = problem_of(await api.request(method, path, json=body, headers=headers))
        assert (problem["status"], problem["param"]) == (400, param)
    await api.patch(f"/api/v1/webhooks/{endpoint}", json={"enabled": False}, headers=headers)
    response = await api.post(f"/api/v1/webhooks/{endpoint}/redeliver", json=SINCE, headers=headers)
    assert problem_of(response)["code"] == "conflict"


async def test_a_key_does_what_its_scopes_say(console: FakeConsole, api: httpx.AsyncClient) -> None:
    mine = await bearer(console, "webhooks")
    endpoint = (await made(api, mine))["id"]
    delivery = await after_a_test(console, api, mine, endpoint)
    others = await bearer(console, "inference", "keys", "usage")
    stranger = await bearer(console, "webhooks", slug="other")
    for method, path, body in ROUTES:
        path = path.format(endpoint=endpoint, delivery=delivery)
        assert (await api.request(method, path, json=body)).status_code == 401
        assert (await api.request(method, path, json=body, headers=others)).status_code == 403
        if endpoint in path or delivery in path:
            assert (await api.request(method, path, json=body, headers=stranger)).status_code == 404
    assert (await api.get("/api/v1/webhooks", headers=stranger)).json()["data"] == []
    assert (await api.get(f"/api/v1/webhooks/{endpoint}", headers=mine)).status_code == 200


async def test_these_are_all_the_routes(console: FakeConsole) -> None:
    told = {(method, path) for method, path in routes_of(console.app) if "/webhook" in path}
    assert told == {(method, path) for method, path, _ in ROUTES}
