"""Spans to an OTLP/HTTP collector (JSON encoding, opentelemetry-proto 1.x), one for each call, in batches.

Written out here because the SDK builds a span object per call on the path we keep lean; a batch of finished calls is
all an exporter needs. What the collector does not take is dropped and counted: traces never slow a call.
"""

import logging
import re
from typing import Any, Protocol

from msgspec import json

from tenfold.app.telemetry.names import attributes, duration_s, model_name
from tenfold.core.call import Call
from tenfold.core.errors import UpstreamError

logger = logging.getLogger(__name__)

# W3C Trace Context, section 3.2: ids of zeros are invalid.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_MAX_PENDING = 20_000
_BATCH = 2_000
_SPAN_KIND_SERVER = 2
_STATUS_ERROR = 2


class Post(Protocol):
    async def __call__(self, body: bytes) -> int:
        """POST to the collector; the HTTP status. Raises UpstreamError."""
        ...


class SpanExporter:
    def __init__(self, post: Post, service_name: str, service_version: str) -> None:
        self._post = post
        self._resource = {"attributes": _attributes({"service.name": service_name, "service.version": service_version})}
        self._pending: list[dict[str, Any]] = []
        self._failing = False
        self.dropped = 0

    def take(self, calls: list[Call]) -> None:
        room = max(0, _MAX_PENDING - len(self._pending))
        self.dropped += max(0, len(calls) - room)
        self._pending += [_span(call) for call in calls[:room]]

    async def flush(self) -> None:
        """Send what is pending, batch by batch, until a batch is refused."""
        while self._pending:
            batch, self._pending = self._pending[:_BATCH], self._pending[_BATCH:]
            body = {"resourceSpans": [{"resource": self._resource, "scopeSpans": [_scope(batch)]}]}
            try:
                status = await self._post(json.encode(body))
            except UpstreamError as error:
                self._refused(len(batch), error.message)
                return
            if status >= 300:
                self._refused(len(batch), f"the collector answered {status}")
                return
            self._failing = False

    def _refused(self, spans: int, why: str) -> None:
        self.dropped += spans
        if not self._failing:  # once per outage, not per batch
            logger.warning("spans cannot be sent: %s", why)
        self._failing = True


def _scope(spans: list[dict[str, Any]]) -> dict[str, Any]:
    return {"scope": {"name": "tenfold"}, "spans": spans}


def _span(call: Call) -> dict[str, Any]:
    parent = _TRACEPARENT.fullmatch(call.options.traceparent or "")
    start_ns = int(call.started_at * 1e6) * 1000  # a float of seconds holds microseconds, no more
    span: dict[str, Any] = {
        "traceId": parent.group(1) if parent else call.id.hex,
        "spanId": call.id.hex[16:],
        "name": f"{call.operation} {model_name(call)}".strip(),
        "kind": _SPAN_KIND_SERVER,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + int(duration_s(call) * 1e9)),
        "attributes": _attributes(attributes(call)),
    }
    if parent:
        span["parentSpanId"] = parent.group(2)
    if call.status != "ok":
        span["status"] = {"code": _STATUS_ERROR, "message": call.error.code if call.error else call.status}
    return span


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}  # 64-bit integers are strings in proto3 JSON
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": str(value)}
