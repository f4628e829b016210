"""The routes below `/v1/vector_stores`."""

from typing import Any

from msgspec import UNSET, json, structs

from tenfold.core.errors import InvalidRequest
from tenfold.core.headers import header_lines
from tenfold.core.ids import uuid7
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.edge.http import Request
from tenfold.edge.lists import no_route, number_of, page_of, query_of
from tenfold.edge.vector_stores.asked import (
    AttributesBody,
    BatchBody,
    FileBody,
    NewStoreBody,
    SearchBody,
    StoreBody,
    chunking_of,
    read,
)
from tenfold.edge.vector_stores.told import batch_told, content_told, file_told, found_told, store_told
from tenfold.inference import respond
from tenfold.retrieval.vector_stores.asked import filter_of, threshold_of
from tenfold.retrieval.vector_stores.file_handlers import StoreFiles
from tenfold.retrieval.vector_stores.handlers import VectorStores
from tenfold.retrieval.vector_stores.searching import StoreSearch
from tenfold.retrieval.vector_stores.types import (
    MAX_BATCH_FILES,
    FileBatch,
    NewFile,
    Question,
    StoreChanges,
    StoreFile,
    StoreFilePage,
    VectorStore,
)

_MAX_BODY_BYTES = 4 * 1024 * 1024  # 2,000 files with attributes
_POLL_AFTER_MS = 250
_DEFAULT_PAGE = 20


class VectorStoresResource:
    """Implements `edge.gateway.Resource`."""

    prefix = "/v1/vector_stores"
    routes = (
        ("POST", "/v1/vector_stores"),
        ("GET", "/v1/vector_stores"),
        ("GET", "/v1/vector_stores/{store}"),
        ("POST", "/v1/vector_stores/{store}"),
        ("DELETE", "/v1/vector_stores/{store}"),
        ("POST", "/v1/vector_stores/{store}/search"),
        ("POST", "/v1/vector_stores/{store}/files"),
        ("GET", "/v1/vector_stores/{store}/files"),
        ("GET", "/v1/vector_stores/{store}/files/{file}"),
        ("POST", "/v1/vector_stores/{store}/files/{file}"),
        ("DELETE", "/v1/vector_stores/{store}/files/{file}"),
        ("GET", "/v1/vector_stores/{store}/files/{file}/content"),
        ("POST", "/v1/vector_stores/{store}/file_batches"),
        ("GET", "/v1/vector_stores/{store}/file_batches/{batch}"),
        ("POST", "/v1/vector_stores/{store}/file_batches/{batch}/cancel"),
        ("GET", "/v1/vector_stores/{store}/file_batches/{batch}/files"),
    )

    def __init__(self, stores: VectorStores, files: StoreFiles, search: StoreSearch) -> None:
        self._stores = stores
        self._files = files
        self._search = search

    async def handle(self, request: Request, principal: Principal) -> None:
        """Raises TenfoldError, ClientGone, CancelledError."""
        principal.require(SCOPE_INFERENCE)
        method = "GET" if request.method == "HEAD" else request.method
        match request.path.removeprefix(self.prefix).split("/")[1:]:
            case []:
                told = await self._of_all(request, principal, method)
            case [store]:
                told = await self._of_store(request, principal, method, store)
            case [store, "search"] if method == "POST":
                told = await self._found(request, principal, store)
            case [store, "files", *rest]:
                told = await self._of_files(request, principal, method, store, rest)
            case [store, "file_batches", *rest]:
                told = await self._of_batches(request, principal, method, store, rest)
            case _:
                told = None
        if told is None:
            raise no_route(request.method, request.path)
        _answer(request, told)

    # -- stores ----------------------------------------------------------------------------------

    async def _of_all(self, request: Request, principal: Principal, method: str) -> dict[str, Any] | None:
        if method == "POST":
            return store_told(await self._create(request, principal))
        if method != "GET":
            return None
        options = query_of(request.query)
        page = await self._stores.list(
            principal.tenant_id,
            after=options.get("after"),
            before=options.get("before"),
            order=options.get("order", "desc"),
            limit=number_of(options, "limit", _DEFAULT_PAGE),
        )
        return page_of([store_told(store) for store in page.items], page.has_more)

    async def _of_store(self, request: Request, principal: Principal, method: str, name: str) -> dict[str, Any] | None:
        tenant_id = principal.tenant_id
        match method:
            case "GET":
                return store_told(await self._stores.find(tenant_id, name))
            case "POST":
                asked = read(await request.body(_MAX_BODY_BYTES), StoreBody)
                return store_told(await self._stores.update(tenant_id, name, _changes(asked)))
            case "DELETE":
                await self._stores.remove(tenant_id, name)
                return {"id": name, "object": "vector_store.deleted", "deleted": True}
        return None

    async def _create(self, request: Request, principal: Principal) -> VectorStore:
        asked = read(await request.body(_MAX_BODY_BYTES), NewStoreBody)
        return await self._stores.create(
            principal,
            title=asked.name or "",
            description=asked.description,
            metadata=asked.metadata,
            expires_days=None if asked.expires_after is None else asked.expires_after.days,
            file_ids=asked.file_ids or (),
            chunking=chunking_of(asked.chunking_strategy),
        )

    async def _found(self, request: Request, principal: Principal, store: str) -> dict[str, Any]:
        asked = read(await request.body(_MAX_BODY_BYTES), SearchBody)
        _only(asked.ranking_options, ("ranker", "score_threshold"))
        queries = (asked.query,) if isinstance(asked.query, str) else tuple(asked.query)
        question = Question(
            queries=queries,
            filters=filter_of(asked.filters),
            limit=asked.max_num_results,
            threshold=threshold_of(asked.ranking_options),
        )
        return found_told(queries, await self._search.ask(principal.tenant_id, [store], question))

    # -- files -----------------------------------------------------------------------------------

    async def _of_files(
        self, request: Request, principal: Principal, method: str, store: str, rest: list[str]
    ) -> dict[str, Any] | None:
        tenant_id = principal.tenant_id
        match method, rest:
            case "POST", []:
                return file_told(await self._add(request, principal, store))
            case "GET", []:
                return _files_told(await self._listed(request, principal, store))
            case "GET", [file]:
                return file_told(await self._files.find(tenant_id, store, file))
            case "POST", [file]:
                asked = read(await request.body(_MAX_BODY_BYTES), AttributesBody)
                return file_told(await self._files.describe(tenant_id, store, file, asked.attributes or {}))
            case "DELETE", [file]:
                await self._files.remove(tenant_id, store, file)
                return {"id": file, "object": "vector_store.file.deleted", "deleted": True}
            case "GET", [file, "content"]:
                return content_told(await self._files.text(tenant_id, store, file))
        return None

    async def _add(self, request: Request, principal: Principal, store: str) -> StoreFile:
        asked = read(await request.body(_MAX_BODY_BYTES), FileBody)
        return await self._files.add(
            principal,
            store,
            asked.file_id,
            attributes=asked.attributes,
            chunking=chunking_of(asked.chunking_strategy),
        )

    async def _listed(
        self, request: Request, principal: Principal, store: str, batch: str | None = None
    ) -> StoreFilePage:
        options = query_of(request.query)
        return await self._files.list(
            principal.tenant_id,
            store,
            batch=batch,
            status=options.get("filter"),
            after=options.get("after"),
            before=options.get("before"),
            order=options.get("order", "desc"),
            limit=number_of(options, "limit", _DEFAULT_PAGE),
        )

    # -- batches ---------------------------------------------------------------------------------

    async def _of_batches(
        self, request: Request, principal: Principal, method: str, store: str, rest: list[str]
    ) -> dict[str, Any] | None:
        tenant_id = principal.tenant_id
        match method, rest:
            case "POST", []:
                return batch_told(await self._add_batch(request, principal, store))
            case "GET", [batch]:
                return batch_told(await self._files.find_batch(tenant_id, store, batch))
            case "POST", [batch, "cancel"]:
                return batch_told(await self._files.cancel_batch(tenant_id, store, batch))
            case "GET", [batch, "files"]:
                return _files_told(await self._listed(request, principal, store, batch))
        return None

    async def _add_batch(self, request: Request, principal: Principal, store: str) -> FileBatch:
        asked = read(await request.body(_MAX_BODY_BYTES), BatchBody)
        return await self._files.add_batch(principal, store, await self._of_batch(principal, asked))

    async def _of_batch(self, principal: Principal, asked: BatchBody) -> list[NewFile]:
        if (asked.file_ids is None) == (asked.files is None):
            raise InvalidRequest("Give either `file_ids` or `files`.", param="file_ids")
        each = asked.files
        if each is None:
            each = [
                FileBody(file_id=name, attributes=asked.attributes, chunking_strategy=asked.chunking_strategy)
                for name in asked.file_ids or ()
            ]
        if len(each) > MAX_BATCH_FILES:
            raise InvalidRequest(f"A batch has at most {MAX_BATCH_FILES} files.", param="file_ids")
        found = await self._files.asked(principal.tenant_id, [file.file_id for file in each])
        return [
            structs.replace(new, attributes=file.attributes or {}, chunking=chunking_of(file.chunking_strategy))
            for new, file in zip(found, each, strict=True)
        ]


def _changes(asked: StoreBody) -> StoreChanges:
    """`name` and `metadata` of null change nothing; `expires_after` of null: it does not expire any more."""
    expires = asked.expires_after
    return StoreChanges(
        title=UNSET if asked.name is None else asked.name,
        metadata=UNSET if asked.metadata is None else asked.metadata,
        expires_days=expires.days if expires else (None if expires is None else UNSET),
    )


def _only(given: dict[str, Any] | None, known: tuple[str, ...]) -> None:
    for key in given or {}:
        if key not in known:
            raise InvalidRequest(f"Unknown parameter: '{key[:80]}'.", param=f"ranking_options.{key[:80]}")


def _files_told(page: StoreFilePage) -> dict[str, Any]:
    return page_of([file_told(file) for file in page.items], page.has_more)


def _answer(request: Request, told: dict[str, Any]) -> None:
    """What is not read yet is told with when to ask again, as OpenAI's clients heed it."""
    lines = respond.JSON + respond.request_id_lines("openai", f"req_{uuid7().hex}")
    if told.get("status") == "in_progress":
        lines += header_lines([("openai-poll-after-ms", str(_POLL_AFTER_MS)), ("retry-after", "1")])
    request.whole(200, lines, json.encode(told))
