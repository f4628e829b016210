"""Histograms and windows: a third off at most, and nothing counted twice, too long, or by the wall's clock."""

from hypothesis import given
from hypothesis import strategies as st

from tenfold.app.slo.counts import (
    BOUNDS,
    CALLS,
    FAILED,
    PER_DECADE,
    SLICES,
    SLOW,
    WINDOWS_S,
    Track,
    add,
    empty,
    note,
    note_failed,
    quantile_s,
)

durations = st.floats(1e-6, 900)


def counted(seconds: list[float], budget_s: float = 1.0) -> list[int]:
    counts = empty()
    for each in seconds:
        note(counts, each, budget_s)
    return counts


@given(st.lists(durations, min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_a_bin_off_at_most(seconds: list[float], share: float) -> None:
    found = quantile_s(counted(seconds), share)
    ordered = sorted(seconds)
    exact = next(each for number, each in enumerate(ordered, 1) if number >= share * len(ordered))
    bin_width = 10 ** (1 / PER_DECADE)
    assert found is not None
    assert exact / bin_width / 1.000001 <= found <= exact * bin_width * 1.000001


def test_what_is_out_of_the_scale_is_at_its_ends() -> None:
    assert quantile_s(counted([10_000.0]), 0.95) == BOUNDS[-1]
    assert (quantile_s(counted([0.0]), 0.95) or 1) <= BOUNDS[0]
    assert quantile_s(empty(), 0.95) is None


def test_a_failed_call_has_no_duration() -> None:
    counts = counted([0.5, 1.5])
    note_failed(counts)
    assert (counts[CALLS], counts[FAILED], counts[SLOW]) == (3, 1, 1)
    assert quantile_s(counts, 0.95) is not None


@given(st.lists(st.lists(durations, max_size=20), max_size=10))
def test_parts_add_up(parts: list[list[float]]) -> None:
    total = empty()
    for part in parts:
        total = add(total, counted(part))
    assert total == counted([each for part in parts for each in part])


@given(st.lists(st.tuples(st.floats(0, 4000), st.integers(0, 3)), max_size=60))
def test_a_window_holds_what_was_counted_in_it(steps: list[tuple[float, int]]) -> None:
    """Against a list of all of it: never a slice more, and at most a slice less."""
    track, now_s, kept = Track(about=""), 777_777.0, list[tuple[float, int]]()
    for pause_s, calls in steps:
        now_s += pause_s
        kept.append((now_s, calls))
        track.put(counted([0.1] * calls), now_s, WINDOWS_S)
    for window, length_s in WINDOWS_S.items():
        least = sum(calls for at, calls in kept if now_s - at <= length_s * (1 - 1 / SLICES))
        most = sum(calls for at, calls in kept if now_s - at <= length_s)
        assert least <= track.total(window)[CALLS] <= most
        assert len(track.windows.get(window, {})) <= SLICES


def test_a_clock_that_began_anew_leaves_nothing_of_the_future() -> None:
    track = Track(about="")
    track.put(counted([0.1]), 1e9, WINDOWS_S)
    track.put(counted([0.1]), 10.0, WINDOWS_S)
    assert track.total("1h")[CALLS] == 1
