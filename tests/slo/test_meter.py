"""What counts for which objective: good calls by their time, failures by whose fault they are."""

from typing import Any

import pytest

from tenfold.app.slo.counts import CALLS, FAILED, SLOW
from tenfold.app.slo.meter import Meter
from tenfold.app.slo.types import Slo, slos_of
from tenfold.core.call import Call, CallOptions
from tenfold.core.errors import (
    FeatureOff,
    InvalidRequest,
    Overloaded,
    RateLimited,
    TenfoldError,
    UpstreamError,
    UpstreamTimeout,
)
from tests.telemetry.calls import finished

WHOLE = Slo(name="whole", pathway="end_to_end", budget_s=1.5, availability=0.999)


def counted(meter: Meter, name: str) -> tuple[int, int, int]:
    counts = meter.fetch()[name]
    return counts[CALLS], counts[FAILED], counts[SLOW]


def took(seconds: float, **facts: Any) -> Call:
    call = finished(**facts)
    call.finished = call.started + seconds
    return call


def refused(error: TenfoldError) -> Call:
    return finished(status="error", http_status=error.status, error=error)


def test_the_stages_of_a_call_are_told_apart() -> None:
    meter = Meter(slos_of({}))
    call = took(2.0, auth_s=0.000002)
    call.asked = call.started + 1.0
    meter.take([call, took(0.1)])
    calls = {name: (counts[CALLS], counts[SLOW]) for name, counts in meter.fetch().items()}
    assert calls == {"auth": (1, 0), "search": (0, 0), "retrieve": (0, 0), "generate": (1, 0), "end_to_end": (2, 1)}


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError("The key is revoked.", status=401),
        UpstreamError("Slow down.", status=429),
        UpstreamTimeout("Nothing came."),
        Overloaded("Full."),
        FeatureOff("Off."),
        TenfoldError("A bug."),
    ],
)
def test_failures_of_ours_and_of_providers_count(error: TenfoldError) -> None:
    meter = Meter([WHOLE])
    meter.take([refused(error)])
    assert counted(meter, "whole") == (1, 1, 0)


@pytest.mark.parametrize(
    "call",
    [
        refused(InvalidRequest("No model.")),
        refused(RateLimited("Too many.")),
        refused(UpstreamError("No such parameter.", status=400)),
        finished(status="cancelled", http_status=499),
        finished(status="cancelled", http_status=200),
    ],
)
def test_what_the_client_did_does_not(call: Call) -> None:
    meter = Meter([WHOLE])
    meter.take([call])
    assert counted(meter, "whole") == (0, 0, 0)


def test_a_cut_stream_is_a_failure_though_it_began_well() -> None:
    meter = Meter([WHOLE])
    meter.take([finished(status="cut", http_status=200)])
    assert counted(meter, "whole") == (1, 1, 0)


def test_calls_from_inside_have_no_end_to_end_of_their_own() -> None:
    meter = Meter([WHOLE, Slo(name="generate", pathway="generate", budget_s=1)])
    call = took(1.0, dialect="canonical")
    call.asked = call.started
    meter.take([call])
    fetched = meter.fetch()
    assert (fetched["whole"][CALLS], fetched["generate"][CALLS]) == (0, 1)


def test_an_objective_counts_its_own_feature_and_model() -> None:
    meter = Meter(
        [
            WHOLE,
            Slo(name="support", pathway="end_to_end", budget_s=5, feature="support"),
            Slo(name="large", pathway="end_to_end", budget_s=5, model="large"),
        ]
    )
    support = CallOptions(feature="support")
    meter.take([took(2.0), took(2.0, options=support), took(2.0, options=support, model="large")])
    fetched = meter.fetch()
    assert {name: (counts[CALLS], counts[SLOW]) for name, counts in fetched.items()} == {
        "whole": (3, 3),
        "support": (2, 0),
        "large": (1, 0),
    }


def test_others_report_pathways_that_no_call_has() -> None:
    meter = Meter([Slo(name="search", pathway="search", budget_s=0.05), WHOLE])
    recorder = meter.recorder("assistant")
    recorder.took("search", 0.01)
    recorder.took("end_to_end", 3.0, good=False)
    recorder.took("retrieve", 0.1)  # nobody asked for it
    fetched = meter.fetch()
    assert (fetched["search"][CALLS], fetched["whole"][FAILED]) == (1, 1)


def test_what_is_fetched_is_fetched_once_and_stays_in_the_totals() -> None:
    meter = Meter([WHOLE])
    for _ in range(3):
        meter.take([took(0.1), took(2.0), refused(Overloaded("Full."))])
        assert counted(meter, "whole") == (3, 1, 1)
    assert counted(meter, "whole") == (0, 0, 0)
    assert [(kind, calls, good) for _, kind, calls, good in meter.figures()] == [
        ("latency", 6, 3),
        ("availability", 9, 6),
    ]
