"""Several keys of a provider: its models are up or down for all of them, and each rests by itself."""

from tenfold.health import BreakerPolicy, Healths, KeyHealth

NOW = 1000.0


def keyed(now: float = NOW, **policy: float) -> tuple[Healths, KeyHealth, KeyHealth]:
    healths = Healths(policy=BreakerPolicy(**policy), now=lambda: now, dice=lambda: 1.0)  # type: ignore[arg-type]
    return healths, healths.of_key("p", "m", "1"), healths.of_key("p", "m", "2")


def test_there_is_one_of_each_key_and_they_share_the_target() -> None:
    healths, one, two = keyed()
    assert healths.of_key("p", "m", "1") is one
    assert one is not two
    assert one.of is two.of is healths.of("p", "m")
    assert (one.provider, one.model) == ("p", "m")


def test_what_a_key_was_told_to_wait_is_its_own() -> None:
    healths, one, two = keyed()
    one.begin(NOW)
    one.limited(NOW, 20.0, began=NOW)
    assert not one.may_call(NOW + 19)
    assert one.may_call(NOW + 20)
    assert one.retry_after_s(NOW + 5) == 15
    assert two.may_call(NOW)
    assert two.retry_after_s(NOW) == 0
    assert healths.of("p", "m").state == one.state == "closed"
    (view,) = healths.views()
    assert (view.rests_s, view.in_flight) == (0, 0), "a key is free"
    assert (one.view(NOW).rests_s, two.view(NOW).rests_s) == (20, 0)

    two.begin(NOW)
    two.limited(NOW, 8.0)
    (view,) = healths.views()
    assert view.rests_s == 8


def test_without_retry_after_a_key_rests_longer_each_time_until_it_succeeds() -> None:
    _, one, two = keyed()
    now, rests = NOW, []
    for _ in range(4):
        one.begin(now)
        one.limited(now, None)
        rests.append(round(one.rests_until - now, 3))
        now = one.rests_until
    assert rests == [0.2, 0.4, 0.8, 1.6]
    one.begin(now)
    one.begin(now)
    one.limited(now, None)
    rested = one.rests_until
    one.limited(now, None)
    assert one.rests_until == rested, "it was on its way when the first was told"
    one.begin(rested)
    one.succeeded(rested, first_s=0.1, total_s=0.1)
    one.begin(rested)
    one.limited(rested, None)
    assert round(one.rests_until - rested, 3) == 0.2
    assert two.rests_until == 0


def test_a_model_that_fails_with_one_key_is_down_for_all() -> None:
    healths, one, two = keyed(min_failures=5)
    for _ in range(5):
        one.begin(NOW)
        one.failed(NOW, "connect", began=NOW)
    assert (one.state, two.state) == ("open", "open")
    assert not two.may_call(NOW)
    until = NOW + two.retry_after_s(NOW)
    assert until > NOW
    for _ in range(2):  # probes of either key close it
        assert two.may_call(until)
        two.begin(until)
        assert not one.may_call(until), "one probe at a time, whichever key it has"
        until += 0.1
        two.succeeded(until, first_s=0.1, total_s=0.1)
    assert (one.state, healths.of("p", "m").in_flight) == ("closed", 0)


def test_what_another_process_found_holds_for_all_keys() -> None:
    _, one, two = keyed()
    one.adopt_open(NOW, 3.0)
    assert (two.state, two.may_call(NOW + 2), two.view(NOW).state) == ("open", False, "open")
    two.adopt_closed(NOW + 1)
    assert one.may_call(NOW + 1)


def test_load_is_of_the_keys_own_calls() -> None:
    healths, one, two = keyed()
    assert (one.load(NOW), two.load(NOW)) == (0, 0)
    one.begin(NOW)
    assert one.load(NOW) > two.load(NOW) > 0, "nobody knows how long it takes, and a call is on its way"
    one.succeeded(NOW, first_s=0.5, total_s=0.9)
    assert one.load(NOW) == two.load(NOW) == 0.5
    assert (one.latency_s, one.duration_s) == (0.5, 0.9)
    two.begin(NOW)
    assert (one.load(NOW), two.load(NOW)) == (0.5, 1.0)
    two.answered(NOW, began=NOW)
    two.neutral(NOW)
    assert (one.in_flight, two.in_flight, healths.of("p", "m").in_flight) == (0, 0, 0)
