"""Spans as an OTLP/HTTP collector takes them: JSON shape, parents, batches, and what happens when it does not."""

import logging
import re
from typing import Any

import pytest
from msgspec import json

from tenfold.app.telemetry import traces
from tenfold.app.telemetry.traces import SpanExporter
from tenfold.core.call import CallOptions
from tenfold.core.errors import BrokenStream, UpstreamUnavailable
from tests.telemetry.calls import SECRETS, finished

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """What a collector was sent. `answers` in turn: a status, or an error; 200 when there are no more."""

    def __init__(self, *answers: int | UpstreamUnavailable) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._answers = list(answers)

    async def __call__(self, body: bytes) -> int:
        answer = self._answers.pop(0) if self._answers else 200
        if isinstance(answer, UpstreamUnavailable):
            raise answer
        self.bodies.append(json.decode(body))
        return answer

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [
            span
            for body in self.bodies
            for resource in body["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


def exporter(collector: Collector) -> SpanExporter:
    return SpanExporter(collector, "tenfold", "1.2.3")


async def exported(*calls: Any) -> list[dict[str, Any]]:
    collector = Collector()
    one = exporter(collector)
    one.take(list(calls))
    await one.flush()
    return collector.spans


def values(span: dict[str, Any]) -> dict[str, Any]:
    """Attributes by name; each has one value of one type."""
    found = {}
    for attribute in span["attributes"]:
        [(kind, value)] = attribute["value"].items()
        assert kind in ("stringValue", "intValue", "boolValue", "doubleValue")
        assert (kind == "intValue") <= isinstance(value, str), "64-bit integers are strings in proto3 JSON"
        found[attribute["key"]] = int(value) if kind == "intValue" else value
    return found


async def test_the_span_of_a_call() -> None:
    call = finished()
    [span] = await exported(call)
    assert span["name"] == "chat m"
    assert span["kind"] == 2
    assert re.fullmatch(r"[0-9a-f]{32}", span["traceId"])
    assert re.fullmatch(r"[0-9a-f]{16}", span["spanId"])
    assert "parentSpanId" not in span
    assert "status" not in span
    assert span["startTimeUnixNano"] == "1767225600250000000"
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == pytest.approx(500_000_000, abs=1)
    said = values(span)
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.request.model"] == "m"
    assert said["gen_ai.usage.input_tokens"] == 12
    assert said["tenfold.request_id"] == call.request_id
    assert not [secret for secret in SECRETS if secret in str(span)]


async def test_the_resource_names_the_service() -> None:
    collector = Collector()
    one = exporter(collector)
    one.take([finished()])
    await one.flush()
    [resource] = collector.bodies[0]["resourceSpans"]
    assert resource["resource"]["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "tenfold"}},
        {"key": "service.version", "value": {"stringValue": "1.2.3"}},
    ]
    assert [scope["scope"]["name"] for scope in resource["scopeSpans"]] == ["tenfold"]


async def test_a_span_goes_under_the_clients() -> None:
    [span] = await exported(finished(options=CallOptions(traceparent=PARENT)))
    assert span["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert span["parentSpanId"] == "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        PARENT + "-more",
        PARENT.upper(),
        PARENT.replace("00-4", "ff-4"),
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    ],
)
async def test_a_parent_that_is_none_begins_a_trace(traceparent: str) -> None:
    call = finished(options=CallOptions(traceparent=traceparent))
    [span] = await exported(call)
    assert span["traceId"] == call.id.hex
    assert "parentSpanId" not in span


async def test_a_call_that_failed_says_so() -> None:
    cut = finished(status="cut", error=BrokenStream("It broke."))
    cancelled = finished(status="cancelled")
    first, second = await exported(cut, cancelled)
    assert first["status"] == {"code": 2, "message": "stream_interrupted"}
    assert second["status"] == {"code": 2, "message": "cancelled"}
    assert values(first)["error.type"] == "stream_interrupted"


async def test_every_call_has_a_span_of_its_own() -> None:
    spans = await exported(*[finished() for _ in range(100)])
    assert len({span["spanId"] for span in spans}) == 100


async def test_spans_go_out_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_BATCH", 10)
    collector = Collector()
    one = exporter(collector)
    one.take([finished() for _ in range(25)])
    await one.flush()
    assert len(collector.bodies) == 3
    assert len(collector.spans) == 25
    await one.flush()
    assert len(collector.bodies) == 3


@pytest.mark.parametrize("answer", [400, 503, UpstreamUnavailable("Nobody there.")])
async def test_what_the_collector_does_not_take_is_dropped_and_told_once(
    answer: int | UpstreamUnavailable, caplog: pytest.LogCaptureFixture
) -> None:
    collector = Collector(answer, answer, 200, answer)
    one = exporter(collector)
    with caplog.at_level(logging.WARNING):
        for dropped in (2, 4, 4, 6):
            one.take([finished(), finished()])
            await one.flush()
            assert one.dropped == dropped
    assert len(caplog.records) == 2, "once for each outage"


async def test_a_collector_that_is_away_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_MAX_PENDING", 10)
    one = exporter(Collector())
    for _ in range(5):
        one.take([finished() for _ in range(4)])
    assert one.dropped == 10
