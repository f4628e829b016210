"""How long a look-up takes in a scope of 10,000 entries, the question's vector and all: made as a serving process has
it made, by the embedding process over its pipe.
"""

import asyncio
import time
from uuid import UUID

import numpy as np

from bench.semantic.sets import Questions
from tenfold.cache.semantic.scope import Scope
from tenfold.cache.semantic.types import Entry
from tenfold.providers.offline.embedder import OfflineEmbedder

ENTRIES = 10_000
LOOKUPS = 500


def measure(questions: Questions) -> dict[str, tuple[float, float]]:
    """Milliseconds, each as p50 and p95."""
    scope = Scope()
    for at in range(ENTRIES):
        scope.add(
            Entry(
                id=UUID(int=at + 1),
                question=questions.texts[at],
                vector=questions.vectors[at],
                answer_id=UUID(int=1 + hash(questions.labels[at]) % 2**64),
            )
        )
    return asyncio.run(_look_up(scope, questions.texts[ENTRIES : ENTRIES + LOOKUPS]))


async def _look_up(scope: Scope, texts: list[str]) -> dict[str, tuple[float, float]]:
    embedder = OfflineEmbedder()
    taken: dict[str, list[float]] = {"embed": [], "decide": [], "both": []}
    try:
        await embedder.embed(["the process starts"])
        for text in texts:
            began = time.perf_counter()
            (vector,) = await embedder.embed([text])
            embedded = time.perf_counter()
            scope.decide(text, vector, None, 0.5)
            done = time.perf_counter()
            for name, seconds in (("embed", embedded - began), ("decide", done - embedded), ("both", done - began)):
                taken[name].append(seconds * 1000)
    finally:
        await embedder.aclose()
    return {name: (float(np.percentile(each, 50)), float(np.percentile(each, 95))) for name, each in taken.items()}
