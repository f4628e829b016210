"""Searches in vector stores, several questions and stores at once. `StoreSearch` is what stands behind the tool
`file_search`, too (`inference.responses.ports.FileSearcher`)."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

from tenfold.cache.grounds import Document
from tenfold.core.errors import InvalidRequest
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.files.types import file_id
from tenfold.inference.responses.types import FoundPassage, JsonObject
from tenfold.retrieval.chunker import TOKEN_CHARS
from tenfold.retrieval.types import Passage
from tenfold.retrieval.vector_stores.asked import filter_of, threshold_of
from tenfold.retrieval.vector_stores.naming import expired, no_store
from tenfold.retrieval.vector_stores.ports import Shelf, VectorStoreRows
from tenfold.retrieval.vector_stores.types import MAX_FOUND, Found, Question, VectorStore, store_id_of

MAX_QUERIES = 16
MAX_STORES = 16
_AT_ONCE = 4


class StoreSearch:
    def __init__(self, rows: VectorStoreRows, shelf: Shelf) -> None:
        self._rows = rows
        self._shelf = shelf

    async def ask(self, tenant_id: TenantId, stores: Sequence[str], question: Question) -> list[Found]:
        """The best passages of all these stores (public ids) for all the queries together, the best first. Raises
        NotFound (a store that is not the tenant's), InvalidRequest (one has expired), StoreUnavailable."""
        _check(stores, question)
        found = await self._live(tenant_id, stores)
        if not found:
            return []
        slots = asyncio.Semaphore(_AT_ONCE)

        async def search(store: VectorStore, query: str) -> list[tuple[VectorStore, Passage, float]]:
            async with slots:
                passages = await self._shelf.search(
                    tenant_id,
                    store.kb,
                    query,
                    question.limit,
                    filters=question.filters,
                    max_tokens=question.max_tokens,
                )
            return [(store, passage, score) for passage, score in _scored(passages)]

        lists = await asyncio.gather(*(search(store, query) for store in found for query in question.queries))
        best: dict[tuple[UUID, str, tuple[int, int]], tuple[VectorStore, Passage, float]] = {}
        for each in (item for items in lists for item in items):
            store, passage, score = each
            at = store.id, passage.document_id, passage.span
            if score >= question.threshold and (at not in best or best[at][2] < score):
                best[at] = each
        told = await self._told(tenant_id, best.values())
        if idle := [store.id for store in found if store.idle]:
            await self._rows.touch(tenant_id, idle)
        ranked = sorted(told, key=lambda one: -one.score)[: question.limit]
        return ranked if question.max_tokens is None else _within(ranked, question.max_tokens)

    async def check(self, principal: Principal, store_ids: Sequence[str]) -> None:
        """See `FileSearcher`."""
        _check_count(store_ids)
        await self._live(principal.tenant_id, store_ids)

    async def search(
        self,
        principal: Principal,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        filters: JsonObject | None = None,
        max_results: int = 20,
        ranking: JsonObject | None = None,
    ) -> list[FoundPassage]:
        """See `FileSearcher`."""
        question = Question(
            queries=tuple(queries),
            filters=filter_of(filters),
            limit=max_results,
            threshold=threshold_of(ranking),
        )
        return [
            FoundPassage(
                file_id=one.file.public_id,
                filename=one.file.filename,
                text=one.text,
                score=one.score,
                attributes=one.file.attributes,
                document=one.document,
            )
            for one in await self.ask(principal.tenant_id, store_ids, question)
        ]

    async def _live(self, tenant_id: TenantId, names: Sequence[str]) -> list[VectorStore]:
        """Each once."""
        known = {name: store_id_of(name) for name in names}
        there = await self._rows.brief(tenant_id, [each for each in known.values() if each is not None])
        found: list[VectorStore] = []
        for name, store_id in known.items():
            store = None if store_id is None else there.get(store_id)
            if store is None:
                raise no_store(name)
            if store.expired:
                raise expired(store)
            found.append(store)
        return found

    async def _told(self, tenant_id: TenantId, found: Collection[tuple[VectorStore, Passage, float]]) -> list[Found]:
        """With their files; what is of no file, or of one that is not in the store any more, is left out."""
        by_store: dict[UUID, set[UUID]] = {}
        for store, passage, _ in found:
            known = file_id(passage.document_id)
            if known is not None:
                by_store.setdefault(store.id, set()).add(known)
        files = {store_id: await self._rows.files(tenant_id, store_id, ids) for store_id, ids in by_store.items()}
        told: list[Found] = []
        for store, passage, score in found:
            known = file_id(passage.document_id)
            file = None if known is None else files[store.id].get(known)
            if file is not None and file.status in ("completed", "in_progress"):
                told.append(
                    Found(
                        store_id=store.id,
                        file=file,
                        text=passage.text,
                        heading=passage.heading,
                        span=passage.span,
                        score=score,
                        relevance=passage.relevance,
                        document=str(Document(store.kb, passage.document_id, passage.document_hash)),
                    )
                )
        return told


def _scored(passages: Sequence[Passage]) -> list[tuple[Passage, float]]:
    """Scores of one search say by how much one passage is better than the next; how good the best one is, its relevance
    says: so scaled they can be compared between searches, and keep their order."""
    best = max((passage.score for passage in passages), default=0.0)
    relevance = max((passage.relevance for passage in passages), default=0.0)
    if best <= 0:
        return [(passage, passage.relevance) for passage in passages]
    return [(passage, min(1.0, max(0.0, relevance * passage.score / best))) for passage in passages]


def _within(found: list[Found], max_tokens: int) -> list[Found]:
    """As many as have no more tokens together, the best ones; at least one."""
    kept, chars = found[:1], len(found[0].text) if found else 0
    for one in found[1:]:
        chars += len(one.text)
        if chars > max_tokens * TOKEN_CHARS:
            break
        kept.append(one)
    return kept


def _check_count(stores: Sequence[str]) -> None:
    if len(stores) > MAX_STORES:
        raise InvalidRequest(f"At most {MAX_STORES} vector stores are searched at once.", param="vector_store_ids")


def _check(stores: Sequence[str], question: Question) -> None:
    _check_count(stores)
    if not 1 <= len(question.queries) <= MAX_QUERIES:
        raise InvalidRequest(f"`query` is a text, or 1 to {MAX_QUERIES} of them.", param="query")
    if not all(query.strip() for query in question.queries):
        raise InvalidRequest("`query` is empty.", param="query")
    if not 1 <= question.limit <= MAX_FOUND:
        raise InvalidRequest(f"`max_num_results` is a number from 1 to {MAX_FOUND}.", param="max_num_results")
