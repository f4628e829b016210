"""The ring of counts against the plain list of what happened."""

from hypothesis import given
from hypothesis import strategies as st

from tenfold.health.window import Window

STEPS = st.lists(
    st.tuples(st.floats(0, 25, allow_nan=False), st.booleans(), st.booleans(), st.integers(0, 3)), max_size=60
)


@given(STEPS, st.sampled_from([0.5, 10.0, 61.0]), st.sampled_from([0.0, 1e3, 1e9]))
def test_it_counts_the_last_nine_tenths_at_least_and_the_whole_window_at_most(
    steps: list[tuple[float, bool, bool, int]], window_s: float, start: float
) -> None:
    window, now, mark = Window(window_s), start + 1, 0
    seen: list[tuple[float, bool, bool, int]] = []
    for passed, failed, slow, begun in steps:
        now += passed * window_s / 10
        window.roll(now, mark)
        mark += begun
        window.count(now, 1, failed, slow, mark)
        seen.append((now, failed, slow, begun))
        slack = window_s * 1e-6 + now * 1e-12
        surely = [each for each in seen if each[0] > now - window_s * 0.9 + slack]
        perhaps = [each for each in seen if each[0] > now - window_s - slack]
        assert len(surely) <= window.calls <= len(perhaps)
        assert sum(each[1] for each in surely) <= window.failures <= sum(each[1] for each in perhaps)
        assert sum(each[2] for each in surely) <= window.slow <= sum(each[2] for each in perhaps)
        assert sum(each[3] for each in surely) <= window.marked(mark) <= sum(each[3] for each in perhaps)


def test_a_clock_that_goes_back_loses_nothing() -> None:
    window = Window(10)
    window.count(100, 1, 0, 0)
    window.count(99, 1, 1, 0)
    assert (window.calls, window.failures) == (2, 1)


def test_what_began_since_it_was_cleared_counts_from_there() -> None:
    window = Window(10)
    window.count(100, 1, 0, 0, 50)
    window.clear(50)
    window.count(101, 1, 0, 0, 60)
    assert (window.calls, window.marked(60)) == (1, 10)
