"""Recall of the vector leg as searches run it, among several tenants in one table, against all cosines worked out in
memory from the vectors before they were stored.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from bench.retrieval.house import open_store, tenant
from bench.retrieval.sets import DATA, QuestionSet, documents, questions
from bench.retrieval.vectors import KeptEmbedder
from tenfold.retrieval import queries
from tenfold.retrieval.library import Library
from tenfold.retrieval.prepare import embedded_text

DEPTHS = (10, 100)

_CHUNKS = """
SELECT c.number, d.title, c.heading, c.text
FROM chunks c JOIN documents d ON d.tenant_id = c.tenant_id AND d.kb_id = c.kb_id AND d.id = c.document_id
WHERE c.tenant_id = $1 AND c.kb_id = $2 ORDER BY c.number
"""


class Compared(Struct, frozen=True, kw_only=True):
    set: str
    chunks: int
    questions: int
    recall: dict[int, float]  # by how many are taken


async def measure(sets: Sequence[QuestionSet], *, data: Path = DATA, folder: Path | None = None) -> list[Compared]:
    """Each set belongs to a tenant of its own."""
    embedder = KeptEmbedder()
    compared = []
    try:
        async with open_store(folder) as store:
            library = Library(store, embedder)
            owners = {one.name: await tenant(store, f"recall-{one.name}") for one in sets}
            for one in sets:
                await library.ingest(owners[one.name], one.name, documents(one, data))
                await library.embed(owners[one.name], one.name)
            for one in sets:
                owner = owners[one.name]
                asked = np.array(await embedder.embed([question.text for question in questions(one, data)]), np.float32)
                async with store.tenant(owner, readonly=True) as tx:
                    base = await tx.fetchrow(queries.FIND_KB, owner, one.name)
                    assert base is not None
                    rows = await tx.fetch(_CHUNKS, owner, base["id"])
                    texts = [embedded_text(row["title"], row["heading"], row["text"]) for row in rows]
                    kept = np.array(await embedder.embed_passages(texts), np.float32)
                    numbers = np.array([row["number"] for row in rows])
                    statement = queries.SEARCH_VECTORS.format(allowed="", among="true")
                    shares: dict[int, list[float]] = {depth: [] for depth in DEPTHS}
                    for vector in asked:
                        found = await tx.fetch(statement, owner, base["vectors_set"], vector.tolist(), max(DEPTHS))
                        exact = numbers[np.argsort(-(kept @ vector), kind="stable")]
                        for depth, share in shares.items():
                            there = {row["number"] for row in found[:depth]}
                            share.append(len(there.intersection(exact[:depth].tolist())) / min(depth, len(numbers)))
                compared.append(
                    Compared(
                        set=one.name,
                        chunks=len(numbers),
                        questions=len(asked),
                        recall={depth: sum(share) / len(share) for depth, share in shares.items()},
                    )
                )
    finally:
        await embedder.aclose()
    return compared


def table(compared: Sequence[Compared]) -> str:
    lines = ["| set | chunks | questions | recall@10 | recall@100 |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.set} | {one.chunks:,} | {one.questions} | {one.recall[10]:.4f} | {one.recall[100]:.4f} |"
        for one in compared
    ]
    return "\n".join(lines)
