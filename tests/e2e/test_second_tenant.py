"""A second tenant walks every documented route with the ids of the first one's things: it finds, reads and changes none
of them. Which routes there are is read off `docs/http.md`, which `tests/docs` holds against the code: a new route is
walked at once, and one with a new kind of id fails here until somebody says of which thing."""

import json
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest

from tests.console.browser import Browser
from tests.docs.pages import DOCS, text
from tests.e2e.calls import eventually
from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer

MARK = "eagleowl"
"""Stands in everything that the first tenant says, and in nothing else."""

MODEL = "gpt-4o-mini"
CALL = {"model": MODEL, "messages": [{"role": "user", "content": f"What does an {MARK} eat?"}]}
SCHEDULE = {"name": MARK, "cron": "0 3 * * *", "kind": "call", "input": {"path": "/v1/chat/completions", "body": CALL}}
FLAG = {"key": f"{MARK}-flag", "type": "boolean", "variants": {"on": True, "off": False}, "default_variant": "on"}
HOOK = {"url": "http://127.0.0.1:9/in", "events": ["batch.completed"], "description": MARK}

CHANGING = {
    "/api/v1/webhooks/{endpoint}/deliveries",
    "/api/v1/webhook-deliveries/{delivery}",
    "/api/v1/webhook-deliveries/{delivery}/attempts",
}
"""Nobody is at the other end, so that they are tried again and again."""

_MOVING = re.compile(r'"last_active_at":\d+|^retry: \d+')
_ROW = re.compile(r"^\| `([A-Z]+)` \| `([^`]+)` \|", re.MULTILINE)
_ROUTES = sorted(set(_ROW.findall(text(DOCS / "http.md"))))

PUBLIC = {"/v1/models/{model}", "/docs/{slug:path}", "/static/{name}"}
"""What their parameter names is everybody's."""

LEAVING = {"/signup", "/login", "/logout"}
"""They end or change who is signed in."""

BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/vector_stores/{store}"): {"name": "mine"},
    ("POST", "/v1/vector_stores/{store}/search"): {"query": MARK},
    ("POST", "/v1/vector_stores/{store}/files"): {"file_id": "{file}"},
    ("POST", "/v1/vector_stores/{store}/files/{file}"): {"attributes": {"mine": True}},
    ("POST", "/v1/vector_stores/{store}/file_batches"): {"file_ids": ["{file}"]},
    ("PATCH", "/api/v1/budgets/{budget_id}"): {"limit_usd": "1"},
    ("POST", "/api/v1/support/tickets/{ticket}/feedback"): {"helpful": False},
    ("POST", "/api/v1/support/tickets/{ticket}/claim"): {"agent": "Bea"},
    ("POST", "/api/v1/support/tickets/{ticket}/reply"): {"text": "mine", "agent": "Bea"},
    ("PATCH", "/api/v1/schedules/{schedule}"): {"paused": True},
    ("PATCH", "/api/v1/flags/{key}"): {"enabled": False},
    ("PATCH", "/api/v1/webhooks/{endpoint}"): {"enabled": False},
    ("POST", "/api/v1/webhooks/{endpoint}/redeliver"): {"since": "2026-01-01T00:00:00Z"},
    ("POST", "/ofrep/v1/evaluate/flags/{key}"): {"context": {}},
}
"""Good ones, so that nothing but whose the thing is can be refused."""

IN_BODIES: list[tuple[str, Any]] = [
    ("/v1/vector_stores", {"file_ids": ["{file}"]}),
    ("/v1/batches", {"input_file_id": "{lines}", "endpoint": "/v1/chat/completions", "completion_window": "24h"}),
    ("/v1/responses", {"model": MODEL, "input": "And?", "previous_response_id": "{response}"}),
    (
        "/v1/responses",
        {"model": MODEL, "input": MARK, "tools": [{"type": "file_search", "vector_store_ids": ["{store}"]}]},
    ),
    ("/api/v1/support/tickets", {"question": "And?", "ticket": "{support}"}),
]
"""Ids that are named in a body instead."""


@dataclass
class Person:
    """A browser that is signed in as the owner of a tenant, and an API key of it."""

    browser: Browser
    api: httpx.AsyncClient

    async def form_token(self) -> str:
        return (await self.browser.open("/keys")).form("/keys").fields["form_token"]

    async def made(self, path: str, body: Any, **headers: str) -> dict[str, Any]:
        return _good(await self.api.post(path, json=body, headers=headers))

    async def uploaded(self, name: str, content: bytes, purpose: str) -> str:
        reply = await self.api.post("/v1/files", files={"file": (name, content)}, data={"purpose": purpose})
        return str(_good(reply)["id"])


def _good(reply: httpx.Response) -> dict[str, Any]:
    assert reply.is_success, (str(reply.request.url), reply.status_code, reply.text)
    told: dict[str, Any] = reply.json()
    return told


@pytest.fixture
def tenfold(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    config = configuration(upstream, '[egress]\nallow = ["127.0.0.1/32"]\n')
    with TenfoldProcess(tmp_path_factory.mktemp("second-tenant"), config) as process:
        yield process


@pytest.fixture
async def people(tenfold: TenfoldProcess) -> AsyncIterator[tuple[Person, Person]]:
    async with AsyncExitStack() as open_:
        found = []
        for name in ("owner", "other"):
            client = await open_.enter_async_context(httpx.AsyncClient(base_url=tenfold.url, timeout=60))
            browser = Browser(client)
            secret = await browser.sign_up(f"{name}-{uuid.uuid4().hex[:8]}", f"{name} {uuid.uuid4().hex[:8]}")
            headers = {"Authorization": f"Bearer {secret}"}
            api = httpx.AsyncClient(base_url=tenfold.url, timeout=60, headers=headers)
            found.append(Person(browser, await open_.enter_async_context(api)))
        yield found[0], found[1]


async def test_nothing_of_the_first_is_found_read_or_changed_by_the_second(people: tuple[Person, Person]) -> None:
    owner, other = people
    things = await _one_of_everything(owner)
    before = await _seen_by(owner, things)
    assert before.keys() == {route for method, route in _ROUTES if method == "GET" and _is_of_the_api(route)}
    token = await other.form_token()
    wrong = []
    for method, route in _ROUTES:
        if route in PUBLIC or route in LEAVING:
            continue
        reply = await _asked(other, token, method, route, things)
        if "{" in route and reply.status_code != 404:
            wrong.append(f"{method} {route}: {reply.status_code} {reply.text[:300]}")
        if _tells(reply.text, things, of_ids="{" not in route):
            wrong.append(f"{method} {route} tells of it: {reply.text[:300]}")
    for path, body in IN_BODIES:
        reply = await other.api.post(path, json=_filled(body, things))
        if reply.status_code not in (400, 404) or _tells(reply.text, things, of_ids=False):
            wrong.append(f"POST {path} {body}: {reply.status_code} {reply.text[:300]}")
    assert wrong == []
    assert await _seen_by(owner, things) == before


async def _asked(other: Person, token: str, method: str, route: str, things: dict[str, str]) -> httpx.Response:
    path = _path(route, things)
    if route.startswith(("/v1/", "/api/", "/ofrep/")):
        body = _filled(BODIES.get((method, route), {}), things)
        return await other.api.request(method, path, json=body if method in ("POST", "PATCH") else None)
    browser = other.browser.client
    if method == "GET":
        return await browser.get(path)
    origin = str(browser.base_url).rstrip("/")
    fields = {"form_token": token, "text": "mine"}
    return await browser.post(path, data=fields, headers={"origin": origin, "sec-fetch-site": "same-origin"})


async def _seen_by(owner: Person, things: dict[str, str]) -> dict[str, Any]:
    """What the first tenant reads at each route with an id of the API, without what changes by itself."""
    seen = {}
    for method, route in _ROUTES:
        if method == "GET" and _is_of_the_api(route):
            reply = await owner.api.get(_path(route, things))
            assert reply.status_code == 200, (route, reply.status_code, reply.text)
            seen[route] = "" if route in CHANGING else _MOVING.sub("", reply.text)
    return seen


def _is_of_the_api(route: str) -> bool:
    return "{" in route and route.startswith(("/v1/", "/api/")) and route not in PUBLIC


async def _one_of_everything(owner: Person) -> dict[str, str]:
    """An id of each kind, by the name of the parameter, once all work on them is done."""
    things = {}
    things["file"] = await owner.uploaded("owl.txt", f"The {MARK} eats hares.".encode(), "assistants")
    line = {"custom_id": MARK, "method": "POST", "url": "/v1/chat/completions", "body": CALL}
    things["lines"] = await owner.uploaded("in.jsonl", json.dumps(line).encode() + b"\n", "batch")
    bodies: dict[str, tuple[str, Any]] = {
        "store": ("/v1/vector_stores", {"name": MARK, "metadata": {"of": MARK}}),
        "file_batch": ("/v1/vector_stores/{store}/file_batches", {"file_ids": ["{file}"]}),
        "batch": IN_BODIES[1],
        "response": ("/v1/responses", {"model": MODEL, "input": f"What does an {MARK} eat?", "background": True}),
        "support": ("/api/v1/support/tickets", {"question": f"What does an {MARK} eat?", "end_user": MARK}),
        "job": ("/api/v1/jobs", {"kind": "call", "input": SCHEDULE["input"]}),
        "waiting": ("/api/v1/jobs", {"kind": "call", "input": SCHEDULE["input"], "delay_s": 3600}),
        "key_id": ("/api/v1/keys", {"name": MARK, "scopes": ["inference"]}),
        "budget_id": ("/api/v1/budgets", {"per": "feature", "subject": MARK, "period": "day", "limit_usd": "5"}),
        "limit_id": (
            "/api/v1/limits",
            {"per": "model", "subject": MARK, "measure": "requests", "amount": 5, "window_s": 60},
        ),
        "schedule": ("/api/v1/schedules", SCHEDULE),
        "key": ("/api/v1/flags", FLAG),
        "kill_id": ("/api/v1/kills", {"scope": "feature", "subject": MARK, "reason": MARK}),
        "endpoint": ("/api/v1/webhooks", HOOK),
    }
    for name, (path, body) in bodies.items():
        made = await owner.made(_path(path, things), _filled(body, things))
        things[name] = made["key"] if name == "key" else made["id"]
    things["delivery"] = (await owner.made(f"/api/v1/webhooks/{things['endpoint']}/test", None))["delivery"]
    things["ticket"] = (await owner.made("/v1/chat/completions", CALL, Prefer="respond-async"))["id"]
    asked = {"Tenfold-Cache-Control": "semantic"}
    await owner.made("/v1/chat/completions", CALL | {"seed": uuid.uuid4().int % 10**6}, **asked)
    things["file_id"] = await _document_of(owner)
    await _until(owner, "/api/v1/cache/scopes", lambda told: bool(told["data"]))
    things["scope"] = _good(await owner.api.get("/api/v1/cache/scopes"))["data"][0]["id"]
    for path, done in (
        ("/v1/vector_stores/{store}/file_batches/{file_batch}", "completed"),
        ("/v1/batches/{batch}", "completed"),
        ("/v1/responses/{response}", "completed"),
    ):
        await _until(owner, _path(path, things), partial(_has, "status", done))
    await _until(owner, _path("/api/v1/jobs/{job}", things), partial(_has, "state", "done"))
    await _until(owner, _path("/api/v1/tickets/{ticket}", things), partial(_has, "state", "done"))
    await _until(
        owner, f"/api/v1/support/tickets/{things['support']}", lambda told: told["messages"][-1]["role"] == "assistant"
    )
    return things


async def _document_of(owner: Person) -> str:
    """The file of a document that the Knowledge page has read."""
    await owner.browser.open("/knowledge")
    await owner.browser.upload("/knowledge", ("owl.md", f"# The {MARK}\n\nIt eats hares.\n".encode()))
    found: list[str] = []

    async def is_read() -> bool:
        links = (await owner.browser.open("/knowledge")).links
        found.extend(link for link in links if link.startswith("/knowledge/file-"))
        return bool(found)

    await eventually(is_read)
    return found[0].removeprefix("/knowledge/").partition("?")[0]


def _has(name: str, value: str, told: dict[str, Any]) -> bool:
    return bool(told[name] == value)


async def _until(owner: Person, path: str, is_so: Callable[[dict[str, Any]], bool]) -> None:
    async def holds() -> bool:
        return is_so(_good(await owner.api.get(path)))

    await eventually(holds)


def _path(route: str, things: dict[str, str]) -> str:
    if "/file_batches/" in route:
        route = route.replace("{batch}", "{file_batch}")
    if "/support/" in route:
        route = route.replace("{ticket}", "{support}")
    if route == "/api/v1/jobs/{job}/input":  # which is dropped when a job is done
        route = route.replace("{job}", "{waiting}")
    return str(_filled(route, things))


def _filled(value: Any, things: dict[str, str]) -> Any:
    """With the ids in the place of their names. A KeyError says that `_one_of_everything` lacks one."""
    return json.loads(re.sub(r"\{(\w+)\}", lambda found: things[found[1]], json.dumps(value)))


def _tells(said: str, things: dict[str, str], *, of_ids: bool) -> bool:
    if of_ids and any(one in said for one in things.values()):
        return True
    for one in things.values():  # which are repeated in what is refused
        said = said.replace(one, "")
    return MARK in said
