"""The explanation of a change adds up to it, exactly, whatever the figures; and puts it where it belongs."""

from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from tenfold.ledger.reports.decompose import FACTORS, explain, mean_cost, rounded_parts
from tenfold.ledger.reports.types import Factor, ModelUse, Parts

NAMES = ("small", "large", "other")
counts = st.integers(0, 10**6)


@st.composite
def model_uses(draw: st.DrawFn) -> ModelUse:
    calls = draw(st.integers(0, 1000))
    paid = draw(st.integers(0, calls))
    figures = {name: draw(counts) if paid else 0 for name in ("input_tokens", "output_tokens")}
    amounts = {name: draw(counts) if paid else 0 for name in ("input_nano", "output_nano")}
    fee = draw(st.integers(-10, 1000)) if paid else 0
    return ModelUse(calls=calls, paid=paid, **figures, **amounts, total_nano=sum(amounts.values()) + fee)


weeks = st.dictionaries(st.sampled_from(NAMES), model_uses(), min_size=1)


def use(calls: int, *, paid: int | None = None, tokens: int = 100, price: int = 2) -> ModelUse:
    """`tokens` in and as many out for each paid call; output costs twice as much."""
    paid = calls if paid is None else paid
    used = paid * tokens
    return ModelUse(
        calls=calls,
        paid=paid,
        input_tokens=used,
        output_tokens=used,
        input_nano=used * price,
        output_nano=2 * used * price,
        total_nano=3 * used * price,
    )


@given(weeks, weeks)
def test_the_parts_add_up_exactly(before: dict[str, ModelUse], after: dict[str, ModelUse]) -> None:
    assume(any(each.calls for each in before.values()) and any(each.calls for each in after.values()))
    parts = explain(before, after)
    assert set(parts) == set(FACTORS)
    assert sum(parts.values(), Fraction(0)) == mean_cost(after) - mean_cost(before)
    backwards = explain(after, before)
    assert {factor: -part for factor, part in backwards.items()} == parts


@given(weeks)
def test_nothing_changed_has_no_parts(week: dict[str, ModelUse]) -> None:
    assume(any(each.calls for each in week.values()))
    doubled = {
        name: ModelUse(**{field: 2 * getattr(each, field) for field in ModelUse.__struct_fields__})
        for name, each in week.items()
    }
    assert set(explain(week, doubled).values()) == {0}


def alone(parts: Parts) -> Factor:
    [factor] = [factor for factor, part in parts.items() if part]
    return factor


def test_each_factor_alone() -> None:
    before = {"small": use(100), "large": use(100, price=20)}
    assert alone(explain(before, {"small": use(100, price=3), "large": use(100, price=20)})) == "price"
    assert alone(explain(before, {"small": use(100, tokens=150), "large": use(100, price=20)})) == "tokens"
    assert alone(explain(before, {"small": use(100), "large": use(100, price=20, paid=50)})) == "cache_share"
    assert alone(explain(before, {"small": use(150), "large": use(50, price=20)})) == "model_mix"


def test_a_model_that_comes_or_goes_is_mix() -> None:
    assert alone(explain({"small": use(100)}, {"large": use(100, price=20, tokens=300)})) == "model_mix"
    assert alone(explain({"small": use(100)}, {"small": use(100), "large": use(10, price=20)})) == "model_mix"


def test_a_model_whose_calls_all_became_free_is_cache() -> None:
    assert alone(explain({"small": use(100)}, {"small": use(100, paid=0)})) == "cache_share"


def test_a_price_that_began_is_price() -> None:
    assert alone(explain({"small": use(100, price=0)}, {"small": use(100)})) == "price"


def test_two_factors_at_once_share_what_they_do_together() -> None:
    """1.5 times the tokens at twice the price: 300 to 900 x the same. Each alone, and half of what both do."""
    parts = explain({"small": use(10, tokens=100, price=1)}, {"small": use(10, tokens=150, price=2)})
    assert parts == {"price": 375, "tokens": 225, "model_mix": 0, "cache_share": 0}


@given(st.lists(st.fractions(-(10**6), 10**6), min_size=4, max_size=4))
def test_rounded_parts_add_up_to_the_rounded_total(parts: list[Fraction]) -> None:
    total = round(sum(parts, Fraction(0)))
    found = rounded_parts(parts, total)
    assert sum(found) == total
    assert all(abs(part - rounded) <= 1 for part, rounded in zip(parts, found, strict=True))
