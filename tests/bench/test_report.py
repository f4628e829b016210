"""The tables say what was measured, and only that."""

import json

import pytest
from bench.load import Load
from bench.machine import cores, this_machine
from bench.procstat import Resident
from bench.report import Report, as_json, as_markdown, goals
from bench.results import (
    Cold,
    Compared,
    Failed,
    GatewayResults,
    InFlight,
    Level,
    Measured,
    Paced,
    Round,
    Sample,
    StreamTimes,
)


def load(
    *, per_second: float = 1000, p50_ms: float = 1, p99_ms: float = 2, errors: int = 0, connections: int = 64
) -> Load:
    return Load(
        connections=connections,
        seconds=5,
        answered=int(5 * per_second),
        errors=errors,
        per_second=per_second,
        p50_ms=p50_ms,
        p95_ms=p99_ms,
        p99_ms=p99_ms,
        max_ms=p99_ms,
    )


def one_round(cpu: float, unit_cpu: float, *, per_second: float = 1000, p50_ms: float = 1, errors: int = 0) -> Round:
    return Round(
        direct=Sample(load=load(p50_ms=0.25, p99_ms=0.5)),
        unit=Sample(load=load(), cpu_s_per_1k=unit_cpu, rss_peak_mb=15),
        gateway=Sample(
            load=load(per_second=per_second, p50_ms=p50_ms, errors=errors),
            cpu_s_per_1k=cpu,
            companion_cpu_s_per_1k=0.02,
            rss_peak_mb=140,
            upstream_calls_each=1,
            other_cores=0.1,
        ),
    )


def times(first_ms: float, cpu: float | None) -> StreamTimes:
    return StreamTimes(
        streams=96,
        first_p50_ms=first_ms,
        first_p95_ms=2 * first_ms,
        total_p50_ms=640,
        events_each=64,
        reads_each=63.5,
        cpu_us_per_event=cpu,
    )


def in_flight(*p95_ms_by_thousand: float, errors: int = 0) -> InFlight:
    return InFlight(
        levels=[
            Level(sample=Sample(load=load(p99_ms=p95_ms, connections=1000 * number, errors=errors)))
            for number, p95_ms in enumerate(p95_ms_by_thousand, 1)
        ]
    )


def results(**measures: Measured) -> GatewayResults:
    return GatewayResults(
        name="tenfold",
        version="1.2",
        idle=[
            Resident(pid=1, command="python -m tenfold.providers.offline.embed_worker", rss_mb=170.0),
            Resident(pid=2, command="tenfold up", rss_mb=70.0),
        ],
        idle_companions=[Resident(pid=3, command="postgres", rss_mb=30.0)],
        measures=dict(measures),
    )


def report(*gateways: GatewayResults) -> Report:
    machine = this_machine(*cores())
    return Report(
        machine=machine, command="make bench", left_out={"litellm": "it is not installed"}, gateways=list(gateways)
    )


def test_cpu_is_the_median_and_latency_that_of_the_least_disturbed_round() -> None:
    compared = Compared(
        rounds=[
            one_round(0.06, 0.02),
            one_round(0.08, 0.01, per_second=3000, p50_ms=0.5),
            one_round(0.09, 0.02, errors=2),
        ]
    )
    assert compared.cpu_s_per_1k == 0.08
    assert compared.unit_cpu_s_per_1k == 0.02
    assert compared.ratio == pytest.approx(4)
    assert compared.added_ms(lambda one: one.p50_ms) == pytest.approx(0.25)
    assert compared.errors == 2


@pytest.mark.parametrize(
    ("flight", "held"),
    [
        (in_flight(1100, 1400), 2000),
        (in_flight(1100, 1501), 1000),
        (in_flight(1600), 0),
        (in_flight(1100, errors=1), 0),
    ],
)
def test_a_level_is_held_within_its_time_and_without_an_error(flight: InFlight, held: int) -> None:
    assert flight.held == held


def test_tables_have_the_columns_that_were_measured() -> None:
    text = as_markdown(report(results(c64=Compared(rounds=[one_round(0.07, 0.014)]))))
    assert "| tenfold 1.2 | 0.0700 (5.0x) | 1,000 | 0.75 / 1.50 / 1.50 | 240 / 240 |" in text
    assert "SSE" not in text
    assert "litellm: it is not installed" in text
    assert "0.0200 CPU s per 1,000 in c64, 30 MB idle" in text
    assert "make bench" in text
    assert "Other work on the machine meanwhile: 0.10 to 0.10 cores." in text


def test_goals_are_judged_where_they_were_measured() -> None:
    met = {
        goal.text: goal.reached is not None and goal.reached <= goal.limit
        for goal in goals(
            results(
                c64=Compared(rounds=[one_round(0.07, 0.014)]),
                c1=Compared(rounds=[one_round(0.07, 0.014, p50_ms=0.5)]),
                paced=Paced(direct=times(0.2, None), unit=times(0.4, 16), gateway=times(1.0, 48)),
                conc=in_flight(1100, 1600),
                cold=Cold(first_s=4, warm_s=[1.5, 1.1, 2.5]),
            )
        )
    }
    assert met == {
        "CPU of a proxied chat completion": True,
        "added at one connection, p50": True,
        "added at one connection, p99": False,
        "paced stream, first event added, p50": False,
        "2,000 in flight at a 1 s upstream, p95": False,
        "the same, failed calls": True,
        "cold start, warm": True,
        "idle RSS, largest process": True,
    }


def test_a_level_that_was_never_reached_is_a_goal_that_is_missed() -> None:
    judged = {goal.text: goal for goal in goals(results(conc=in_flight(1750, errors=3)))}
    assert judged["2,000 in flight at a 1 s upstream, p95"].reached == 1.75
    assert judged["the same, failed calls"].reached == 3


def test_what_failed_is_told_in_words_and_in_json() -> None:
    shown = report(
        results(sse=Failed(reason="all streams were refused"), c64=Compared(rounds=[one_round(1, 1, errors=3)]))
    )
    text = as_markdown(shown)
    assert "tenfold, sse: all streams were refused." in text
    assert "tenfold, c64: 3 calls failed." in text
    values = json.loads(as_json(shown))
    assert values["gateways"][0]["quoted"]["sse"] == {"failed": "all streams were refused"}
    assert values["gateways"][0]["quoted"]["c64"]["x_nginx"] == 1
    assert values["gateways"][0]["measures"]["c64"]["rounds"][0]["gateway"]["load"]["errors"] == 3


def test_every_kind_of_figure_is_quoted_in_json() -> None:
    shown = report(
        results(
            paced=Paced(direct=times(0.2, None), unit=times(0.4, 16), gateway=times(0.7, 48)),
            conc=in_flight(1100, 1600),
            cold=Cold(first_s=4, warm_s=[1.5, 1.1, 2.5]),
        )
    )
    quoted = json.loads(as_json(shown))["gateways"][0]["quoted"]
    assert quoted["paced"]["first_event_added_p50_ms"] == 0.5
    assert quoted["conc"] == {"held": 1000}
    assert quoted["cold"] == {"warm_s": 1.5, "first_s": 4}
    text = as_markdown(shown)
    assert "| 0.50 / 1.00 | 48 (3.0x) | 1,000 (at 2,000: p95 1.60 s, 0 errors) | 1.50 / 4.00 |" in text
