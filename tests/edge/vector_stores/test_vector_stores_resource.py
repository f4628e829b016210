"""The routes of vector stores over a real server, on stores in memory: shapes as OpenAI's, and what is refused."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import json

from tenfold.core.errors import TenfoldError
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.edge.files.resource import FilesResource
from tenfold.edge.http import Request
from tenfold.edge.vector_stores.resource import VectorStoresResource
from tenfold.inference import respond
from tests.retrieval.vector_stores.house import House
from tests.support.http_server import Reply, Served, get, post
from tests.support.openai_schema import assert_valid
from tests.support.pipeline import principal

ROOT = "/v1/vector_stores"
MANUAL = b"The pump starts at 40 bar.\n\nThe valve of the pump closes at 60 bar."


class Shop(House):
    """`who` asks."""

    def __init__(self) -> None:
        super().__init__()
        self.who: Principal = principal()
        self.resource = VectorStoresResource(self.stores, self.files, self.search)
        self.of_files = FilesResource(self.uploads, self.files.forget)
        self.served: Served

    async def handle(self, request: Request) -> None:
        try:
            resource = self.of_files if request.path.startswith("/v1/files") else self.resource
            await resource.handle(request, self.who)
        except TenfoldError as error:
            respond.refuse(error, OpenAIDialect(), "req_1", request)

    async def get(self, path: str = "") -> Reply:
        return await self.served.ask(get(ROOT + path))

    async def post(self, path: str = "", **body: Any) -> Reply:
        return await self.served.ask(post(json.encode(body), ROOT + path))

    async def delete(self, path: str) -> Reply:
        return await self.served.ask(get(ROOT + path).replace(b"GET", b"DELETE", 1))

    async def made(self, **body: Any) -> str:
        reply = await self.post(**body)
        assert reply.status == 200, reply.body
        return str(reply.json()["id"])

    async def uploaded(self, content: bytes = MANUAL) -> str:
        return (await self.upload(self.who, content)).public_id


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = Shop()
    async with Served(made.handle) as made.served, made.working():
        yield made


async def test_a_store_from_its_making_to_its_end(shop: Shop) -> None:
    reply = await shop.post(
        name="Manuals",
        description="Of pumps",
        metadata={"team": "a"},
        expires_after={"anchor": "last_active_at", "days": 7},
        file_ids=[await shop.uploaded()],
    )
    made = reply.json()
    assert_valid("VectorStoreObject", made)
    assert (made["name"], made["status"], made["file_counts"]["total"]) == ("Manuals", "in_progress", 1)
    assert made["expires_at"] - made["last_active_at"] == 7 * 86_400
    assert reply.headers["openai-poll-after-ms"] == "250"
    await shop.done(shop.who, made["id"])
    found = (await shop.get(f"/{made['id']}")).json()
    assert (found["status"], found["usage_bytes"]) == ("completed", len(MANUAL))
    changed = (await shop.post(f"/{made['id']}", name="Books", expires_after=None, metadata={})).json()
    assert_valid("VectorStoreObject", changed)
    assert (changed["name"], changed["metadata"], changed["expires_at"]) == ("Books", {}, None)
    page = (await shop.get("?limit=1")).json()
    assert_valid("ListVectorStoresResponse", page)
    assert (page["first_id"], page["has_more"]) == (made["id"], False)
    gone = await shop.delete(f"/{made['id']}")
    assert_valid("DeleteVectorStoreResponse", gone.json())
    for again in (await shop.get(f"/{made['id']}"), await shop.delete(f"/{made['id']}")):
        assert again.status == 404


async def test_a_file_from_its_coming_to_its_going(shop: Shop) -> None:
    store, file = await shop.made(), await shop.uploaded()
    static = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 20}}
    reply = await shop.post(f"/{store}/files", file_id=file, attributes={"year": 2024}, chunking_strategy=static)
    made = reply.json()
    assert_valid("VectorStoreFileObject", made)
    assert (made["id"], made["status"], made["chunking_strategy"]) == (file, "in_progress", static)
    assert "openai-poll-after-ms" in reply.headers
    await shop.done(shop.who, store)
    found = (await shop.get(f"/{store}/files/{file}")).json()
    assert_valid("VectorStoreFileObject", found)
    assert (found["status"], found["usage_bytes"], found["attributes"]) == ("completed", len(MANUAL), {"year": 2024})
    changed = (await shop.post(f"/{store}/files/{file}", attributes={"year": 2025, "new": True})).json()
    assert changed["attributes"] == {"year": 2025, "new": True}
    content = (await shop.get(f"/{store}/files/{file}/content")).json()
    assert_valid("VectorStoreFileContentResponse", content)
    assert content["data"] == [{"type": "text", "text": MANUAL.decode()}]
    page = (await shop.get(f"/{store}/files?filter=completed&order=asc")).json()
    assert_valid("ListVectorStoreFilesResponse", page)
    assert [each["id"] for each in page["data"]] == [file]
    assert (await shop.get(f"/{store}/files?filter=failed")).json()["data"] == []
    gone = await shop.delete(f"/{store}/files/{file}")
    assert_valid("DeleteVectorStoreFileResponse", gone.json())
    assert (await shop.get(f"/{store}/files/{file}")).status == 404
    assert (await shop.post(f"/{store}/search", query="pump")).json()["data"] == []


async def test_a_file_that_is_deleted_goes_out_of_all_stores(shop: Shop) -> None:
    file = await shop.uploaded()
    stores = [await shop.made(file_ids=[file]) for _ in range(2)]
    for store in stores:
        await shop.done(shop.who, store)
    delete = get(f"/v1/files/{file}").replace(b"GET", b"DELETE", 1)
    mine, shop.who = shop.who, principal("other")
    assert (await shop.served.ask(delete)).status == 404
    shop.who = mine
    assert (await shop.get(f"/{stores[0]}/files/{file}")).status == 200
    assert (await shop.served.ask(delete)).status == 200
    for store in stores:
        assert (await shop.get(f"/{store}/files/{file}")).status == 404
    assert (await shop.served.ask(delete)).status == 404


async def test_a_file_cut_by_its_structure_and_one_that_failed(shop: Shop) -> None:
    store, file = await shop.made(), await shop.uploaded(b"\xff\xff")
    made = (await shop.post(f"/{store}/files", file_id=file, chunking_strategy={"type": "auto"})).json()
    assert made["chunking_strategy"] == {"type": "other"}
    await shop.done(shop.who, store)
    failed = (await shop.get(f"/{store}/files/{file}")).json()
    assert_valid("VectorStoreFileObject", failed)
    assert (failed["status"], failed["last_error"]["code"]) == ("failed", "unsupported_file")
    assert (await shop.get(f"/{store}/files/{file}/content")).json()["data"] == []


async def test_batches(shop: Shop) -> None:
    store, files = await shop.made(), [await shop.uploaded() for _ in range(3)]
    batch = (await shop.post(f"/{store}/file_batches", file_ids=files[:2], attributes={"a": "b"})).json()
    assert_valid("VectorStoreFileBatchObject", batch)
    each = [{"file_id": files[2], "attributes": {"c": 1}}]
    other = (await shop.post(f"/{store}/file_batches", files=each)).json()
    await shop.done(shop.who, store)
    ended = (await shop.get(f"/{store}/file_batches/{batch['id']}")).json()
    assert_valid("VectorStoreFileBatchObject", ended)
    assert (ended["status"], ended["file_counts"]["completed"]) == ("completed", 2)
    page = (await shop.get(f"/{store}/file_batches/{batch['id']}/files?order=asc&limit=1")).json()
    assert_valid("ListVectorStoreFilesResponse", page)
    assert (page["data"][0]["attributes"], page["has_more"]) == ({"a": "b"}, True)
    cancelled = (await shop.post(f"/{store}/file_batches/{other['id']}/cancel")).json()
    assert cancelled["status"] == "completed"


async def test_searches(shop: Shop) -> None:
    store = await shop.made()
    for content, attributes in ((MANUAL, {"of": "pump"}), (b"The fan has a pump guard.", {"of": "fan"})):
        await shop.post(f"/{store}/files", file_id=await shop.uploaded(content), attributes=attributes)
    await shop.done(shop.who, store)
    asked: dict[str, Any] = {"query": "valve of the pump", "max_num_results": 2}
    found = (await shop.post(f"/{store}/search", **asked)).json()
    assert_valid("VectorStoreSearchResultsPage", found)
    assert found["search_query"] == ["valve of the pump"]
    assert [len(found["data"]), found["data"][0]["content"][0]["text"][:9]] == [2, "The valve"]
    scores = [each["score"] for each in found["data"]]
    assert scores == sorted(scores, reverse=True)
    narrow = asked | {"filters": {"type": "eq", "key": "of", "value": "fan"}}
    assert [each["attributes"] for each in (await shop.post(f"/{store}/search", **narrow)).json()["data"]] == [
        {"of": "fan"}
    ]
    strict = asked | {"ranking_options": {"ranker": "auto", "score_threshold": 1}}
    assert len((await shop.post(f"/{store}/search", **strict)).json()["data"]) == 1
    several = {"query": ["fan", "valve"], "rewrite_query": True, "max_num_results": 50}
    assert len((await shop.post(f"/{store}/search", **several)).json()["data"]) == 2


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("", {"name": "x" * 257}, "name"),
    ("", {"metadata": {"a": 1}}, "metadata"),
    ("", {"metadata": {str(at): "" for at in range(17)}}, "metadata"),
    ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
    ("", {"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after.days"),
    ("", {"colour": "red"}, "colour"),
    ("", {"x" * 10_000: 1}, "x" * 80),
    ("/STORE/files", {}, "file_id"),
    ("/STORE/files", {"file_id": "FILE", "attributes": {"a": []}}, "attributes"),
    ("/STORE/files", {"file_id": "FILE", "chunking_strategy": {"type": "clever"}}, "chunking_strategy.type"),
    ("/STORE/file_batches", {}, "file_ids"),
    ("/STORE/file_batches", {"file_ids": []}, "file_ids"),
    ("/STORE/file_batches", {"files": [{}]}, "files[0].file_id"),
    ("/STORE/file_batches", {"files": [{"file_id": "FILE", "colour": 1}]}, "files[0].colour"),
    ("/STORE/file_batches", {"file_ids": ["FILE", "FILE"]}, "file_ids"),
    ("/STORE/search", {}, "query"),
    ("/STORE/search", {"query": ""}, "query"),
    ("/STORE/search", {"query": []}, "query"),
    ("/STORE/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
    ("/STORE/search", {"query": "x", "ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
    ("/STORE/search", {"query": "x", "ranking_options": {"k": 2}}, "ranking_options.k"),
    ("/STORE/search", {"query": "x", "filters": {"type": "like", "key": "a", "value": "b"}}, "filters.type"),
    ("/STORE/search", {"query": "x", "filters": {"type": "eq", "key": "a", "value": []}}, "filters.value"),
    ("/STORE/search", {"query": "x", "filters": {"type": "and", "filters": []}}, "filters.filters"),
]


@pytest.mark.parametrize(("path", "body", "param"), REFUSED)
async def test_what_is_refused(shop: Shop, path: str, body: dict[str, Any], param: str) -> None:
    store, file = await shop.made(), await shop.uploaded()
    told = json.decode(json.encode(body).replace(b'"FILE"', json.encode(file)))
    reply = await shop.post(path.replace("STORE", store), **told)
    error = reply.json()["error"]
    assert (reply.status, error["param"] or "") == (400, param), error


async def test_filters_have_bounds(shop: Shop) -> None:
    store = await shop.made()
    one: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    deep = one
    for _ in range(8):
        deep = {"type": "or", "filters": [deep]}
    for filters in (deep, {"type": "and", "filters": [one] * 65}):
        reply = await shop.post(f"/{store}/search", query="x", filters=filters)
        assert reply.status == 400
    wide = {"type": "and", "filters": [one] * 64}
    assert (await shop.post(f"/{store}/search", query="x", filters=wide)).status == 200


async def test_lists_go_page_by_page(shop: Shop) -> None:
    store = await shop.made()
    files = [await shop.uploaded() for _ in range(5)]
    for file in files:
        await shop.post(f"/{store}/files", file_id=file)
    at, seen = "", list[str]()
    while True:
        page = (await shop.get(f"/{store}/files?order=asc&limit=2{at}")).json()
        seen += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        at = f"&after={page['last_id']}"
    assert seen == files
    back = (await shop.get(f"/{store}/files?order=asc&limit=2&before={files[4]}")).json()
    assert ([each["id"] for each in back["data"]], back["has_more"]) == (files[2:4], True)
    for query in ("limit=0", "limit=101", "order=up", "after=x", "filter=gone"):
        assert (await shop.get(f"/{store}/files?{query}")).status == 400
        if not query.startswith("filter"):
            assert (await shop.get(f"?{query}")).status == 400


async def test_a_list_does_not_end_at_a_file_that_was_taken_out(shop: Shop) -> None:
    store = await shop.made()
    files = [await shop.uploaded() for _ in range(3)]
    for file in files:
        await shop.post(f"/{store}/files", file_id=file)
    await shop.delete(f"/{store}/files/{files[1]}")
    for param in ("after", "before"):
        reply = await shop.get(f"/{store}/files?order=asc&{param}={files[1]}")
        assert (reply.status, reply.json()["error"]["param"]) == (400, param)
    assert (await shop.get(f"/{store}/files?order=asc&after={files[2]}")).json()["data"] == []


async def test_a_store_without_files_is_not_made_with_chunks_that_no_file_may_have(shop: Shop) -> None:
    static = {"type": "static", "static": {"max_chunk_size_tokens": 10**25, "chunk_overlap_tokens": 0}}
    reply = await shop.post(chunking_strategy=static)
    assert reply.status == 400
    assert reply.json()["error"]["param"] == "chunking_strategy.static.max_chunk_size_tokens"
    assert (await shop.get("")).json()["data"] == []


async def test_another_tenant_sees_nothing(shop: Shop) -> None:
    store, file = await shop.made(), await shop.uploaded()
    batch = (await shop.post(f"/{store}/file_batches", file_ids=[file])).json()["id"]
    await shop.done(shop.who, store)
    mine, shop.who = shop.who, principal("other")
    of_file, of_batch = f"/{store}/files/{file}", f"/{store}/file_batches/{batch}"
    for path in (f"/{store}", f"/{store}/files", of_file, f"{of_file}/content", of_batch, f"{of_batch}/files"):
        assert (await shop.get(path)).status == 404, path
    for path in (f"/{store}", of_file):
        assert (await shop.delete(path)).status == 404, path
    bodies: dict[str, dict[str, Any]] = {
        f"/{store}": {"name": "theirs"},
        f"/{store}/search": {"query": "pump"},
        f"/{store}/files": {"file_id": await shop.uploaded()},
        of_file: {"attributes": {}},
        f"/{store}/file_batches": {"file_ids": [await shop.uploaded()]},
        f"{of_batch}/cancel": {},
    }
    for path, body in bodies.items():
        assert (await shop.post(path, **body)).status == 404, path
    own = await shop.made()
    assert (await shop.post(f"/{own}/files", file_id=file)).status == 404
    assert (await shop.post(f"/{own}/file_batches", file_ids=[file])).status == 404
    assert (await shop.post(file_ids=[file])).status == 404
    assert (await shop.get()).json()["data"][0]["id"] == own
    shop.who = mine
    assert (await shop.get(of_file)).json()["status"] == "completed"


async def test_what_is_not_there(shop: Shop) -> None:
    store, nothing = await shop.made(), uuid7().hex
    for path in (
        f"/vs_{nothing}",
        "/nonsense",
        f"/{store}/files/file-{nothing}",
        f"/{store}/file_batches/vsfb_{nothing}",
    ):
        assert (await shop.get(path)).status == 404, path
    for path in (f"/{store}/nonsense", f"/{store}/files/a/b/c", f"/{store}/search/x"):
        assert (await shop.get(path)).status == 404, path
    assert (await shop.get(f"/{store}/search")).status == 404
    assert (await shop.delete("")).status == 404
