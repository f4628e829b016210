"""How fast documents are read in, vectors and all: `python -m bench.ingest [--pages 300] [--json FILE]`.

A page is one of the AWS documentation (5,218 characters on average, 6.1 chunks). It counts as read in once every chunk
has its words and its vector. A table goes to standard output; nothing is left behind.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from bench.machine import this_machine
from bench.procstat import cpu_seconds
from bench.retrieval.house import open_store, tenant
from bench.retrieval.sets import DATA, SETS, documents
from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.retrieval.library import Library
from tenfold.store import Store

PAGES_PER_S = 20.0
_STANDARD_PAGE = 1_800  # characters of a page of a publisher, spaces included
_KB = "ingest"


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    pages: int
    characters: int
    chunks: int
    words_s: float  # until all are found by their words
    vectors_s: float  # and from then on by their meaning
    cpu_s: dict[str, float]  # by process
    cores: int

    @property
    def per_second(self) -> float:
        return self.pages / (self.words_s + self.vectors_s)

    @property
    def per_second_alone(self) -> float:
        """What the CPU seconds allow on a machine with nothing else to do: all of its cores share them."""
        return self.pages * self.cores / sum(self.cpu_s.values())


async def measure(pages: int, data: Path) -> Ingested:
    given = random.Random(1).sample(documents(SETS["aws"], data), pages)  # noqa: S311 - the same each time
    embedder = OfflineEmbedder()
    async with open_store() as store:
        try:
            await embedder.embed(["The model is loaded before the clock starts."])
            library = Library(store, embedder)
            owner = await tenant(store, "ingest")
            before = await _cpu(store, embedder)
            began = time.perf_counter()
            await library.ingest(owner, _KB, given)
            found = time.perf_counter()
            chunks = await library.embed(owner, _KB)
            ended = time.perf_counter()
            after = await _cpu(store, embedder)
        finally:
            await embedder.aclose()
    return Ingested(
        pages=len(given),
        characters=sum(len(document.text) for document in given),
        chunks=chunks,
        words_s=found - began,
        vectors_s=ended - found,
        cpu_s={name: after[name] - before[name] for name in after},
        cores=len(os.sched_getaffinity(0)),
    )


async def _cpu(store: Store, embedder: OfflineEmbedder) -> dict[str, float]:
    async with store.directory(readonly=True) as tx:
        postgres = [row["pid"] for row in await tx.fetch("SELECT pid FROM pg_stat_activity")]
    assert embedder.child_pid is not None
    return {
        "tenfold": cpu_seconds([os.getpid()]),
        "embedder": cpu_seconds([embedder.child_pid]),
        "postgres": cpu_seconds(postgres),
    }


def table(one: Ingested) -> str:
    chunks, characters = one.chunks / one.pages, one.characters / one.pages
    cpu = ", ".join(f"{name} {1000 * seconds / one.pages:.0f}" for name, seconds in one.cpu_s.items())
    standard = characters / _STANDARD_PAGE
    rows = [
        ("pages of the AWS documentation", f"{one.pages}, of {characters:,.0f} characters and {chunks:.1f} chunks"),
        ("read in, words and vectors", f"{one.per_second:.1f} pages/s, {one.per_second * chunks:.0f} chunks/s"),
        ("the same, in pages of 1,800 characters", f"{one.per_second * standard:.1f} pages/s"),
        ("found by their words", f"after {one.words_s:.1f} s, {one.pages / one.words_s:.0f} pages/s"),
        ("CPU for a page, ms", cpu),
        (f"what that allows on {one.cores} cores with nothing else to do", f"{one.per_second_alone:.1f} pages/s"),
    ]
    return "\n".join(["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)])


def main(arguments: Sequence[str]) -> int:
    """0: as fast as promised; 1: not."""
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args(arguments)
    found = uvloop.run(measure(options.pages, options.data))
    sys.stdout.write(f"{this_machine(None, None)}\n\n{table(found)}\n")
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    if found.per_second >= PAGES_PER_S:
        return 0
    sys.stdout.write(f"\nNot as promised: {found.per_second:.1f} pages/s, below {PAGES_PER_S:g}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
