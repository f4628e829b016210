"""Measures retrieval on shared evaluation sets: nDCG@10 and recall of documents, by words alone and fused with vectors.

    python tools/eval_retrieval.py claude [aws scifact] [--no-vectors] [--data ../shared/data]

It ingests each corpus into a Postgres of its own and throws that away.
"""

import argparse
import asyncio
import gzip
import json
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tenfold.core.ids import TenantId, uuid7
from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import SourceDocument
from tenfold.store import EmbeddedPostgres, Store, migrate

SETS = {
    "claude": ("kb_claude_docs", "questions.jsonl"),
    "aws": ("kb_aws_docs", "questions.jsonl"),
    "scifact": ("retrieval_scifact", "queries.jsonl"),
}
NEW_TENANT = "INSERT INTO tenants (id, slug, name, created_at) VALUES ($1, 'evaluation', 'Evaluation', now())"
DEPTH = 50  # chunks asked for, so that ten different documents are among them


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            yield json.loads(line)


def ndcg(found: Sequence[str], gold: set[str], depth: int = 10) -> float:
    """Binary gains; the ideal puts as many gold documents in front as there are."""
    gain = sum(1 / math.log2(rank + 1) for rank, name in enumerate(found[:depth], 1) if name in gold)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(len(gold), depth) + 1))


def recall(found: Sequence[str], gold: set[str], depth: int) -> float:
    return len(gold.intersection(found[:depth])) / len(gold)


async def documents_found(library: Library, tenant: TenantId, kb: str, question: str) -> list[str]:
    """A document stands where its best chunk does."""
    passages = await library.search(tenant, kb, question, DEPTH)
    return list(dict.fromkeys(passage.document_id for passage in passages))


async def evaluate(store: Store, tenant: TenantId, kb: str, data: Path, embedder: OfflineEmbedder | None) -> None:
    folder, questions_file = SETS[kb]
    questions = list(rows(data / folder / questions_file))
    documents = [
        SourceDocument(id=row["doc_id"], title=row["title"], text=row["text"])
        for row in rows(data / folder / "corpus.jsonl.gz")
    ]
    words, fused = Library(store, None), Library(store, embedder)
    started = time.perf_counter()
    await fused.ingest(tenant, kb, documents)
    print(f"{kb}: {len(documents)} documents ingested in {time.perf_counter() - started:.1f} s")
    if embedder is not None:
        started = time.perf_counter()
        made = await fused.embed(tenant, kb)
        print(f"{kb}: {made} chunks embedded in {time.perf_counter() - started:.1f} s")
    for leg, library in (("words", words), ("fused", fused)) if embedder is not None else (("words", words),):
        scores, times = [], []
        for question in questions:
            started = time.perf_counter()
            found = await documents_found(library, tenant, kb, question["question"])
            times.append(time.perf_counter() - started)
            gold = set(question["relevant_doc_ids"])
            scores.append((ndcg(found, gold), recall(found, gold, 5), recall(found, gold, 10)))
        means = [statistics.mean(column) for column in zip(*scores, strict=True)]
        p50, p95 = statistics.quantiles(times, n=20)[9], statistics.quantiles(times, n=20)[18]
        print(
            f"{kb:8} {leg:6} n={len(scores):4} nDCG@10 {means[0]:.3f}  recall@5 {means[1]:.3f}"
            f"  recall@10 {means[2]:.3f}  p50 {p50 * 1000:.1f} ms  p95 {p95 * 1000:.1f} ms"
        )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=sorted(SETS))
    parser.add_argument("--no-vectors", action="store_true")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="tenfold-eval-"))
    postgres = EmbeddedPostgres(home)
    embedder = None if arguments.no_vectors else OfflineEmbedder()
    try:
        dsn = await postgres.start()
        await migrate(dsn)
        store = await Store.open(dsn)
        tenant = TenantId(uuid7())
        async with store.directory() as tx:
            await tx.execute(
                "INSERT INTO tenants (id, slug, name, created_at) VALUES ($1, 'evaluation', 'Evaluation', now())",
                tenant,
            )
        for name in arguments.sets:
            await evaluate(store, tenant, name, arguments.data, embedder)
        await store.aclose()
    finally:
        if embedder is not None:
            await embedder.aclose()
        await postgres.stop()
        shutil.rmtree(home)


if __name__ == "__main__":
    asyncio.run(main())
