"""Gauges that every process tells of the whole machine are not added up in the exposition; counters are."""

from pathlib import Path

from msgspec import json

from tenfold.app.telemetry.metrics import Metrics, Snapshot
from tests.telemetry.exposition import parse

SLO = (("slo", "end_to_end"), ("pathway", "end_to_end"), ("objective", "availability"))


def test_the_same_gauge_of_two_processes_stands_once(tmp_path: Path) -> None:
    other = Snapshot()
    other.put("tenfold_slo_budget_left", SLO, -2.5)
    other.put("tenfold_slo_burn_rate", (*SLO, ("window", "5m")), 14.5)
    other.put("tenfold_slo_calls_total", SLO, 7)
    (tmp_path / "1.json").write_bytes(json.encode(other))
    one = Metrics(tmp_path)
    one.add_source(
        lambda: [
            ("tenfold_slo_budget_left", SLO, -2.5),
            ("tenfold_slo_burn_rate", (*SLO, ("window", "5m")), 14.0),
            ("tenfold_slo_calls_total", SLO, 5),
        ]
    )
    families = parse(one.expose())
    assert families["tenfold_slo_budget_left"].value("tenfold_slo_budget_left") == -2.5
    assert families["tenfold_slo_burn_rate"].value("tenfold_slo_burn_rate") == 14.5
    assert families["tenfold_slo_calls_total"].value("tenfold_slo_calls_total") == 12
