"""The JSON API: bearer keys, problem details, and answers whole or streamed."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest

from tenfold.core.errors import RateLimited, UpstreamUnavailable
from tenfold.core.sse import SseDecoder
from tests.console.browser import Browser
from tests.support.console import ANSWER, FakeConsole, PausingCaller
from tests.support.naughty import naughty_strings


async def bearer(console: FakeConsole, *scopes: str, slug: str = "acme") -> dict[str, str]:
    tenant = await console.tenants.tenant_or_new(slug, slug)
    created = await console.keys.create_key(tenant.id, "test", scopes or ("inference", "keys", "usage"))
    return {"authorization": f"Bearer {created.secret}"}


def problem_of(response: httpx.Response) -> dict[str, object]:
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, object] = response.json()
    assert problem["status"] == response.status_code
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


async def test_ask(console: FakeConsole, api: httpx.AsyncClient) -> None:
    response = await api.post("/api/v1/ask", json={"question": "How?"}, headers=await bearer(console, "inference"))

    answer = response.json()
    assert response.status_code == 200
    assert answer["text"] == "".join(ANSWER)
    assert answer["outcome"] == "answered"
    assert answer["citations"][0] == {
        "number": 1,
        "title": "Quick start",
        "heading": "Call it with the OpenAI SDK",
        "url": "/docs/quickstart#call-it-with-the-openai-sdk",
        "span": [120, 214],
        "excerpt": "Set base_url to the address of Tenfold followed by /v1 and api_key to a key made under Keys.",
    }
    assert (answer["cost_usd"], answer["cache"], answer["model"]) == ("0.000012", "miss", "fake-model")
    assert response.headers["tenfold-cost-usd"] == "0.000012"
    assert response.headers["tenfold-cache"] == "miss"
    assert "tenfold-degraded" not in response.headers


async def test_ask_streamed(console: FakeConsole, api: httpx.AsyncClient) -> None:
    response = await api.post(
        "/api/v1/ask", json={"question": "How?", "stream": True}, headers=await bearer(console, "inference")
    )

    assert response.headers["content-type"].startswith("text/event-stream")
    events = [(event.event, json.loads(event.data)) for event in SseDecoder().feed(response.content)]
    assert [data["text"] for name, data in events if name == "delta"] == list(ANSWER)
    name, end = events[-1]
    assert (name, end["outcome"], len(end["citations"])) == ("end", "answered", 2)


async def test_the_degraded_answer_is_declared(console: FakeConsole, api: httpx.AsyncClient) -> None:
    console.caller.error = UpstreamUnavailable("away")
    response = await api.post("/api/v1/ask", json={"question": "How?"}, headers=await bearer(console))

    assert response.status_code == 200
    assert response.headers["tenfold-degraded"] == "search"
    assert (response.json()["outcome"], response.json()["text"]) == ("degraded", "")
    assert len(response.json()["nearest"]) == 2


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer "}, {"authorization": "Basic eDp4"}, {"authorization": "Bearer tf_wrong-key-0123"}],
)
async def test_without_a_good_key_nothing_is_told(headers: dict[str, str], api: httpx.AsyncClient) -> None:
    for method, path in [("POST", "/api/v1/ask"), ("GET", "/api/v1/keys"), ("DELETE", "/api/v1/keys/x")]:
        body = {"question": "x"} if method == "POST" else None
        response = await api.request(method, path, json=body, headers=headers)
        assert (response.status_code, problem_of(response)["code"]) == (401, "invalid_api_key")
        assert response.headers["www-authenticate"] == "Bearer"


async def test_a_session_cookie_is_no_key(browser: Browser) -> None:
    await browser.sign_up()
    assert (await browser.client.get("/api/v1/keys")).status_code == 401


async def test_a_key_does_what_its_scopes_say(console: FakeConsole, api: httpx.AsyncClient) -> None:
    only_keys = await bearer(console, "keys")
    only_inference = await bearer(console, "inference")

    response = await api.post("/api/v1/ask", json={"question": "x"}, headers=only_keys)
    assert (response.status_code, problem_of(response)["code"]) == (403, "permission_denied")
    assert (await api.get("/api/v1/keys", headers=only_inference)).status_code == 403
    response = await api.post("/api/v1/keys", json={"name": "x", "scopes": ["inference"]}, headers=only_keys)
    assert (response.status_code, problem_of(response)["code"]) == (403, "permission_denied")


async def test_keys_are_made_listed_and_revoked(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console)
    body = {"name": "deploy", "scopes": ["inference"], "expires_at": "2026-02-01T00:00:00Z"}
    created = await api.post("/api/v1/keys", json=body, headers=headers)
    assert created.status_code == 201
    key = created.json()
    assert (key["name"], key["scopes"], key["expires_at"]) == ("deploy", ["inference"], "2026-02-01T00:00:00Z")
    assert (await console.keyring.load(key["secret"])).scopes == {"inference"}

    listed = (await api.get("/api/v1/keys", params={"limit": 1}, headers=headers)).json()
    assert len(listed["data"]) == 1
    rest = await api.get("/api/v1/keys", params={"cursor": listed["next_cursor"]}, headers=headers)
    assert {each["id"] for each in listed["data"] + rest.json()["data"]} >= {key["id"]}
    assert "secret" not in listed["data"][0]

    revoked = await api.delete(f"/api/v1/keys/{key['id']}", headers=headers)
    assert revoked.json()["revoked_at"] is not None


async def test_another_tenants_key_is_not_found(console: FakeConsole, api: httpx.AsyncClient) -> None:
    mine, theirs = await bearer(console), await bearer(console, slug="other")
    their_key = (await api.get("/api/v1/keys", headers=theirs)).json()["data"][0]["id"]

    for key_id in (their_key, "01890000-0000-7000-8000-000000000000", "nonsense"):
        response = await api.delete(f"/api/v1/keys/{key_id}", headers=mine)
        problem = problem_of(response)
        assert (problem["status"], problem["detail"]) == (404, "There is no such key.")
    assert (await api.get("/api/v1/keys", headers=theirs)).json()["data"][0]["revoked_at"] is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"null", None),
        (b"{}", "question"),
        (b'{"question": 1}', "question"),
        (b'{"question": ""}', "question"),
        (b'{"question": "x", "strem": true}', "strem"),
        (b'{"question": "\\ud800"}', "question"),
        (b'{"question": "\xff\xfe"}', None),
        (b"[" * 30_000, None),
    ],
)
async def test_bad_bodies(body: bytes, param: str | None, console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console) | {"content-type": "application/json"}
    response = await api.post("/api/v1/ask", content=body, headers=headers)

    problem = problem_of(response)
    assert (problem["status"], problem["code"], problem.get("param")) == (400, "invalid_request", param)
    assert console.caller.requests == []


async def test_too_large_a_body(console: FakeConsole, api: httpx.AsyncClient) -> None:
    response = await api.post("/api/v1/ask", json={"question": "x" * 100_000}, headers=await bearer(console))
    assert (response.status_code, problem_of(response)["code"]) == (413, "request_too_large")


async def test_naughty_strings(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console)
    for text in naughty_strings():
        content = json.dumps({"question": text, "name": text}).encode()
        for path, field in (("/api/v1/ask", "question"), ("/api/v1/keys", "name")):
            content = json.dumps({field: text}).encode()
            response = await api.post(path, content=content, headers=headers | {"content-type": "application/json"})
            assert response.status_code in (200, 201, 400), (path, text)


async def test_limits_and_absences_are_passed_on(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console)
    console.caller.error = RateLimited("Slow down.", retry_after_s=2.6)
    for stream in (False, True):
        response = await api.post("/api/v1/ask", json={"question": "x", "stream": stream}, headers=headers)
        assert (response.status_code, response.headers["retry-after"]) == (429, "3")
        assert problem_of(response)["code"] == "rate_limit_exceeded"

    console.rows.away = True
    response = await api.get("/api/v1/keys", headers=headers)
    assert (response.status_code, problem_of(response)["code"]) == (503, "store_unavailable")


async def test_openapi_names_the_routes_and_their_problems(api: httpx.AsyncClient) -> None:
    described = (await api.get("/api/openapi.json")).json()

    assert set(described["paths"]) >= {"/api/v1/ask", "/api/v1/keys", "/api/v1/keys/{key_id}", "/api/v1/budgets"}
    ask = described["paths"]["/api/v1/ask"]["post"]
    assert {"200", "400", "401", "403", "429", "503"} <= set(ask["responses"])
    problem = ask["responses"]["401"]["content"]["application/problem+json"]["schema"]["$ref"]
    assert problem == "#/components/schemas/Problem"
    assert set(described["components"]["schemas"]["Problem"]["required"]) >= {"title", "status", "code", "request_id"}
    assert described["components"]["securitySchemes"]


async def test_a_client_that_goes_away_ends_the_call(console: FakeConsole) -> None:
    caller = PausingCaller()
    console.use_caller(caller)
    authorization = (await bearer(console))["authorization"]
    body = b'{"question": "How?", "stream": true}'
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/v1/ask",
        "query_string": b"",
        "headers": [(b"authorization", authorization.encode()), (b"content-type", b"application/json")],
    }
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[object] = []

    async def receive() -> MutableMapping[str, Any]:
        if incoming:
            return incoming.pop()
        await caller.paused.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async with asyncio.timeout(10):
        await console.app(scope, receive, send)

    assert caller.closed == 1
    assert not any(b"event: end" in message.get("body", b"") for message in sent if isinstance(message, dict))
