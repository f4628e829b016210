"""The semantic cache by the JSON API: its scopes, a reset, and eviction by document; other tenants."""

from typing import Any

import httpx
import pytest

from tenfold.cache.grounds import named_by_caller
from tenfold.cache.semantic.rows import NewEntry, ScopeAt, ScopeFacts, Told, Uses
from tenfold.cache.semantic.types import Entry, ScopeStatus
from tenfold.core.ids import TenantId, uuid7
from tests.console.test_api import bearer, problem_of
from tests.docs.test_reference import routes_of
from tests.support.console import FakeConsole

STATUS = ScopeStatus(entries=1, hits=0, checks=0, bound=0.004, max_false_hits=0.01, is_off=False)
ROUTES = [
    ("GET", "/api/v1/cache/scopes", None),
    ("GET", "/api/v1/cache/scopes/{scope}", None),
    ("POST", "/api/v1/cache/scopes/{scope}/reset", None),
    ("POST", "/api/v1/cache/evict", {"documents": ["manual@7"]}),
]


async def tenant_of(console: FakeConsole) -> TenantId:
    return (await console.tenants.tenant_or_new("acme", "acme")).id


async def kept(console: FakeConsole, number: int = 0, *, status: ScopeStatus = STATUS) -> str:
    """The name of a scope in which one answer is kept, that rests on manual@7."""
    rows, tenant_id = console.semantic_rows, await tenant_of(console)
    facts = ScopeFacts(digest=bytes([number]) * 32, dialect="openai", model="m", stream=False, max_false_hits=0.01)
    at = await rows.open_scope(tenant_id, facts)
    documents = frozenset({str(named_by_caller("manual@7"))})
    entry = Entry(id=uuid7(), question="How?", vector=(1.0,), answer_id=uuid7(), documents=documents)
    new = NewEntry(entry=entry, text="So.", body=b"{}", told=Told(), ttl_s=60.0, asked_s_ago=0.0)
    assert await rows.keep(tenant_id, at, new=new, seen=None, status=status, max_entries=10)
    await rows.count(tenant_id, [Uses(ScopeAt(at.id, at.epoch), 3, 1)])
    return f"scope_{at.id.hex}"


async def test_a_scope_says_what_its_answers_are_worth(console: FakeConsole, api: httpx.AsyncClient) -> None:
    name = await kept(console)
    response = await api.get(f"/api/v1/cache/scopes/{name}", headers=await bearer(console, "inference"))
    told = response.json()
    assert {key: told[key] for key in ("id", "model", "dialect", "stream")} == {
        "id": name,
        "model": "m",
        "dialect": "openai",
        "stream": False,
    }
    assert (told["state"], told["why_off"]) == ("answering", None)
    assert (told["entries"], told["hits"], told["checks"]) == (1, 3, 1)
    assert (told["bound"], told["max_false_hits"]) == (0.004, 0.01)


@pytest.mark.parametrize(
    ("more", "state"),
    [({"bound": 1.0}, "learning"), ({"bound": 0.2, "is_off": True, "why_off": "too many were wrong"}, "off")],
    ids=["learning", "off"],
)
async def test_a_scope_that_answers_nothing_says_so(
    console: FakeConsole, api: httpx.AsyncClient, more: dict[str, Any], state: str
) -> None:
    values = {name: getattr(STATUS, name) for name in STATUS.__struct_fields__}
    name = await kept(console, status=ScopeStatus(**values | more))
    told = (await api.get(f"/api/v1/cache/scopes/{name}", headers=await bearer(console, "inference"))).json()
    assert (told["state"], told["why_off"]) == (state, more.get("why_off"))


async def test_scopes_are_listed_in_pages(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    names = {await kept(console, number) for number in range(3)}
    first = (await api.get("/api/v1/cache/scopes?limit=2", headers=headers)).json()
    rest = (await api.get(f"/api/v1/cache/scopes?cursor={first['next_cursor']}", headers=headers)).json()
    assert {each["id"] for each in first["data"] + rest["data"]} == names
    assert (len(first["data"]), rest["next_cursor"]) == (2, None)
    assert problem_of(await api.get("/api/v1/cache/scopes?cursor=x", headers=headers))["param"] == "cursor"


async def test_a_reset_empties_a_scope(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers, name = await bearer(console, "inference"), await kept(console)
    assert (await api.post(f"/api/v1/cache/scopes/{name}/reset", headers=headers)).status_code == 204
    told = (await api.get(f"/api/v1/cache/scopes/{name}", headers=headers)).json()
    assert (told["entries"], told["hits"], told["state"]) == (0, 0, "learning")


async def test_documents_are_evicted_and_every_process_is_told(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    await kept(console)
    for documents, evicted in ((["else"], 0), (["manual@8"], 0), (["manual@7", "else"], 1), (["manual"], 0)):
        response = await api.post("/api/v1/cache/evict", json={"documents": documents}, headers=headers)
        assert (response.status_code, response.json()) == (200, {"evicted": evicted})
    assert console.semantic_rows.told == [await tenant_of(console)] * 4


NO_DOCUMENTS: list[list[str]] = [[], [""], ["a\nb"], ["@7"], ["x" * 1000 + "@" + "y" * 1000], ["a"] * 101]


@pytest.mark.parametrize("documents", NO_DOCUMENTS, ids=["none", "empty", "lines", "no name", "long", "many"])
async def test_what_is_no_document_is_refused(
    console: FakeConsole, api: httpx.AsyncClient, documents: list[str]
) -> None:
    headers = await bearer(console, "inference")
    response = await api.post("/api/v1/cache/evict", json={"documents": documents}, headers=headers)
    problem = problem_of(response)
    assert problem["status"] == 400
    assert str(problem["param"]).startswith("documents")
    assert console.semantic_rows.told == []


async def test_other_tenants_find_nothing_and_evict_nothing(console: FakeConsole, api: httpx.AsyncClient) -> None:
    name = await kept(console)
    stranger, others = await bearer(console, "inference", slug="other"), await bearer(console, "keys", "usage")
    for method, path, body in ROUTES:
        path = path.format(scope=name)
        assert (await api.request(method, path, json=body)).status_code == 401
        assert (await api.request(method, path, json=body, headers=others)).status_code == 403
        response = await api.request(method, path, json=body, headers=stranger)
        if name in path:
            assert response.status_code == 404
        else:
            assert response.json() in ({"data": [], "next_cursor": None}, {"evicted": 0})
    headers = await bearer(console, "inference")
    assert (await api.get(f"/api/v1/cache/scopes/{name}", headers=headers)).json()["entries"] == 1
    for bad in ("scope_x", "scope_" + "0" * 32, "x"):
        assert (await api.get(f"/api/v1/cache/scopes/{bad}", headers=headers)).status_code == 404
    assert {(m, p) for m, p in routes_of(console.app) if "/cache" in p and "/api/" in p} == {
        (m, p) for m, p, _ in ROUTES
    }
