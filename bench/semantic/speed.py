"""How long a look-up takes in a scope of 10,000 entries, and with the question's vector made in the same process."""

import time
from uuid import UUID

import numpy as np

from bench.semantic.sets import Questions
from tenfold.cache.semantic.scope import Scope
from tenfold.cache.semantic.types import Entry
from tenfold.providers.offline.encoder import Encoder
from tenfold.providers.offline.granite import installed_pack

ENTRIES = 10_000
LOOKUPS = 500


def measure(questions: Questions) -> dict[str, tuple[float, float]]:
    """CPU and wall milliseconds, each as p50 and p95."""
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
    encoder = Encoder(installed_pack())
    taken: dict[str, list[float]] = {"embed, CPU": [], "decide, CPU": [], "both, CPU": [], "both, wall": []}
    for text in questions.texts[ENTRIES : ENTRIES + LOOKUPS]:
        wall, cpu = time.perf_counter(), time.process_time()
        vector = encoder.encode(text)[0].tolist()
        embedded = time.process_time()
        scope.decide(text, vector, None, 0.5)
        done = time.process_time()
        for name, seconds in (
            ("embed, CPU", embedded - cpu),
            ("decide, CPU", done - embedded),
            ("both, CPU", done - cpu),
            ("both, wall", time.perf_counter() - wall),
        ):
            taken[name].append(seconds * 1000)
    return {name: (float(np.percentile(each, 50)), float(np.percentile(each, 95))) for name, each in taken.items()}
