"""Stage 8, respond: the headers every reply carries, and error replies in the client's own dialect."""

from tenfold.core.call import Call
from tenfold.core.errors import TenfoldError, UpstreamError
from tenfold.core.money import format_usd
from tenfold.inference.ports import ClientDialect, Responder, Sender

JSON = ("content-type", "application/json")
EVENT_STREAM = ("content-type", "text/event-stream; charset=utf-8")
_NO_BUFFERING = ("x-accel-buffering", "no")  # nginx and kin would hold events back
_ID_HEADERS = frozenset(("x-request-id", "request-id", "x-goog-request-id"))  # an upstream's has its own header
_NO_STORE = ("cache-control", "no-cache")


def whole(call: Call, body: bytes, responder: Responder) -> None:
    """A good reply in one piece."""
    call.status, call.http_status = "ok", 200
    responder.whole(200, _whole_headers(call), body)


def begin_stream(call: Call, responder: Responder) -> Sender:
    """The status line and headers of a stream; whether it ends well is not known yet."""
    call.http_status = 200
    return responder.stream(200, [EVENT_STREAM, _NO_STORE, _NO_BUFFERING, *_about(call)])


def _whole_headers(call: Call) -> list[tuple[str, str]]:
    headers = [JSON, *_about(call)]
    if call.cost_nano is not None:
        headers.append(("tenfold-cost-usd", format_usd(call.cost_nano)))
    return headers


def fail(call: Call, error: TenfoldError, dialect: ClientDialect, responder: Responder) -> None:
    """The error as this dialect's clients know it; an upstream's own status is kept."""
    call.http_status = error.status
    headers = [JSON, *dict((*retry_headers(error), *_about(call))).items()]  # both may carry the upstream's limits
    responder.whole(error.status, headers, dialect.encode_error(error, call.request_id))


def retry_headers(error: TenfoldError) -> list[tuple[str, str]]:
    """`Retry-After` (whole seconds, RFC 9110 section 10.2.3) and what the upstream said of its limits."""
    headers = [h for h in error.headers if h[0] not in _ID_HEADERS] if isinstance(error, UpstreamError) else []
    if error.retry_after_s is not None and not any(name == "retry-after" for name, _ in headers):
        headers.append(("retry-after", str(max(1, -int(-error.retry_after_s // 1)))))
    return headers


def request_id_headers(dialect: str, request_id: str) -> list[tuple[str, str]]:
    """Our id, also under the name where the dialect's own SDKs look for one."""
    headers = [("x-request-id", request_id)]
    if dialect == "anthropic":
        headers.append(("request-id", request_id))
    return headers


def _about(call: Call) -> list[tuple[str, str]]:
    cache = f"hit; layer=memory; age={call.cached_age_s}" if call.cache_state == "hit" else call.cache_state
    headers = [*request_id_headers(call.dialect, call.request_id), ("tenfold-cache", cache)]
    if call.provider:
        headers.append(("tenfold-provider", call.provider))
        headers.append(("tenfold-model", call.upstream_model or ""))
    if call.upstream_request_id:
        headers.append(("tenfold-upstream-request-id", call.upstream_request_id))
    if call.ignored:
        headers.append(("tenfold-ignored-params", ", ".join(call.ignored)))
    headers += call.carried
    return headers
