"""Counts of calls in windows of time: a histogram of durations for each of a window's 30 slices.

Time is that of a monotonic clock, which is one for all processes of a machine (CLOCK_MONOTONIC) and which nobody sets:
when the wall clock jumps, no slice moves.
"""

from bisect import bisect_left
from collections.abc import Mapping

from msgspec import Struct, field

WINDOWS_S: Mapping[str, float] = {"5m": 300, "30m": 1_800, "1h": 3_600, "6h": 21_600, "3d": 259_200}
BUDGET = "budget"  # the window that an error budget is for, as long as its objective says
SLICES = 30

PER_DECADE = 8
BOUNDS = tuple(10 ** (n / PER_DECADE - 6) for n in range(9 * PER_DECADE + 1))
"""Upper ends of the bins, 1 us to 1,000 s: each is a third wider than the one before."""

Counts = list[int]
"""Calls, failed ones, good ones over the budget of time; then the good ones by duration."""

CALLS, FAILED, SLOW, _BINS = 0, 1, 2, 3


def empty() -> Counts:
    return [0] * (_BINS + len(BOUNDS) + 1)


def note(counts: Counts, seconds: float, budget_s: float) -> None:
    """A good call that took so long."""
    counts[0] += 1  # literals: this runs for every call
    if seconds > budget_s:
        counts[2] += 1
    counts[3 + bisect_left(BOUNDS, seconds)] += 1


def note_failed(counts: Counts) -> None:
    counts[CALLS] += 1
    counts[FAILED] += 1


def add(counts: Counts, more: Counts) -> Counts:
    return [a + b for a, b in zip(counts, more, strict=True)]


def quantile_s(counts: Counts, share: float) -> float | None:
    """The duration that `share` of the good calls do not exceed, read within a bin on its logarithmic scale: at most a
    third off. None without calls."""
    bins = counts[_BINS:]
    rank = share * sum(bins)
    if not rank:
        return None
    below = 0
    for number, count in enumerate(bins):
        if count and below + count >= rank:
            upper = BOUNDS[min(number, len(BOUNDS) - 1)]
            inside = (rank - below) / count
            return upper if number >= len(BOUNDS) else upper * 10 ** ((inside - 1) / PER_DECADE)
        below += count
    return BOUNDS[-1]


class Track(Struct):
    """The windows of one objective: window -> number of the slice -> counts. `about` says of what; counts of another
    budget or of other calls are none of it."""

    about: str
    windows: dict[str, dict[int, Counts]] = field(default_factory=dict)

    def put(self, more: Counts, now_s: float, lengths_s: Mapping[str, float]) -> None:
        """Counts of the moment, none among them, and what has left its window is forgotten."""
        for window, length_s in lengths_s.items():
            width_s = length_s / SLICES
            current = int(now_s / width_s)
            slices = self.windows.setdefault(window, {})
            for number in [n for n in slices if not current - SLICES < n <= current]:
                del slices[number]
            if more[CALLS]:
                slices[current] = add(slices[current], more) if current in slices else list(more)

    def total(self, window: str) -> Counts:
        """Of the window as it was at the last `put`."""
        slices = self.windows.get(window)
        return [sum(column) for column in zip(*slices.values(), strict=True)] if slices else empty()
