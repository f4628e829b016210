"""Finds passages: BM25 over the inverted index and an exact scan of the vectors, fused. It works within one tenant and
one knowledge base. The question is embedded while its words are looked up, and no transaction waits for it.
"""

import asyncio
from collections.abc import Sequence
from operator import mul
from time import perf_counter
from typing import Any
from uuid import UUID

from msgspec import Struct

from tenfold.core.errors import UpstreamError
from tenfold.core.ids import TenantId
from tenfold.retrieval import analyzer, queries
from tenfold.retrieval.filters import check, condition
from tenfold.retrieval.fusion import Ranked, WordHit, fuse
from tenfold.retrieval.needs import needs
from tenfold.retrieval.ports import Embedder, Embedders, Recorder
from tenfold.retrieval.select import select
from tenfold.retrieval.types import Filter, Passage
from tenfold.store import ReadTransaction, Row, Store

K1 = 1.2
B = 0.75
CANDIDATES = 100  # of each leg
MAX_QUERY_CHARS = 8_000
MAX_RESULTS = 100
_SPARE = 10  # passages read beyond what is asked for, in the place of those that say what a better one does


class _Base(Struct, frozen=True, kw_only=True):
    id: UUID
    chunks: int
    average_length: float
    embedder: str | None
    embedded: bool
    words: UUID  # the sets that are searched
    vectors: UUID
    vector_type: str  # "halfvec"; without pgvector another


async def search(
    store: Store,
    tenant_id: TenantId,
    kb: str,
    query: str,
    k: int = 10,
    *,
    filters: Filter | None = None,
    max_tokens: int | None = None,
    embedders: Embedders | None = None,
    recorder: Recorder | None = None,
) -> list[Passage]:
    """The best `k` passages (at most 100), the best first; none when the knowledge base does not exist. `filters` is
    applied before anything is ranked; `max_tokens` bounds the passages together. Of passages that say the same the
    best is given.

    The vector leg joins when every chunk has its vector of an embedder that is there; when it fails, the words alone
    answer. Raises InvalidRequest (the filter), StoreUnavailable."""
    if filters is not None:
        check(filters)
    began = perf_counter()
    query = query[:MAX_QUERY_CHARS].encode("utf-8", "replace").decode().replace("\x00", " ")
    k = min(k, MAX_RESULTS)
    embedding: asyncio.Task[list[list[float]]] | None = None
    try:
        async with store.tenant(tenant_id, readonly=True) as tx:
            base = await _base(tx, tenant_id, kb)
            if base is None or base.chunks == 0:
                return []
            embedder = None if embedders is None else embedders.named(tenant_id, base.embedder)
            if embedder is not None and base.embedded and query.strip():
                embedding = asyncio.create_task(_embed(embedder, query))  # beside the words: by another process
            by_words = await _search_words(tx, tenant_id, base, query, filters)
        found = perf_counter()
        vectors = [] if embedding is None else await embedding
    except BaseException:
        if embedding is not None:
            embedding.cancel()
        raise
    async with store.tenant(tenant_id, readonly=True) as tx:
        by_vectors = await _search_vectors(tx, tenant_id, base, vectors, filters, list(by_words)) if vectors else {}
        unrelated = 0.0 if embedder is None else embedder.unrelated_cosine
        names_code = analyzer.names_code(query)
        fused = fuse(by_words, by_vectors, unrelated_cosine=unrelated, names_code=names_code)
        best = fused[: k + _SPARE + k // 2]
        rows = await tx.fetch(queries.PASSAGES, tenant_id, base.id, [ranked.number for ranked in best])
        again = rows[0] if rows else await tx.fetchrow(queries.FIND_KB, tenant_id, kb)
    if again is not None and (again["words_set"], again["vectors_set"]) != (base.words, base.vectors):
        # Another set took over meanwhile, and the one that was searched may be half deleted.
        return await search(
            store,
            tenant_id,
            kb,
            query,
            k,
            filters=filters,
            max_tokens=max_tokens,
            embedders=embedders,
            recorder=recorder,
        )
    if recorder is not None:
        recorder.took("search", found - began)
        recorder.took("retrieve", perf_counter() - found)
    by_number = {row["number"]: row for row in rows}
    return select([_passage(by_number[one.number], one) for one in best if one.number in by_number], k, max_tokens)


async def _base(tx: ReadTransaction, tenant_id: TenantId, kb: str) -> _Base | None:
    row = await tx.fetchrow(queries.FIND_KB, tenant_id, kb)
    if row is None:
        return None
    return _Base(
        id=row["id"],
        chunks=row["chunk_count"],
        average_length=max(1.0, row["term_total"] / max(1, row["chunk_count"])),
        embedder=row["embedder"],
        embedded=bool(row["embedded"]),
        words=row["words_set"],
        vectors=row["vectors_set"],
        vector_type=row["vector_type"],
    )


async def _embed(embedder: Embedder, query: str) -> list[list[float]]:
    """A vector of each need; none where they cannot be had, and the vector leg does not join."""
    try:
        return await embedder.embed(needs(query))
    except UpstreamError:
        return []


async def _search_words(
    tx: ReadTransaction, tenant_id: TenantId, base: _Base, query: str, filters: Filter | None
) -> dict[int, WordHit]:
    figures = (float(base.chunks), base.average_length, K1, B, CANDIDATES)
    among = _among(base.id, filters, "entry >> 24", first=9)
    statement = queries.SEARCH_WORDS.format(allowed=among.allowed, among=among.sql)
    rows = await tx.fetch(statement, tenant_id, base.words, analyzer.words(query), *figures, *among.values)
    return {row["number"]: WordHit(row["score"], row["share"]) for row in rows}


async def _search_vectors(
    tx: ReadTransaction,
    tenant_id: TenantId,
    base: _Base,
    vectors: Sequence[Sequence[float]],
    filters: Filter | None,
    candidates: Sequence[int],
) -> dict[int, float]:
    """Cosines with the nearest of `vectors`, of at most CANDIDATES chunks. Without pgvector only of the chunks that
    the words found."""
    nearest: dict[int, float] = {}
    if base.vector_type == "halfvec":
        among = _among(base.id, filters, "number", first=5)
        statement = queries.SEARCH_VECTORS.format(allowed=among.allowed, among=among.sql)
        for vector in vectors:
            rows = await tx.fetch(statement, tenant_id, base.vectors, vector, CANDIDATES, *among.values)
            for row in rows:
                nearest[row["number"]] = max(row["cosine"], nearest.get(row["number"], row["cosine"]))
    else:
        for row in await tx.fetch(queries.VECTORS_OF, tenant_id, base.vectors, candidates):
            nearest[row["number"]] = max(sum(map(mul, row["embedding"], vector)) for vector in vectors)
    return dict(sorted(nearest.items(), key=lambda item: (-item[1], item[0]))[:CANDIDATES])


class _Among(Struct, frozen=True, kw_only=True):
    allowed: str
    sql: str
    values: list[Any]


def _among(kb_id: UUID, filters: Filter | None, number: str, *, first: int) -> _Among:
    """The parts of a statement that keep it to the chunks which the filter allows; `first` is its next parameter."""
    if filters is None:
        return _Among(allowed="", sql="true", values=[])
    made = condition(filters, first=first + 1)
    return _Among(
        allowed=queries.ALLOWED.format(kb=f"${first}", condition=made.sql),
        sql=queries.IS_ALLOWED.format(number=number),
        values=[kb_id, *made.values],
    )


def _passage(row: Row, ranked: Ranked) -> Passage:
    return Passage(
        document_id=row["document_id"],
        document_hash=row["hash"],
        title=row["title"],
        url=row["url"],
        heading=row["heading"],
        text=row["text"],
        span=(row["span_start"], row["span_end"]),
        score=ranked.score,
        relevance=ranked.relevance,
        metadata=row["metadata"],
    )
