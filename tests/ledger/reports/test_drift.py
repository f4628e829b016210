"""Drift of one feature: what is a finding, what is too little to say, and that what is shown adds up."""

from datetime import UTC, datetime

from hypothesis import assume, given

from tenfold.ledger.reports.buckets import bucket_of
from tenfold.ledger.reports.drift import FEWEST_CALLS, drift, drift_report
from tenfold.ledger.reports.types import FeatureUse, ModelUse, Range
from tests.ledger.reports.test_decompose import use, weeks

RANGES = (
    Range(since=datetime(2026, 8, 1, tzinfo=UTC), until=datetime(2026, 8, 8, tzinfo=UTC)),
    Range(since=datetime(2026, 8, 8, tzinfo=UTC), until=datetime(2026, 8, 15, tzinfo=UTC)),
)


def week(calls: int, price: int = 2, **models: ModelUse) -> FeatureUse:
    each = use(calls, price=price)
    nano = each.total_nano // max(1, calls)
    return FeatureUse(models={"small": each, **models}, costs={bucket_of(nano): calls})


def test_more_than_15_percent_is_a_finding() -> None:
    for price, verdict in [(114, "steady"), (115, "steady"), (116, "changed"), (86, "steady"), (84, "changed")]:
        found = drift("search", week(100, 100), week(100, price), 1500)
        assert found.verdict == verdict, price
        assert found.change_basis_points == (price - 100) * 100


def test_a_finding_is_explained() -> None:
    found = drift("search", week(100, 100), week(100, 150), 1500)
    assert {part.factor: (part.nano, part.basis_points) for part in found.parts} == {
        "price": (15_000, 5000),
        "model_mix": (0, 0),
        "tokens": (0, 0),
        "cache_share": (0, 0),
    }
    assert (found.before.mean_nano, found.after.mean_nano, found.change_nano) == (30_000, 45_000, 15_000)
    assert found.after.p50_nano is not None
    assert abs(found.after.p50_nano - 45_000) < 45_000 * 0.04


def test_few_calls_say_nothing() -> None:
    few = FEWEST_CALLS - 1
    nothing = FeatureUse(models={}, costs={}, unpriced=7)
    for before, after, verdict in [
        (week(few), week(100, 9), "too_few"),
        (week(100), week(few, 9), "too_few"),
        (nothing, week(100), "new"),
        (week(100), nothing, "gone"),
        (nothing, week(few), "too_few"),
        (nothing, nothing, "too_few"),
    ]:
        assert drift(None, before, after, 1500).verdict == verdict
    found = drift(None, week(100), nothing, 1500)
    assert (found.after.calls, found.after.unpriced, found.after.mean_nano) == (0, 7, None)
    assert (found.change_nano, found.parts) == (None, [])


def test_a_cost_out_of_nothing_has_no_percentage() -> None:
    found = drift(None, week(100, 0), week(100, 5), 1500)
    assert (found.verdict, found.change_basis_points) == ("changed", None)
    assert [part.basis_points for part in found.parts] == [None] * 4
    assert drift(None, week(100, 0), week(100, 0), 1500).verdict == "steady"


def test_findings_come_first() -> None:
    before = {"a": week(100), "b": week(100), "": week(100), "d": week(3)}
    after = {"a": week(100), "b": week(100, 3), "": week(100, 9), "d": week(3, 90)}
    report = drift_report(before, after, RANGES)
    assert [each.feature for each in report.features] == [None, "b", "d", "a"]
    assert report.findings == 2


@given(weeks, weeks)
def test_what_is_shown_adds_up(before: dict[str, ModelUse], after: dict[str, ModelUse]) -> None:
    assume(any(each.calls for each in before.values()) and any(each.calls for each in after.values()))
    found = drift("f", FeatureUse(models=before, costs={}), FeatureUse(models=after, costs={}), 1500)
    assert found.after.mean_nano is not None
    assert found.before.mean_nano is not None
    assert found.change_nano == found.after.mean_nano - found.before.mean_nano
    assert sum(part.nano for part in found.parts) == found.change_nano
    if found.change_basis_points is not None:
        assert sum(part.basis_points or 0 for part in found.parts) == found.change_basis_points
