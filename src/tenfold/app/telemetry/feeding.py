"""The feed of finished calls, with those that the settings want told: the call log and the collector of traces."""

import sys

from tenfold import __version__
from tenfold.app.host import Host
from tenfold.app.setting_tables import TelemetrySettings
from tenfold.app.telemetry.feed import CallFeed, Tap
from tenfold.app.telemetry.logs import CallLog
from tenfold.app.telemetry.metrics import Metrics
from tenfold.app.telemetry.traces import Post, SpanExporter
from tenfold.providers.transport import HttpClient, Origin

_EVERY_S = 1.0


def open_feed(host: Host, telemetry: TelemetrySettings, metrics: Metrics, *taps: Tap) -> CallFeed:
    told = [metrics.take, *taps]
    if telemetry.log_calls and telemetry.log_level in ("debug", "info"):
        call_log = CallLog(sys.stdout.fileno())
        told.append(call_log.take)
        host.finish(call_log.flush)
        host.repeat("app.call_log", call_log.flush, _EVERY_S)  # what a slow reader left
        metrics.add_source(lambda: [("tenfold_log_lines_dropped_total", (), call_log.dropped)])
    if telemetry.otlp_endpoint:
        post = _collector(host, telemetry.otlp_endpoint, telemetry.otlp_headers)
        exporter = SpanExporter(post, telemetry.service_name, __version__)
        told.append(exporter.take)
        host.finish(exporter.flush)
        host.repeat("app.traces", exporter.flush, _EVERY_S)
    feed = CallFeed(told)
    host.finish(feed.flush)
    host.keep("app.feed", feed.run())
    return feed


def _collector(host: Host, endpoint: str, own_headers: dict[str, str]) -> Post:
    client = HttpClient(Origin.parse(endpoint))
    host.finish(client.aclose)
    own = ((name.lower().encode(), value.encode()) for name, value in own_headers.items())
    prepared = client.prepared([(b"content-type", b"application/json"), *own])

    async def post(body: bytes) -> int:
        exchange = await client.post("/v1/traces", [], body, prepared=prepared)
        await exchange.read()
        return exchange.status

    return post
