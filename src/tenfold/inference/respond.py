"""Stage 8, respond: the headers every reply carries, and error replies in the client's own dialect."""

from tenfold.core.call import Call
from tenfold.core.errors import TenfoldError, UpstreamError
from tenfold.core.headers import header_lines
from tenfold.core.money import format_usd
from tenfold.inference.ports import ClientDialect, Responder, Sender

JSON = header_lines([("content-type", "application/json")])
EVENT_STREAM = header_lines(
    [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-accel-buffering", "no"),  # nginx and kin would hold events back
    ]
)
_ID_HEADERS = frozenset(("x-request-id", "request-id", "x-goog-request-id"))  # an upstream's has its own header


def whole(call: Call, body: bytes, responder: Responder) -> None:
    """A good reply in one piece."""
    call.status, call.http_status = "ok", 200
    cost = "" if call.cost_nano is None else f"tenfold-cost-usd: {format_usd(call.cost_nano)}\r\n"
    responder.whole(200, f"{JSON}{_about(call)}{cost}", body)


def begin_stream(call: Call, responder: Responder) -> Sender:
    """The status line and headers of a stream; whether it ends well is not known yet."""
    call.http_status = 200
    return responder.stream(200, EVENT_STREAM + _about(call))


def fail(call: Call, error: TenfoldError, dialect: ClientDialect, responder: Responder) -> None:
    """The error as this dialect's clients know it; an upstream's own status is kept."""
    call.http_status = error.status
    carried = {name for name, _ in call.carried}  # both may tell the upstream's limits
    limits = header_lines(header for header in _retry_headers(error) if header[0] not in carried)
    responder.whole(error.status, f"{JSON}{_about(call)}{limits}", dialect.encode_error(error, call.request_id))


def refuse(error: TenfoldError, dialect: ClientDialect, request_id: str, responder: Responder) -> None:
    """An error before there was a call."""
    headers = f"{JSON}{request_id_lines(dialect.name, request_id)}{header_lines(_retry_headers(error))}"
    responder.whole(error.status, headers, dialect.encode_error(error, request_id))


def request_id_lines(dialect: str, request_id: str) -> str:
    """Our id, also under the name where the dialect's own SDKs look for one."""
    if dialect == "anthropic":
        return f"x-request-id: {request_id}\r\nrequest-id: {request_id}\r\n"
    return f"x-request-id: {request_id}\r\n"


def _retry_headers(error: TenfoldError) -> list[tuple[str, str]]:
    """`Retry-After` (whole seconds, RFC 9110 section 10.2.3) and what the upstream said of its limits."""
    headers = [h for h in error.headers if h[0] not in _ID_HEADERS] if isinstance(error, UpstreamError) else []
    if error.retry_after_s is not None and not any(name == "retry-after" for name, _ in headers):
        headers.append(("retry-after", str(max(1, -int(-error.retry_after_s // 1)))))
    return headers


def _about(call: Call) -> str:
    cache = f"hit; layer=memory; age={call.cached_age_s}" if call.cache_state == "hit" else call.cache_state
    ids = request_id_lines(call.dialect, call.request_id)
    more = ""
    if call.carried or call.upstream_request_id or call.ignored:
        pairs = list(call.carried)
        if call.upstream_request_id:
            pairs.append(("tenfold-upstream-request-id", call.upstream_request_id))
        if call.ignored:
            pairs.append(("tenfold-ignored-params", ", ".join(call.ignored)))
        more = header_lines(pairs)
    limits = "" if call.admission is None else call.admission.headers
    return f"{ids}tenfold-cache: {cache}\r\n{call.served_by}{more}{limits}"
