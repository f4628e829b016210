"""The plan of a call is a pure function: which targets, in what order, and why."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import FeatureOff, UpstreamUnavailable
from tenfold.health import TargetHealth
from tenfold.inference.plan import Ask, plan
from tenfold.inference.policy import Policy, Rule
from tenfold.inference.route import Route, Target
from tenfold.providers.http import HttpProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.transport.fake import FakeTransport
from tests.support.pipeline import FixedPrice

NOW = 100.0


class Known:
    """A health as a test wants it."""

    def __init__(self, *, up: bool = True, latency_s: float = 0.0, duration_s: float = 0.0, in_flight: int = 0) -> None:
        self.up = up
        self.state = "closed" if up else "open"
        self.latency_s = latency_s
        self.duration_s = duration_s
        self.in_flight = in_flight

    def may_call(self, now: float) -> bool:
        return self.up

    def load(self, now: float) -> float:
        return self.latency_s * (self.in_flight + 1)

    def retry_after_s(self, now: float) -> float:
        return 3.0


def target(model: str, health: Any = None, **more: Any) -> Target:
    provider = HttpProvider(f"at-{model}", OpenAIWire(), FakeTransport([]), None, "/models")
    made = Target(provider=provider, upstream_model=more.pop("name", model), prices=FixedPrice(), model=model, **more)
    made.health = cast(Any, Known() if health is None else health)
    return made


def route(*targets: Target, **policy: Any) -> Route:
    return Route(model="r", targets=targets, policy=Policy(**policy))


def order(found: Any) -> list[str]:
    return [choice.target.upstream_model for choice in found.choices]


ASK = Ask(now=NOW)


def test_a_plain_route_has_one_plan_as_long_as_all_is_well() -> None:
    plain = route(target("a"), target("b"))
    assert plan(plain, ASK) is plan(plain, ASK)
    assert order(plan(plain, ASK)) == ["a", "b"]
    assert [choice.stand_in for choice in plan(plain, ASK).choices] == [False, True]


def test_a_target_that_is_down_is_skipped_and_the_next_one_stands_in() -> None:
    found = plan(route(target("a", Known(up=False)), target("b")), ASK)
    assert order(found) == ["b"]
    assert found.choices[0].stand_in
    assert found.told() == "b@at-b; first | skipped: a@at-a; circuit open"


def test_when_all_are_down_it_says_when_to_come_again() -> None:
    with pytest.raises(UpstreamUnavailable) as caught:
        plan(route(target("a", Known(up=False)), target("b", Known(up=False))), ASK)
    assert (caught.value.status, caught.value.retry_after_s) == (503, 3.0)


def test_switched_off_targets_are_skipped_and_all_off_is_a_refusal() -> None:
    both = route(target("a"), target("b"))
    assert order(plan(both, ASK, is_killed=lambda each: each.model == "a")) == ["b"]
    with pytest.raises(FeatureOff):
        plan(both, ASK, is_killed=lambda each: True)


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (ASK, ["a", "b"]),
        (Ask(now=NOW, task="classify"), ["c"]),
        (Ask(now=NOW, task="classify", feature="support"), ["b", "c"]),
        (Ask(now=NOW, plan="free"), ["c", "a"]),
        (Ask(now=NOW, tenant="acme"), ["b"]),
    ],
)
def test_the_first_rule_that_fits_names_the_models(ask: Ask, expected: list[str]) -> None:
    rules = (
        Rule(models=("b", "c"), tasks=frozenset({"classify"}), features=frozenset({"support"})),
        Rule(models=("c",), tasks=frozenset({"classify"})),
        Rule(models=("c", "a"), plans=frozenset({"free"})),
        Rule(models=("b",), tenants=frozenset({"acme"})),
    )
    found = plan(route(target("a"), target("b"), target("c"), models=("a", "b"), rules=rules), ask)
    assert order(found) == expected


def test_a_rules_choice_is_not_a_stand_in() -> None:
    rules = (Rule(models=("b",), tenants=frozenset({"acme"})),)
    found = plan(route(target("a"), target("b"), models=("a",), rules=rules), Ask(now=NOW, tenant="acme"))
    assert not found.choices[0].stand_in


def test_only_the_regions_that_are_allowed_are_asked() -> None:
    found = plan(route(target("a", region="us"), target("b", region="eu"), regions=frozenset({"eu"})), ASK)
    assert order(found) == ["b"]
    assert not found.choices[0].stand_in, "that is where such calls go"


@pytest.mark.parametrize(("ceiling", "expected"), [(None, ["a", "b", "c"]), (20, ["b", "c"]), (10, ["b"]), (1, ["b"])])
def test_the_ceiling_is_hard(ceiling: int | None, expected: list[str]) -> None:
    costs = {"a": 30, "b": 10, "c": 20}
    found = plan(
        route(target("a"), target("b"), target("c")),
        Ask(now=NOW, max_nano=ceiling),
        bound_of=lambda each: costs[each.upstream_model],
    )
    assert order(found) == expected


def test_cheapest_and_fastest_first() -> None:
    costs = {"a": 30, "b": 10}
    targets = target("a", Known(latency_s=0.1)), target("b", Known(latency_s=0.9))
    assert order(plan(route(*targets, choose="cheapest"), ASK, bound_of=lambda each: costs[each.model])) == ["b", "a"]
    assert order(plan(route(*targets, choose="fastest"), ASK)) == ["a", "b"]


def test_who_is_known_to_be_too_slow_for_the_deadline_goes_last() -> None:
    slow, fast = target("slow", Known(duration_s=5)), target("fast", Known(duration_s=0.5))
    assert order(plan(route(slow, fast), Ask(now=NOW, left_s=1.0))) == ["fast", "slow"]
    assert order(plan(route(slow, fast), Ask(now=NOW, left_s=10.0))) == ["slow", "fast"]
    assert order(plan(route(slow), Ask(now=NOW, left_s=1.0))) == ["slow"], "it is all there is"


@given(st.lists(st.tuples(st.floats(0, 9), st.integers(0, 9)), min_size=2, max_size=6), st.floats(0, 0.999))
def test_of_two_drawn_the_less_loaded_is_first(loads: list[tuple[float, int]], dice: float) -> None:
    targets = [
        target("m", Known(latency_s=latency_s, in_flight=calls), name=str(number), balance="latency")
        for number, (latency_s, calls) in enumerate(loads)
    ]
    found = plan(route(*targets), Ask(now=NOW, dice=dice))
    assert sorted(order(found)) == sorted(target.upstream_model for target in targets), "all of them, once"
    first = found.choices[0].target.health.load(NOW)
    assert sum(first <= each.health.load(NOW) for each in targets) >= 2, "it is not the most loaded"


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_weights_share_the_calls_out(weights: list[int]) -> None:
    targets = [target("m", name=str(n), balance="weights", weight=weight) for n, weight in enumerate(weights)]
    total = sum(weights)
    firsts = [order(plan(route(*targets), Ask(now=NOW, dice=(number + 0.5) / total)))[0] for number in range(total)]
    assert [firsts.count(str(n)) for n in range(len(weights))] == weights


@given(st.lists(st.text(), min_size=1, max_size=50, unique=True))
def test_a_split_is_sticky_and_the_other_arms_stand_in(users: list[str]) -> None:
    split = route(target("a"), target("b"), models=("a", "b"), split=(("a", 1), ("b", 1)))
    for user in users:
        ask = Ask(now=NOW, tenant="acme", end_user=user)
        first = order(plan(split, ask))
        assert first == order(plan(split, replace_now(ask, NOW + 1000)))
        assert sorted(first) == ["a", "b"]


def replace_now(ask: Ask, now: float) -> Ask:
    return Ask(now=now, tenant=ask.tenant, end_user=ask.end_user)


def test_a_real_health_is_what_a_plan_reads() -> None:
    health = TargetHealth()
    found = plan(route(target("a", health), choose="fastest"), ASK)
    assert order(found) == ["a"]


def test_another_key_of_the_provider_is_no_stand_in_and_another_provider_is() -> None:
    one = target("a")
    same = Target(provider=one.provider, upstream_model="a", prices=FixedPrice(), model="a")
    other = target("b")
    found = plan(route(one, same, other), ASK)
    assert [choice.stand_in for choice in found.choices] == [False, False, True]


def test_who_is_switched_off_further_down_makes_no_stand_in_of_the_first() -> None:
    both = route(target("a"), target("b"))
    assert not plan(both, ASK, is_killed=lambda each: each.model == "b").choices[0].stand_in
    assert plan(both, ASK, is_killed=lambda each: each.model == "a").choices[0].stand_in


def test_a_choice_made_for_the_deadline_is_no_stand_in() -> None:
    slow, fast = target("slow", Known(duration_s=5)), target("fast", Known(duration_s=0.5))
    assert not plan(route(slow, fast), Ask(now=NOW, left_s=1.0)).choices[0].stand_in


def test_who_asked_us_to_wait_goes_last_and_is_asked_all_the_same() -> None:
    resting = Known(up=False)
    resting.state = "closed"
    found = plan(route(target("a", resting), target("b")), ASK)
    assert order(found) == ["b", "a"]
    assert found.choices[0].stand_in, "it stands in for the one that rests"
    assert [choice.why for choice in found.choices] == ["first", "asked us to wait"]
    assert order(plan(route(target("a", resting)), ASK)) == ["a"], "it is all there is"
