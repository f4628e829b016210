"""Which features cost more or less a request than before, by how much, and why. Pure."""

from collections.abc import Mapping
from fractions import Fraction

from tenfold.ledger.reports.buckets import percentile
from tenfold.ledger.reports.decompose import FACTORS, explain, mean_cost, rounded_parts
from tenfold.ledger.reports.types import CostFigures, Drift, DriftReport, FeatureUse, Part, Range, Verdict

THRESHOLD_BASIS_POINTS = 1500  # 15 %
FEWEST_CALLS = 30  # with fewer the mean is chance

_NOTHING = FeatureUse(models={}, costs={})
_HUNDRED_PERCENT = 10_000


def drift_report(
    before: Mapping[str, FeatureUse],
    after: Mapping[str, FeatureUse],
    ranges: tuple[Range, Range],
    threshold_basis_points: int = THRESHOLD_BASIS_POINTS,
) -> DriftReport:
    features = [
        drift(feature or None, before.get(feature, _NOTHING), after.get(feature, _NOTHING), threshold_basis_points)
        for feature in {**before, **after}
    ]
    features.sort(key=lambda each: (each.verdict != "changed", -abs(each.change_nano or 0), each.feature or ""))
    return DriftReport(
        before=ranges[0],
        after=ranges[1],
        findings=sum(each.verdict == "changed" for each in features),
        features=features,
    )


def drift(feature: str | None, before: FeatureUse, after: FeatureUse, threshold_basis_points: int) -> Drift:
    old, new = _figures(before), _figures(after)
    change_nano = change = None
    parts: list[Part] = []
    if old.mean_nano is not None and new.mean_nano is not None:
        change_nano = new.mean_nano - old.mean_nano
        change, parts = _explained(before, after, change_nano)
    return Drift(
        feature=feature,
        verdict=_verdict(before, after, threshold_basis_points),
        before=old,
        after=new,
        change_nano=change_nano,
        change_basis_points=change,
        parts=parts,
    )


def _explained(before: FeatureUse, after: FeatureUse, change_nano: int) -> tuple[int | None, list[Part]]:
    exact = explain(before.models, after.models)
    amounts = rounded_parts([exact[factor] for factor in FACTORS], change_nano)
    mean = mean_cost(before.models)
    change, shares = None, [None] * len(FACTORS)
    if mean:
        relative = [exact[factor] / mean * _HUNDRED_PERCENT for factor in FACTORS]
        change = round(sum(relative, Fraction(0)))
        shares = rounded_parts(relative, change)  # type: ignore[assignment]
    return change, [
        Part(factor=factor, nano=nano, basis_points=share)
        for factor, nano, share in zip(FACTORS, amounts, shares, strict=True)
    ]


def _figures(use: FeatureUse) -> CostFigures:
    calls = sum(model.calls for model in use.models.values())
    return CostFigures(
        calls=calls,
        unpriced=use.unpriced,
        mean_nano=round(mean_cost(use.models)) if calls else None,
        p50_nano=percentile(use.costs, 50),
        p95_nano=percentile(use.costs, 95),
        p99_nano=percentile(use.costs, 99),
    )


def _verdict(before: FeatureUse, after: FeatureUse, threshold_basis_points: int) -> Verdict:
    calls = [sum(model.calls for model in use.models.values()) for use in (before, after)]
    if calls[0] == 0 and calls[1] >= FEWEST_CALLS:
        return "new"
    if calls[1] == 0 and calls[0] >= FEWEST_CALLS:
        return "gone"
    if min(calls) < FEWEST_CALLS:
        return "too_few"
    old, new = mean_cost(before.models), mean_cost(after.models)
    return "changed" if abs(new - old) * _HUNDRED_PERCENT > old * threshold_basis_points else "steady"
