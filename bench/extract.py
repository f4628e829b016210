"""How fast files are read: `python -m bench.extract [--pages 300] [--json FILE]`.

The text of the AWS documentation as one PDF, one DOCX and one HTML page, read by a warm child process as the product
does it. A page is a printed one: 55 lines of up to 90 characters. CPU is the child's.
"""

import argparse
import asyncio
import gzip
import json
import sys
import textwrap
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path

import msgspec
from tests.retrieval.extract.files import docx, paragraph, pdf

from bench.procstat import cpu_seconds
from tenfold.retrieval.extract.extractor import Extractor

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "kb_aws_docs" / "corpus.jsonl.gz"
_LINES, _WIDTH = 55, 90


class Read(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    pages: int
    bytes: int
    characters: int
    seconds: float
    cpu_s: float


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.extract", description=__doc__)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    results = asyncio.run(_read_all(asked.pages))
    rows = [
        f"| {one.kind} | {one.pages} | {one.bytes / 1e6:.1f} | {one.characters:,} | {one.pages / one.seconds:.0f} "
        f"| {one.pages / max(one.cpu_s, 0.01):.0f} |\n"
        for one in results
    ]
    sys.stdout.write("| file | pages | MB | characters | pages/s | pages per CPU second |\n|---|---|---|---|---|---|\n")
    sys.stdout.write("".join(rows))
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.encode(results))
    return 0


async def _read_all(pages: int) -> list[Read]:
    lines = list(_lines(pages * _LINES))
    printed = [[(10.0, line) for line in lines[start : start + _LINES]] for start in range(0, len(lines), _LINES)]
    paragraphs = [escape(line) for line in lines if line]
    files = {
        "PDF": pdf(printed),
        "DOCX": docx("".join(map(paragraph, paragraphs))),
        "HTML": ("<html>" + "".join(f"<p>{line}</p>" for line in paragraphs)).encode(),
    }
    extractor = Extractor()
    try:
        await extractor.extract(b"warm", filename="a.txt")
        [child] = extractor.child_pids
        results = []
        for kind, data in files.items():
            started, before = time.perf_counter(), cpu_seconds([child])
            found = await extractor.extract(data, filename="a")
            results.append(
                Read(
                    kind=kind,
                    pages=pages,
                    bytes=len(data),
                    characters=len(found.text),
                    seconds=time.perf_counter() - started,
                    cpu_s=cpu_seconds([child]) - before,
                )
            )
    finally:
        await extractor.aclose()
    return results


def _lines(count: int) -> Iterator[str]:
    with gzip.open(_DATA, "rt") as rows:
        for row in rows:
            for text in json.loads(row)["text"].split("\n"):
                for line in textwrap.wrap(text.encode("cp1252", "ignore").decode("cp1252"), _WIDTH) or [""]:
                    if count == 0:
                        return
                    count -= 1
                    yield line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
