"""How long a look-up takes. By meaning: in a scope of 10,000 entries, the question's vector and all, made as a serving
process has it made, by the embedding process over its pipe. Exact: in memory, as the serving path looks.
"""

import asyncio
import time
from uuid import UUID

import numpy as np

from bench.calls import chat_body
from bench.semantic.sets import Questions
from tenfold.cache.exact import ExactCache
from tenfold.cache.semantic.scope import Scope
from tenfold.cache.semantic.types import Entry
from tenfold.core.call import Call
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.inference.lookup import Lookup
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


def exact() -> tuple[float, float]:
    """CPU milliseconds of the look-up of a 6 KB call among 10,000 answers, found by its bytes; p50 and p95."""
    lookup = Lookup(ExactCache(max_bytes=2**30, max_entry_bytes=2**20, ttl_s=3600), "always")
    dialect = OpenAIDialect()
    principal = Principal(tenant_id=TenantId(UUID(int=1)), tenant_slug="bench", scopes=frozenset())

    def call(number: int) -> Call:
        return Call(
            principal=principal,
            operation="chat",
            dialect="openai",
            body=chat_body(f"model-{number}"),  # bytes of its own, whose hash nobody knows yet
        )

    for number in range(ENTRIES):
        asked = call(number)
        asked.peek = dialect.peek("chat", asked.body)
        lookup.store(asked, lookup.key(asked), b"{}")
    taken = []
    for number in range(ENTRIES):
        asked = call(number)
        began = time.process_time_ns()
        found = lookup.by_bytes(asked)
        taken.append((time.process_time_ns() - began) / 1e6)
        assert found is not None
    return float(np.percentile(taken, 50)), float(np.percentile(taken, 95))
