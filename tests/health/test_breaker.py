"""When a breaker opens, whom it lets through, when it closes; what a target asks for; how long it takes."""

import random

import pytest

from tenfold.health import BreakerPolicy, TargetHealth
from tests.health.attempts import START, Attempts

# -- opening ---------------------------------------------------------------------------------


def test_five_failures_in_a_row_open_it_however_slowly_they_come() -> None:
    attempts = Attempts()
    for _ in range(4):
        attempts.fail()
        attempts.now += 60
    assert attempts.state() == "closed"
    attempts.fail()
    assert attempts.state() == "open"
    assert attempts.told == ["open"]
    assert attempts.health.opened_total == 1


def test_a_success_ends_the_row() -> None:
    attempts = Attempts()
    for _ in range(20):
        for _ in range(4):
            attempts.fail()
            attempts.now += 3
        attempts.succeed()
        attempts.now += 20
    assert attempts.state() == "closed"


def test_half_of_the_calls_failing_opens_it() -> None:
    attempts = Attempts()
    for number in range(9):
        attempts.now += 0.1
        attempts.succeed() if number % 2 else attempts.fail()
    assert attempts.state() == "open"


def test_fewer_do_not() -> None:
    attempts = Attempts()
    for number in range(3_000):
        attempts.now += 0.01
        attempts.succeed() if number % 5 else attempts.fail()
    assert attempts.state() == "closed"


def test_what_is_older_than_the_window_does_not_count() -> None:
    attempts = Attempts()
    for _ in range(4):
        attempts.fail()
    attempts.now += 1
    attempts.succeed()
    attempts.now += 11
    for _ in range(4):
        attempts.fail()
        attempts.now += 0.01
    assert attempts.state() == "closed"


def test_successes_grow_old_as_well() -> None:
    attempts = Attempts()
    for _ in range(1_000):
        attempts.now += 0.005
        attempts.succeed()
    attempts.now += 15
    for number in range(9):
        attempts.now += 0.1
        attempts.succeed() if number % 2 else attempts.fail()
    assert attempts.state() == "open"


def test_a_primary_that_is_down_under_200_calls_a_second_is_left_alone_within_a_second() -> None:
    """The window is full of successes by then: a rate alone would need five seconds."""
    attempts = Attempts()
    for _ in range(4_000):
        attempts.now += 0.005
        attempts.succeed()
    down_at = attempts.now
    while attempts.state() == "closed":
        attempts.now += 0.005
        attempts.fail()
    assert attempts.now - down_at < 1


def test_so_it_is_while_the_streams_that_had_begun_before_end_well() -> None:
    """Vendors that are overloaded refuse what is new and finish what they have."""
    attempts = Attempts()
    streams = [attempts.begin() for _ in range(2_000)]
    attempts.now += 5
    down_at = attempts.now
    while attempts.state() == "closed":
        attempts.now += 0.005
        attempts.fail()
        attempts.end_well(streams.pop())
    assert attempts.now - down_at < 1


def test_quick_failures_among_slow_answers_are_not_all_there_is() -> None:
    """Three in ten fail at once, the others answer after twenty seconds: until then only failures are seen."""
    attempts, dice = Attempts(), random.Random(1)
    running: list[float] = []
    for number in range(6_000):
        attempts.now = START + number / 20
        while running and running[0] <= attempts.now - 20:
            attempts.end_well(running.pop(0))
        if dice.random() < 0.3:
            attempts.fail(0.0)
        else:
            running.append(attempts.begin())
        if number / 20 > 1:  # before it there are a handful of calls in all
            assert attempts.state() == "closed", number


def test_calls_that_were_cut_off_together_are_not_a_row_of_failures() -> None:
    """One connection that breaks may take many of them along: the next one shows how it is."""
    attempts = Attempts()
    for _ in range(2_000):
        attempts.now += 0.004
        attempts.succeed()
    running = [attempts.begin() for _ in range(20)]
    for began in running:
        attempts.now += 0.05
        attempts.health.failed(attempts.now, "stream", began=began)
    assert attempts.state() == "closed"


@pytest.mark.parametrize("fault", ["connect", "timeout", "status", "stream", "malformed"])
def test_every_fault_counts(fault: str) -> None:
    attempts = Attempts()
    for _ in range(5):
        began = attempts.begin()
        attempts.health.failed(attempts.now, fault, began=began)  # type: ignore[arg-type]
    assert attempts.state() == "open"


def test_slow_answers_open_it_where_that_is_asked_for() -> None:
    attempts = Attempts(BreakerPolicy(slow_s=3))
    for _ in range(5):
        attempts.succeed(2)
    assert attempts.state() == "closed"
    running = [attempts.begin() for _ in range(5)]
    attempts.now += 4
    for began in running:
        attempts.end_well(began)
    assert attempts.state() == "open"


def test_a_slow_answer_is_one_whose_beginning_is_late_not_one_that_is_long() -> None:
    attempts = Attempts(BreakerPolicy(slow_s=3))
    for _ in range(50):
        attempts.begin()
        attempts.now += 60
        attempts.health.succeeded(attempts.now, first_s=1, total_s=60)
    assert attempts.state() == "closed"


# -- open ------------------------------------------------------------------------------------


def test_an_open_one_is_not_called_before_its_time() -> None:
    attempts = Attempts(dice=lambda: 0.0)
    attempts.open()
    assert attempts.health.retry_after_s(attempts.now) == pytest.approx(1.5)
    assert not attempts.health.may_call(attempts.now + 1.49)
    assert attempts.health.may_call(attempts.now + 1.51)


def test_the_cool_down_doubles_up_to_its_bound_and_begins_anew_after_a_close() -> None:
    attempts = Attempts(BreakerPolicy(cooldown_s=1, max_cooldown_s=4), dice=lambda: 1.0)
    waits = []
    attempts.open()
    for _ in range(4):
        waits.append(round(attempts.health.retry_after_s(attempts.now), 6))
        attempts.now += waits[-1]
        attempts.fail()
    assert waits == [1, 2, 4, 4]
    attempts.now += 4
    attempts.succeed()
    attempts.succeed()
    attempts.open()
    assert attempts.health.retry_after_s(attempts.now) == pytest.approx(1)


def test_a_provider_that_is_back_is_called_by_all_within_five_seconds() -> None:
    attempts = Attempts(dice=lambda: 1.0)
    attempts.open()
    for _ in range(50):
        attempts.now += 0.05
        if attempts.health.may_call(attempts.now):
            attempts.fail()
    back_at = attempts.now
    while attempts.state() != "closed":
        attempts.now += 0.05
        if attempts.health.may_call(attempts.now):
            attempts.succeed()
    assert attempts.now - back_at <= 5


# -- half open -------------------------------------------------------------------------------


def test_one_probe_at_a_time_and_two_that_succeed_close_it() -> None:
    attempts = Attempts()
    began = attempts.half_open()
    assert attempts.state() == "half_open"
    assert not attempts.health.may_call(attempts.now)
    assert attempts.health.retry_after_s(attempts.now) > 0
    attempts.now += 0.2
    attempts.end_well(began)
    assert attempts.state() == "half_open"
    assert attempts.health.may_call(attempts.now)
    attempts.succeed(0.2)
    assert attempts.state() == "closed"
    assert attempts.told == ["open", "closed"]


def test_once_closed_what_was_before_is_forgotten() -> None:
    attempts = Attempts()
    attempts.end_well(attempts.half_open())
    attempts.succeed()
    for _ in range(4):
        attempts.fail()
    assert attempts.state() == "closed"
    attempts.fail()
    assert attempts.state() == "open"


def test_a_probe_that_fails_opens_it_again() -> None:
    attempts = Attempts()
    began = attempts.half_open()
    attempts.health.failed(attempts.now, "connect", began=began)
    assert attempts.state() == "open"
    assert attempts.told == ["open", "open"]


@pytest.mark.parametrize("end", ["neutral", "limited"])
def test_a_probe_that_says_nothing_is_given_back(end: str) -> None:
    attempts = Attempts()
    began = attempts.half_open()
    if end == "neutral":
        attempts.health.neutral(attempts.now, began=began)
    else:
        attempts.health.limited(attempts.now, 0, began=began)
    assert attempts.state() == "half_open"
    assert attempts.health.may_call(attempts.now)


def test_calls_that_hung_since_before_say_nothing_once_it_is_back() -> None:
    attempts = Attempts()
    hanging = [attempts.begin() for _ in range(100)]
    attempts.half_open()
    for began in hanging[:50]:
        attempts.health.failed(attempts.now, "timeout", began=began)
    assert attempts.state() == "half_open"
    assert not attempts.health.may_call(attempts.now), "the probe is under way still"
    attempts.now += 0.1
    attempts.end_well(attempts.now - 0.1)
    attempts.succeed()
    for began in hanging[50:]:
        attempts.health.failed(attempts.now, "timeout", began=began)
    assert attempts.state() == "closed"


def test_a_probe_that_hangs_does_not_keep_the_next_one_out() -> None:
    attempts = Attempts()
    hanging = attempts.half_open()
    attempts.now += 3.9
    assert not attempts.health.may_call(attempts.now)
    attempts.now += 0.2
    assert attempts.health.may_call(attempts.now)
    next_one = attempts.begin()
    assert not attempts.health.may_call(attempts.now)
    attempts.health.neutral(attempts.now, began=hanging)
    assert not attempts.health.may_call(attempts.now), "the next one holds the place"
    attempts.end_well(next_one)


def test_a_model_whose_answers_take_longer_than_the_patience_with_probes_closes_all_the_same() -> None:
    attempts = Attempts()
    probes = [attempts.half_open()]
    for _ in range(5):
        attempts.now += 4.5
        probes.append(attempts.begin())
    for began in probes[:2]:
        attempts.end_well(began)
    assert attempts.state() == "closed"


def test_a_stream_closes_it_when_it_begins() -> None:
    attempts = Attempts()
    first = attempts.half_open()
    attempts.now += 0.3
    attempts.health.answered(attempts.now, began=first)
    assert attempts.health.may_call(attempts.now)
    second = attempts.begin()
    attempts.now += 0.3
    attempts.health.answered(attempts.now, began=second)
    assert attempts.state() == "closed"
    attempts.now += 60
    attempts.end_well(first)
    attempts.end_well(second)
    assert attempts.health.in_flight == 0


def test_a_stream_counts_once_and_a_break_in_it_opens_again() -> None:
    attempts = Attempts()
    first = attempts.half_open()
    attempts.health.answered(attempts.now, began=first)
    attempts.now += 1
    attempts.end_well(first)
    assert attempts.state() == "half_open"
    second = attempts.begin()
    attempts.health.failed(attempts.now, "stream", began=second)
    assert attempts.state() == "open"


def test_a_probe_that_is_slow_opens_it_again() -> None:
    attempts = Attempts(BreakerPolicy(slow_s=1))
    began = attempts.half_open()
    attempts.now += 2
    attempts.health.answered(attempts.now, began=began)
    assert attempts.state() == "half_open"
    attempts.end_well(began)
    assert attempts.state() == "open"


# -- 429 -------------------------------------------------------------------------------------


def test_a_429_is_no_failure_and_rests_the_target_for_as_long_as_it_asked_for() -> None:
    attempts = Attempts()
    for _ in range(100):
        began = attempts.begin()
        attempts.health.limited(attempts.now, 7.5, began=began)
    assert attempts.state() == "closed"
    assert attempts.health.rests_until == attempts.now + 7.5
    assert not attempts.health.may_call(attempts.now + 7)
    assert attempts.health.may_call(attempts.now + 7.5)
    assert attempts.health.retry_after_s(attempts.now) == pytest.approx(7.5)


@pytest.mark.parametrize(("asked", "rests"), [(3600.0, 60.0), (-1.0, 0.0), (0.0, 0.0)])
def test_what_it_asks_for_is_bounded(asked: float, rests: float) -> None:
    attempts = Attempts()
    attempts.begin()
    attempts.health.limited(attempts.now, asked)
    assert attempts.health.retry_after_s(attempts.now) == pytest.approx(rests)


def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    attempts = Attempts()
    for asked in (30, 1):
        attempts.begin()
        attempts.health.limited(attempts.now, asked)
    assert attempts.health.retry_after_s(attempts.now) == pytest.approx(30)


def test_without_a_word_the_rest_grows_with_each_round_and_not_with_each_call() -> None:
    attempts = Attempts()
    rests = []
    for _ in range(8):
        for _ in range(20):
            attempts.begin()
            attempts.health.limited(attempts.now, None)
        rests.append(round(attempts.health.retry_after_s(attempts.now), 6))
        attempts.now += rests[-1]
    assert rests == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]
    attempts.succeed()
    attempts.begin()
    attempts.health.limited(attempts.now, None)
    assert attempts.health.retry_after_s(attempts.now) == pytest.approx(0.2)


# -- latency and load ------------------------------------------------------------------------


def test_latency_jumps_up_and_comes_down_slowly() -> None:
    attempts = Attempts()
    attempts.succeed(1)
    attempts.succeed(4)
    assert attempts.health.latency_s == 4
    attempts.now += 10
    began = attempts.begin()
    attempts.health.succeeded(attempts.now, first_s=1, total_s=1)
    assert began == attempts.now
    assert attempts.health.latency_s == pytest.approx(1 + 3 * 0.3679, abs=1e-3)
    assert 1 < attempts.health.duration_s < 4


def test_a_timeout_says_that_it_is_slow() -> None:
    attempts = Attempts()
    attempts.succeed(1)
    began = attempts.begin()
    attempts.now += 30
    attempts.health.failed(attempts.now, "timeout", began=began)
    assert attempts.health.latency_s == 30


def test_load_is_latency_times_calls_and_goes_away_while_nobody_asks() -> None:
    attempts = Attempts()
    attempts.succeed(2)
    assert attempts.health.load(attempts.now) == pytest.approx(2)
    attempts.begin()
    assert attempts.health.load(attempts.now) == pytest.approx(4)
    assert attempts.health.load(attempts.now + 100) < 0.01


def test_a_target_nobody_knows_gets_one_call_first() -> None:
    attempts = Attempts()
    assert attempts.health.load(attempts.now) == 0
    attempts.begin()
    assert attempts.health.load(attempts.now) > 1_000


# -- what others found -----------------------------------------------------------------------


def test_opened_elsewhere_it_is_open_here_for_the_rest_of_the_time() -> None:
    attempts = Attempts()
    attempts.health.adopt_open(attempts.now, 1.5)
    assert attempts.state() == "open"
    assert not attempts.health.may_call(attempts.now + 1.4)
    assert attempts.health.may_call(attempts.now + 1.6)
    assert attempts.told == [], "who adopts does not tell"
    assert attempts.health.opened_total == 0


def test_the_rest_of_the_time_is_bounded_by_what_is_usual_here() -> None:
    attempts = Attempts()
    attempts.health.adopt_open(attempts.now, 1e9)
    assert attempts.health.retry_after_s(attempts.now) <= 4


def test_what_is_open_here_for_longer_stays_so() -> None:
    attempts = Attempts()
    attempts.open()
    attempts.health.adopt_open(attempts.now, 0.5)
    assert attempts.health.retry_after_s(attempts.now) > 1.9


def test_what_is_over_is_not_adopted() -> None:
    attempts = Attempts()
    attempts.health.adopt_open(attempts.now, -0.1)
    assert attempts.state() == "closed"


def test_closed_elsewhere_it_is_closed_here() -> None:
    attempts = Attempts()
    attempts.open()
    attempts.health.adopt_closed(attempts.now)
    assert attempts.health.may_call(attempts.now)
    assert attempts.state() == "closed"
    assert attempts.told == ["open"]


# -- policies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window_s", 0),
        ("min_failures", 0),
        ("failure_rate", 0),
        ("failure_rate", 1.1),
        ("slow_s", -1),
        ("slow_rate", float("nan")),
        ("cooldown_s", 0),
        ("cooldown_s", 5),  # above the longest
        ("max_cooldown_s", 4_000),
        ("probes", 0),
        ("successes", 0),
    ],
)
def test_policies_that_cannot_be_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field if field != "cooldown_s" else "cooldown_s"):
        BreakerPolicy(**{field: value})  # type: ignore[arg-type]


def test_the_view_tells_a_breaker_that_waits_for_its_probe_apart() -> None:
    attempts = Attempts()
    attempts.open()
    view = attempts.health.view(attempts.now)
    assert (view.state, view.open_s > 1, view.in_flight) == ("open", True, 0)
    assert attempts.health.view(attempts.now + 4).state == "half_open"
    assert TargetHealth(provider="p", model="m").view(0.0).provider == "p"
