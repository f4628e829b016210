"""How long a search takes among many tenants, the embedding of the question included and apart.

Texts and questions are those of the AWS documentation; the vectors of passages are random, which an exact scan does not
mind. One tenant holds a fifth of all chunks, the others the rest in equal parts; questions go to all in turn.
"""

import math
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from bench.retrieval.house import open_store, tenant
from bench.retrieval.sets import DATA, SETS, documents, questions
from tenfold.core.ids import TenantId
from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.retrieval.chunker import chunk
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import SourceDocument
from tenfold.store import Store

_LARGEST = 0.2  # of all chunks, what the largest tenant holds
_WARM_UP = 100  # searches that are not counted
_KB = "kb"


class TimedEmbedder:
    """Questions by the offline model, passages by dice."""

    def __init__(self) -> None:
        self._model = OfflineEmbedder()
        self.dimensions = self._model.dimensions
        self.fingerprint = f"dice:{self._model.fingerprint}"
        self.unrelated_cosine = self._model.unrelated_cosine
        self.last_s = 0.0
        self._dice = random.Random(1)  # noqa: S311 - chance that can be repeated, not a secret

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        began = time.perf_counter()
        vectors = await self._model.embed(texts)
        self.last_s = time.perf_counter() - began
        return vectors

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._vector() for _ in texts]

    async def aclose(self) -> None:
        await self._model.aclose()

    def _vector(self) -> list[float]:
        vector = [self._dice.gauss(0, 1) for _ in range(self.dimensions)]
        norm = math.hypot(*vector)
        return [value / norm for value in vector]


class Timed(Struct, frozen=True, kw_only=True):
    """Milliseconds."""

    of: str
    searches: int
    chunks: int  # that one search goes over, at most
    p50: float
    p95: float
    embedding_p95: float
    database_p95: float


async def measure(
    *, chunks: int, tenants: int, searches: int, data: Path = DATA, folder: Path | None = None
) -> list[Timed]:
    embedder = TimedEmbedder()
    try:
        async with open_store(folder) as store:
            library = Library(store, embedder)
            owners = await _fill(store, library, chunks, tenants, data)
            asked = [question.text for question in questions(SETS["aws"], data)]
            times: dict[int, list[tuple[float, float]]] = {place: [] for place in range(tenants)}
            for turn in range(-_WARM_UP, searches):
                place = turn % tenants
                began = time.perf_counter()
                await library.search(owners[place], _KB, asked[turn % len(asked)], 10)
                if turn >= 0:
                    times[place].append((time.perf_counter() - began, embedder.last_s))
            largest = []
            for turn in range(max(40, searches // 10)):
                began = time.perf_counter()
                await library.search(owners[0], _KB, asked[turn % len(asked)], 10)
                largest.append((time.perf_counter() - began, embedder.last_s))
            sizes = [(await library.status(owner, _KB)).chunks for owner in owners]
    finally:
        await embedder.aclose()
    everyone = [one for taken in times.values() for one in taken]
    return [
        _timed(f"all {tenants} tenants in turn, {sum(sizes):,} chunks", everyone, max(sizes)),
        _timed("the largest tenant", largest, sizes[0]),
    ]


def _timed(of: str, times: Sequence[tuple[float, float]], chunks: int) -> Timed:
    def twentieths(values: Iterator[float]) -> list[float]:
        return [value * 1000 for value in statistics.quantiles(values, n=20)]

    whole = twentieths(total for total, _ in times)
    return Timed(
        of=of,
        searches=len(times),
        chunks=chunks,
        p50=whole[9],
        p95=whole[18],
        embedding_p95=twentieths(embedding for _, embedding in times)[18],
        database_p95=twentieths(total - embedding for total, embedding in times)[18],
    )


async def _fill(store: Store, library: Library, chunks: int, tenants: int, data: Path) -> list[TenantId]:
    """Documents in turn, until each tenant has its chunks. What is there from an earlier run stays."""
    corpus = documents(SETS["aws"], data)
    random.Random(1).shuffle(corpus)  # noqa: S311
    owners = []
    given = 0
    for place in range(tenants):
        owner = await tenant(store, f"speed-{place}")
        owners.append(owner)
        room = chunks * _LARGEST if place == 0 else chunks * (1 - _LARGEST) / (tenants - 1)
        batch: list[SourceDocument] = []
        while room > 0:
            one = corpus[given % len(corpus)]
            batch.append(one)
            room -= len(chunk(one.text))
            given += 1
        await library.ingest(owner, _KB, batch)
        await library.embed(owner, _KB)
        sys.stderr.write(f"\rtenant {place + 1} of {tenants}")
        sys.stderr.flush()
    sys.stderr.write("\n")
    return owners


def table(timed: Sequence[Timed]) -> str:
    lines = [
        "| searches | of | chunks gone over | p50 ms | p95 ms | embedding p95 ms | the rest p95 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.searches} | {one.of} | {one.chunks:,} | {one.p50:.1f} | {one.p95:.1f} "
        f"| {one.embedding_p95:.1f} | {one.database_p95:.1f} |"
        for one in timed
    ]
    return "\n".join(lines)
