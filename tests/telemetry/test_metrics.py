"""The exposition: readable, bounded, and the sum of all processes."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from tenfold.app.telemetry import metrics
from tenfold.app.telemetry.metrics import HELP, Metrics, Snapshot
from tenfold.core.call import CallOptions
from tenfold.core.errors import ModelNotFound
from tests.support.pipeline import principal
from tests.telemetry.calls import finished
from tests.telemetry.exposition import Family, parse

CALLS = "tenfold_calls_total"
DURATION = "gen_ai_client_operation_duration_seconds"
FIRST = "gen_ai_client_operation_time_to_first_chunk_seconds"
TOKENS = "gen_ai_client_token_usage"
DEAD = "4194399"  # above the largest process id of Linux


def told(one: Metrics) -> dict[str, Family]:
    return parse(one.expose())


def test_an_idle_process_exposes_every_metric(tmp_path: Path) -> None:
    families = told(Metrics(tmp_path))
    assert families.keys() == HELP.keys()
    assert families["process_resident_memory_bytes"].value("process_resident_memory_bytes") > 1_000_000


def test_calls_are_counted_by_what_they_are(tmp_path: Path) -> None:
    one = Metrics(tmp_path)
    one.take([finished(), finished(), finished(cache_state="hit", cost_nano=0)])
    one.take([finished(status="cut", estimated=True), finished(cost_nano=None, first_byte=None)])
    families = told(one)
    calls = families[CALLS]
    assert calls.value(CALLS, status="ok", cache="bypass") == 3
    assert calls.value(CALLS, status="ok", cache="hit") == 1
    assert calls.value(CALLS, status="cut") == 1
    whose = {
        "endpoint": "chat",
        "gen_ai_request_model": "m",
        "gen_ai_provider_name": "main",
        "tenant": "acme",
        "status": "cut",
        "cache": "bypass",
    }
    assert (CALLS, frozenset(whose.items())) in calls.samples
    assert families["tenfold_cost_usd_total"].value("tenfold_cost_usd_total") == pytest.approx(3 * 0.000018)
    assert families["tenfold_unpriced_calls_total"].value("tenfold_unpriced_calls_total") == 1
    assert families["tenfold_estimated_calls_total"].value("tenfold_estimated_calls_total") == 1


def test_times_and_tokens_are_told_as_histograms(tmp_path: Path) -> None:
    one = Metrics(tmp_path)
    one.take([finished(), finished(first_byte=None), finished(usage=None, cost_nano=None)])
    families = told(one)
    assert families[DURATION].value(f"{DURATION}_count") == 3
    assert families[DURATION].value(f"{DURATION}_sum") == pytest.approx(1.5)
    assert families[DURATION].value(f"{DURATION}_bucket", le="0.25") == 0
    assert families[FIRST].value(f"{FIRST}_count") == 2
    assert families[TOKENS].value(f"{TOKENS}_sum", gen_ai_token_type="input") == 24
    assert families[TOKENS].value(f"{TOKENS}_sum", gen_ai_token_type="output") == 6
    assert families[TOKENS].value(f"{TOKENS}_bucket", gen_ai_token_type="output", le="4") == 2


def test_refused_calls_do_not_make_series_of_made_up_names(tmp_path: Path) -> None:
    one = Metrics(tmp_path)
    for number in range(50):
        one.take([finished(model=f"nonsense-{number}", provider=None, status="error", error=ModelNotFound("No."))])
    samples = told(one)[CALLS].samples
    assert list(samples.values()) == [50]


def test_steps_of_fallback_chains_and_requests_to_providers_are_counted(tmp_path: Path) -> None:
    one = Metrics(tmp_path)
    support = CallOptions(feature="support")
    one.take(
        [
            finished(attempts=1),
            finished(attempts=2, degraded=("fallback",), options=support),
            finished(attempts=3, degraded=("fallback", "stale"), options=support),
            finished(degraded=("template",)),
        ]
    )
    families = told(one)
    steps = families["tenfold_degraded_total"]
    assert steps.value("tenfold_degraded_total", step="fallback", feature="support") == 2
    assert steps.value("tenfold_degraded_total", step="stale", feature="support") == 1
    assert steps.value("tenfold_degraded_total", step="template", feature="") == 1
    requests = families["tenfold_provider_requests_total"]
    assert requests.value("tenfold_provider_requests_total", gen_ai_provider_name="main") == 6


def test_features_that_clients_make_up_do_not_make_steps_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_MAX_SERIES", 10)
    one = Metrics(tmp_path)
    one.take([finished(degraded=("stale",), options=CallOptions(feature=f"f{n}")) for n in range(100)])
    steps = told(one)["tenfold_degraded_total"]
    assert len(steps.samples) == 11
    assert steps.value("tenfold_degraded_total", step="stale", feature="other") == 90


def test_series_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_MAX_SERIES", 10)
    one = Metrics(tmp_path)
    for number in range(100):
        one.take([finished(principal(f"tenant-{number}"))])
    calls = told(one)[CALLS]
    assert len(calls.samples) == 11
    assert sum(calls.samples.values()) == 100
    assert calls.value(CALLS, tenant="other", gen_ai_request_model="other") == 90


def test_what_others_count_is_asked_for_at_each_scrape(tmp_path: Path) -> None:
    one = Metrics(tmp_path)
    hits = iter([1, 5])
    one.add_source(lambda: [("tenfold_cache_hits_total", (("layer", "memory"),), next(hits))])
    name = "tenfold_cache_hits_total"
    assert [told(one)[name].value(name, layer="memory") for _ in range(2)] == [1, 5]


def leave_snapshot(folder: Path, pid: str) -> None:
    """What another process, which counted one call and has one in flight, left behind."""
    other = Metrics(folder / "other")
    (folder / "other").mkdir()
    other.take([finished()])
    other.add_source(lambda: [("tenfold_calls_in_flight", (), 1)])
    other.save()
    [snapshot] = (folder / "other").glob("*.json")
    snapshot.rename(folder / f"{pid}.json")


def test_the_processes_of_a_service_add_up(tmp_path: Path) -> None:
    one = Metrics(tmp_path)
    one.take([finished(), finished(status="error")])
    one.add_source(lambda: [("tenfold_calls_in_flight", (), 2)])
    alone = told(one)
    leave_snapshot(tmp_path, str(os.getppid()))
    families = told(one)
    assert families[CALLS].value(CALLS, status="ok") == 2
    assert families[CALLS].value(CALLS, status="error") == 1
    assert families[DURATION].value(f"{DURATION}_count") == 3
    assert families["tenfold_calls_in_flight"].value("tenfold_calls_in_flight") == 3
    memory = "process_resident_memory_bytes"
    assert families[memory].value(memory) > 1.5 * alone[memory].value(memory)


def test_a_process_that_died_is_counted_and_does_nothing_any_more(tmp_path: Path) -> None:
    one = Metrics(tmp_path)
    leave_snapshot(tmp_path, DEAD)
    families = told(one)
    assert families[CALLS].value(CALLS) == 1
    assert families["tenfold_calls_in_flight"].samples == {}


def test_a_process_does_not_count_its_own_snapshot_twice(tmp_path: Path) -> None:
    one = Metrics(tmp_path)
    one.take([finished()])
    one.save()
    one.save()
    assert told(one)[CALLS].value(CALLS) == 1
    [file] = tmp_path.iterdir()
    assert json.decode(file.read_bytes(), type=Snapshot).values[CALLS]


@pytest.mark.parametrize("rubbish", [b"", b"{", b'{"values":3}'])
def test_a_snapshot_that_cannot_be_read_is_left_out(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "1.json").write_bytes(rubbish)
    assert told(Metrics(tmp_path)).keys() == HELP.keys()


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    one = Metrics(tmp_path / "gone")
    one.save()
    one.take([finished()])
    assert told(one)[CALLS].value(CALLS) == 1


@settings(deadline=None, max_examples=50)
@given(name=st.text(max_size=40))
def test_any_name_can_be_exposed(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    one = Metrics(tmp_path_factory.getbasetemp())
    one.take([finished(model=name)])
    assert told(one)[CALLS].value(CALLS, gen_ai_request_model=name) == 1
