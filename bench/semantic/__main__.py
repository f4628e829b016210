"""`python -m bench.semantic`: the figures of docs/benchmarks.md on the semantic cache."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two threads on a busy machine wait for each other

from bench.semantic import comparing, speed, streams
from bench.semantic.sets import SETS, load
from tenfold.cache.semantic.comparator import MISSED

_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    if not options.data.is_dir():
        sys.stderr.write(f"bench.semantic: {options.data} is not there; --data says where the shared data is\n")
        return 1
    if "comparator" in options.what:
        _comparator(options)
    if "streams" in options.what:
        return _streams(options)
    if "speed" in options.what:
        _speed(options)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.semantic", description=__doc__)
    parser.add_argument("what", nargs="+", choices=("comparator", "streams", "speed"))
    parser.add_argument("--sets", default=",".join(SETS), help="of " + ", ".join(SETS))
    parser.add_argument("--bounds", default="0.01,0.03", help="largest share of false hits, several by commas")
    parser.add_argument("--seeds", type=int, default=3, help="orders of each stream")
    parser.add_argument("--check-share", type=float, default=0.05)
    parser.add_argument(
        "--false-alarms", type=float, help="of answers that are the same, the share found different, not as measured"
    )
    parser.add_argument("--perfect", action="store_true", help="a comparator that does not err, and the same bound")
    parser.add_argument("--data", type=Path, default=_DATA)
    parser.add_argument("--vectors", type=Path, default=Path("/tmp/tenfold-bench-vectors"))  # noqa: S108
    return parser.parse_args(arguments)


def _comparator(options: argparse.Namespace) -> None:
    rates = comparing.measure(options.data)
    _say("| answers | pairs | same | unsure | different |")
    _say("|---|---|---|---|---|")
    for name, counts in (("to one question", rates.same), ("to near questions", rates.near), ("to others", rates.far)):
        shares = " | ".join(f"{counts[verdict] / counts.total():.3f}" for verdict in ("same", "unsure", "different"))
        _say(f"| {name} | {counts.total()} | {shares} |")
    missed, total = rates.near["same"] + rates.near["unsure"], sum(rates.near.values())
    limit = upper_limit(missed, total)
    _say(f"\nOf near questions not found different: {missed / total:.3f}, at 95 % at most {limit:.3f}.")
    _say(f"The bound reckons with {MISSED}.")


def _streams(options: argparse.Namespace) -> int:
    errs = streams.Errs() if options.perfect else _measured(options)
    broken = 0
    _say("| set | repeated | bound | hits | second half | last quarter | false hits | at most, 95 % | off |")
    _say("|---|---|---|---|---|---|---|---|---|")
    for name in options.sets.split(","):
        questions = load(name, options.data, options.vectors)
        for bound in map(float, options.bounds.split(",")):
            runs = [
                streams.play(questions, max_false_hits=bound, seed=seed, errs=errs, check_share=options.check_share)
                for seed in range(options.seeds)
            ]
            hits, false = sum(len(run.hits) for run in runs), sum(run.false for run in runs)
            broken += any(run.hits and run.false / len(run.hits) > bound for run in runs)
            means = [sum(values) / len(runs) for values in zip(*map(_rates, runs), strict=True)]
            _say(
                f"| {name} | {questions.repeated:.3f} | {bound} | {means[0]:.3f} | {means[1]:.3f} | {means[2]:.3f} "
                f"| {false} of {hits}: {false / max(1, hits):.4f} | {upper_limit(false, hits):.4f} "
                f"| {sum(bool(run.why_off) for run in runs)} of {len(runs)} |"
            )
            for run in runs:
                sys.stderr.write(
                    f"{name} {bound}: second half {run.second_half:.3f}, false {run.false} of {len(run.hits)}, "
                    f"bound {run.bound:.4f} {run.why_off} {dict(run.whys)}\n"
                )
    return 1 if broken else 0


def _rates(run: streams.Run) -> tuple[float, float, float]:
    return run.hit_rate, run.second_half, run.last_quarter


def _measured(options: argparse.Namespace) -> streams.Errs:
    rates = comparing.measure(options.data)
    same, near = (sum(counts.values()) for counts in (rates.same, rates.near))
    alarms = rates.same["different"] / same if options.false_alarms is None else options.false_alarms
    return streams.Errs(
        same_is_different=alarms,
        same_is_unsure=rates.same["unsure"] / same,
        different_is_same=rates.near["same"] / near,
        different_is_unsure=rates.near["unsure"] / near,
    )


def _speed(options: argparse.Namespace) -> None:
    _say(f"| look-up among {speed.ENTRIES:,} entries | p50 ms | p95 ms |")
    _say("|---|---|---|")
    for name, (middle, high) in speed.measure(load("clinc150", options.data, options.vectors)).items():
        _say(f"| {name} | {middle:.2f} | {high:.2f} |")
    middle, high = speed.exact()
    _say(f"| exact, in memory, CPU | {middle:.4f} | {high:.4f} |")


def upper_limit(found: int, trials: int) -> float:
    """Of the share, at 95 %, one-sided (Clopper and Pearson, 1934)."""
    if trials == 0 or found == trials:
        return 1.0
    low, high = found / trials, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(found, trials, middle) > 0.05 else (low, middle)
    return high


def _at_most(found: int, trials: int, share: float) -> float:
    """Chance of `found` or fewer."""
    chance = total = (1 - share) ** trials
    for at in range(found):
        chance *= (trials - at) / (at + 1) * share / (1 - share)
        total += chance
    return total


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
