"""Finds passages: BM25 over the inverted index and an exact scan of the vectors, fused. It works within one tenant and
one knowledge base; no transaction is open while the question is embedded.
"""

from collections.abc import Sequence
from operator import mul
from time import perf_counter
from uuid import UUID

from msgspec import Struct

from tenfold.core.errors import UpstreamError
from tenfold.core.ids import TenantId
from tenfold.retrieval import analyzer, queries
from tenfold.retrieval.fusion import Ranked, WordHit, fuse
from tenfold.retrieval.ports import Embedder, Recorder
from tenfold.retrieval.types import Passage
from tenfold.store import ReadTransaction, Row, Store

K1 = 1.2
B = 0.75
CANDIDATES = 100  # of each leg
MAX_QUERY_CHARS = 8_000
MAX_RESULTS = 100


class _Base(Struct, frozen=True, kw_only=True):
    id: UUID
    chunks: int
    average_length: float
    embedder: str | None
    embedded: bool


async def search(
    store: Store,
    tenant_id: TenantId,
    kb: str,
    query: str,
    k: int = 10,
    *,
    embedder: Embedder | None = None,
    recorder: Recorder | None = None,
) -> list[Passage]:
    """The best `k` passages (at most 100), the best first; none when the knowledge base does not exist.

    The vector leg joins when every chunk has its vector of this embedder; when the embedder fails, the words alone
    answer. Raises StoreUnavailable."""
    began = perf_counter()
    query = query[:MAX_QUERY_CHARS].encode("utf-8", "replace").decode().replace("\x00", " ")
    async with store.tenant(tenant_id, readonly=True) as tx:
        base = await _base(tx, tenant_id, kb)
    if base is None or base.chunks == 0:
        return []
    based = perf_counter()
    vector = await _query_vector(base, query, embedder)
    embedded = perf_counter()
    async with store.tenant(tenant_id, readonly=True) as tx:
        by_words = await _search_words(tx, tenant_id, base, query)
        found = perf_counter()
        by_vectors = {} if vector is None else await _search_vectors(tx, tenant_id, base.id, vector, list(by_words))
        unrelated = 0.0 if embedder is None else embedder.unrelated_cosine
        best = fuse(by_words, by_vectors, unrelated_cosine=unrelated)[: min(k, MAX_RESULTS)]
        passages = await _passages(tx, tenant_id, base.id, best)
    if recorder is not None:
        recorder.took("search", based - began + found - embedded)
        recorder.took("retrieve", embedded - based + perf_counter() - found)
    return passages


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
    )


async def _query_vector(base: _Base, query: str, embedder: Embedder | None) -> list[float] | None:
    """None: the vector leg does not join."""
    if embedder is None or not base.embedded or base.embedder != embedder.fingerprint or not query.strip():
        return None
    try:
        vectors = await embedder.embed([query])
    except UpstreamError:
        return None
    return vectors[0]


async def _search_words(tx: ReadTransaction, tenant_id: TenantId, base: _Base, query: str) -> dict[int, WordHit]:
    rows = await tx.fetch(
        queries.SEARCH_WORDS,
        tenant_id,
        base.id,
        analyzer.words(query),
        float(base.chunks),
        base.average_length,
        K1,
        B,
        CANDIDATES,
    )
    return {row["number"]: WordHit(row["score"], row["share"]) for row in rows}


async def _search_vectors(
    tx: ReadTransaction, tenant_id: TenantId, kb_id: UUID, vector: Sequence[float], candidates: Sequence[int]
) -> dict[int, float]:
    """Cosines. Without pgvector only of the chunks that the words found."""
    if await tx.fetchval(queries.VECTOR_TYPE) == "halfvec":
        rows = await tx.fetch(queries.SEARCH_VECTORS, tenant_id, kb_id, vector, CANDIDATES)
        return {row["number"]: row["cosine"] for row in rows}
    rows = await tx.fetch(queries.VECTORS_OF, tenant_id, kb_id, candidates)
    return {row["number"]: sum(map(mul, row["embedding"], vector)) for row in rows}


async def _passages(tx: ReadTransaction, tenant_id: TenantId, kb_id: UUID, best: Sequence[Ranked]) -> list[Passage]:
    rows = await tx.fetch(queries.PASSAGES, tenant_id, kb_id, [ranked.number for ranked in best])
    found = {row["number"]: row for row in rows}
    return [_passage(found[ranked.number], ranked) for ranked in best if ranked.number in found]


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
    )
