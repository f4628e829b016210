"""`python -m bench.retrieval`: the command line. A Markdown table goes to standard output, progress to standard error;
nothing is left behind but the vectors in the folder for temporary files.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from bench.machine import this_machine
from bench.retrieval import exact, quality, speed
from bench.retrieval.sets import DATA, SETS

P95_MS = 25.0
RECALL = 0.99


def main(arguments: Sequence[str]) -> int:
    """0: all figures are as promised; 1: some are not."""
    options = _parse(arguments)
    table, figures, missed = uvloop.run(_RUNS[options.verb](options))
    sys.stdout.write(f"{this_machine(None, None)}\n\n{table}\n")
    for line in missed:
        sys.stdout.write(f"\nNot as promised: {line}\n")
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    return 1 if missed else 0


_Outcome = tuple[str, object, list[str]]  # the table, the figures, what is not as promised


async def _quality(options: argparse.Namespace) -> _Outcome:
    sets = [SETS[name] for name in options.sets or SETS]
    found = await quality.measure(sets, data=options.data, folder=options.folder, best=options.best)
    low = [one for one in found if one.leg != "words" and one.ndcg_at_10 < one.target]
    return quality.table(found), found, [f"nDCG@10 of {one.set} below {one.target}" for one in low]


async def _speed(options: argparse.Namespace) -> _Outcome:
    timed = await speed.measure(
        chunks=options.chunks,
        tenants=options.tenants,
        searches=options.searches,
        data=options.data,
        folder=options.folder,
    )
    slow = timed[0].p95 > P95_MS
    return speed.table(timed), timed, [f"p95 above {P95_MS} ms"] if slow else []


async def _recall(options: argparse.Namespace) -> _Outcome:
    compared = await exact.measure(
        [SETS[name] for name in options.sets or ("claude", "tau2")], data=options.data, folder=options.folder
    )
    low = [one.set for one in compared if min(one.recall.values()) < RECALL]
    return exact.table(compared), compared, [f"recall of {name} below {RECALL}" for name in low]


_RUNS = {"quality": _quality, "speed": _speed, "recall": _recall}


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.retrieval", description=__doc__)
    verbs = parser.add_subparsers(required=True, dest="verb")
    names = f"of {', '.join(SETS)}"
    asked = verbs.add_parser("quality", help="nDCG@10 and recall over question sets")
    asked.add_argument("sets", nargs="*", metavar="SET", help=f"{names}; all when none is named")
    asked.add_argument("--best", type=int, help="vectors only of what the words find among so many: for the large set")
    timed = verbs.add_parser("speed", help="how long a search takes among many tenants")
    timed.add_argument("--chunks", type=int, default=50_000)
    timed.add_argument("--tenants", type=int, default=50)
    timed.add_argument("--searches", type=int, default=2_000)
    compared = verbs.add_parser("recall", help="of the vector leg against exact cosines")
    compared.add_argument("sets", nargs="*", metavar="SET", help=f"{names}; claude and tau2 when none is named")
    for verb in (asked, timed, compared):
        verb.add_argument("--data", type=Path, default=DATA, help="where the question sets are")
        verb.add_argument("--folder", type=Path, help="a Postgres kept here, so that the next run reads in nothing")
        verb.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args(arguments)
    unknown = [name for name in getattr(options, "sets", []) if name not in SETS]
    if unknown:
        parser.error(f"there is no set {unknown[0]!r}; there are {', '.join(SETS)}")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
