"""nDCG@10 and recall of documents over the question sets: by words alone, and as searches are, through the Library."""

import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from bench.retrieval.house import open_store, tenant
from bench.retrieval.sets import DATA, Question, QuestionSet, documents, ndcg, questions, recall
from bench.retrieval.vectors import KeptEmbedder
from tenfold.core.ids import TenantId
from tenfold.retrieval.library import Library
from tenfold.retrieval.prepare import embedded_text

DEPTH = 50  # passages asked for, so that ten different documents are among them


class Scored(Struct, frozen=True, kw_only=True):
    """Means over the questions of a set. Times are of this machine with whatever else it did."""

    set: str
    leg: str
    questions: int
    ndcg_at_10: float
    recall_at_5: float
    recall_at_10: float
    p50_ms: float
    p95_ms: float
    target: float


async def measure(
    sets: Sequence[QuestionSet], *, data: Path = DATA, folder: Path | None = None, best: int | None = None
) -> list[Scored]:
    """`best`: only chunks among the words' best so many passages of some question get their vectors."""
    scored = []
    embedder = KeptEmbedder()
    try:
        async with open_store(folder) as store:
            owner = await tenant(store, "evaluation")
            words, fused = Library(store, None), Library(store, embedder)
            for one in sets:
                asked = questions(one, data)
                began = time.perf_counter()
                await fused.ingest(owner, one.name, documents(one, data))
                _say(f"{one.name}: read in after {time.perf_counter() - began:.1f} s")
                scored.append(await _score(words, owner, one, asked, "words"))
                _say(table(scored[-1:]))
                embedder.only = None if best is None else await _texts_found(words, owner, one.name, asked, best)
                began = time.perf_counter()
                made = await fused.embed(owner, one.name)
                embedder.only = None
                _say(f"{one.name}: {made} vectors in {time.perf_counter() - began:.1f} s")
                leg = "fused" if best is None else f"fused, vectors of the words' best {best}"
                scored.append(await _score(fused, owner, one, asked, leg))
                _say(table(scored[-1:]))
    finally:
        await embedder.aclose()
    return scored


async def _texts_found(library: Library, owner: TenantId, kb: str, asked: Sequence[Question], best: int) -> set[str]:
    found = [await library.search(owner, kb, question.text, best) for question in asked]
    return {embedded_text(item.title, item.heading, item.text) for passages in found for item in passages}


async def _score(library: Library, owner: TenantId, one: QuestionSet, asked: Sequence[Question], leg: str) -> Scored:
    scores, times = [], []
    for question in asked:
        began = time.perf_counter()
        passages = await library.search(owner, one.name, question.text, DEPTH)
        times.append((time.perf_counter() - began) * 1000)
        found = list(dict.fromkeys(passage.document_id for passage in passages))  # each where its best passage stands
        scores.append((ndcg(found, question.gold), *(recall(found, question.gold, depth) for depth in (5, 10))))
    means = [statistics.mean(column) for column in zip(*scores, strict=True)]
    twentieths = statistics.quantiles(times, n=20)
    return Scored(
        set=one.name,
        leg=leg,
        questions=len(asked),
        ndcg_at_10=means[0],
        recall_at_5=means[1],
        recall_at_10=means[2],
        p50_ms=twentieths[9],
        p95_ms=twentieths[18],
        target=one.target,
    )


def table(scored: Sequence[Scored]) -> str:
    lines = [
        "| set | questions | leg | nDCG@10 | promised | recall@5 | recall@10 | p50 ms | p95 ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.set} | {one.questions} | {one.leg} | {one.ndcg_at_10:.3f} | {one.target:.2f} "
        f"| {one.recall_at_5:.3f} | {one.recall_at_10:.3f} | {one.p50_ms:.1f} | {one.p95_ms:.1f} |"
        for one in scored
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
