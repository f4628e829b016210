"""Stage 8, respond: the headers every reply carries, and error replies in the client's own dialect."""

from msgspec import json

from tenfold.core.call import Call
from tenfold.core.errors import RateLimited, TenfoldError, UpstreamError
from tenfold.core.headers import header_lines
from tenfold.core.money import format_usd
from tenfold.inference.ports import ClientDialect, Responder, Sender
from tenfold.inference.tickets.types import ticket_location

JSON = header_lines([("content-type", "application/json")])
EVENT_STREAM = header_lines(
    [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-accel-buffering", "no"),  # nginx and kin would hold events back
    ]
)
_STOP = "x-should-retry: false\r\n"  # the vendors' SDKs would try a conflict again, and heed this
_ID_HEADERS = frozenset(("x-request-id", "request-id", "x-goog-request-id"))  # an upstream's has its own header


def whole(call: Call, body: bytes, responder: Responder, status: int = 200) -> None:
    """A good reply in one piece."""
    call.status, call.http_status = "ok", status
    responder.whole(status, f"{JSON}{_about(call)}{_cost(call)}", body)


def begin_stream(call: Call, responder: Responder) -> Sender:
    """The status line and headers of a stream; whether it ends well is not known yet."""
    call.http_status = 200
    return responder.stream(200, EVENT_STREAM + _about(call))


def accepted(call: Call, ticket: str, state: str, responder: Responder) -> None:
    """The call is answered later, and can be asked after (RFC 7240, section 4.1)."""
    call.status, call.http_status = "ok", 202
    location = ticket_location(ticket)
    told = [
        ("tenfold-ticket", ticket),
        ("location", location),
        ("retry-after", "1"),
        ("preference-applied", "respond-async"),
    ]
    body = json.encode({"id": ticket, "object": "ticket", "state": state, "location": location})
    responder.whole(202, f"{JSON}{_about(call)}{header_lines(told)}", body)


async def at_once(call: Call, body: bytes, responder: Responder, status: int = 200) -> None:
    """A good reply, whole or a stream as it was asked for, whose bytes are all there; `status` of a whole one."""
    if call.stream:
        await begin_stream(call, responder).send_bytes(body)
        call.status = "ok"
    else:
        whole(call, body, responder, status)


def replay(call: Call, responder: Responder, body: bytes | None) -> Sender | None:
    """What an idempotency key has stored, under the status on the call. `body` None: a stream, to be sent."""
    headers = f"{_about(call)}idempotency-replayed: true\r\n"
    if body is None:
        return responder.stream(call.http_status, EVENT_STREAM + headers)
    stop = "" if call.http_status < 400 else _STOP
    responder.whole(call.http_status, f"{JSON}{headers}{stop}{_cost(call)}", body)
    return None


def fail(call: Call, error: TenfoldError, dialect: ClientDialect, responder: Responder) -> None:
    """The error as this dialect's clients know it; an upstream's own status is kept."""
    call.http_status = error.status
    limits = error.headers if isinstance(error, RateLimited) and error.headers else _limits(call)
    told = {name for name, _ in call.carried} | _names(limits)  # both may tell the upstream's limits
    retry = header_lines(header for header in _retry_headers(error) if header[0] not in told)
    stop = _STOP if error.status == 409 and not error.retryable and "x-should-retry" not in retry else ""
    responder.whole(
        error.status, f"{JSON}{_about(call, limits)}{retry}{stop}", dialect.encode_error(error, call.request_id)
    )


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


def _cost(call: Call) -> str:
    return "" if call.cost_nano is None else f"tenfold-cost-usd: {format_usd(call.cost_nano)}\r\n"


def _limits(call: Call) -> str:
    return "" if call.admission is None else call.admission.headers


def _about(call: Call, limits: str | None = None) -> str:
    """What every reply says; `limits` are the lines of our own limits, where they are not those on the call."""
    cache: str = call.cache_state
    if cache == "hit":
        cache = f"hit; layer={call.cache_layer}; age={call.cached_age_s}{'; stale' if 'stale' in call.degraded else ''}"
        if call.cache_layer == "semantic" and call.cache_bound is not None:
            cache += f"; bound={call.cache_bound:.4f}"
    elif cache == "coalesced":
        cache = "hit; layer=coalesced"
    ids = request_id_lines(call.dialect, call.request_id)
    if limits is None:
        limits = _limits(call)
    more = ""
    if call.route_told:
        more = header_lines([("tenfold-route", call.route_told)])
    if call.cache_told:
        more += header_lines([("tenfold-cache-why", call.cache_told)])
    if call.degraded:
        more += _degraded(call)
    if call.carried or call.upstream_request_id or call.ignored:
        own = _names(limits)
        pairs = [pair for pair in call.carried if pair[0] not in own]  # ours are what holds for the client here
        if call.upstream_request_id:
            pairs.append(("tenfold-upstream-request-id", call.upstream_request_id))
        if call.ignored:
            pairs.append(("tenfold-ignored-params", ", ".join(call.ignored)))
        more += header_lines(pairs)
    return f"{ids}tenfold-cache: {cache}\r\n{call.served_by}{more}{limits}"


def _degraded(call: Call) -> str:
    """The steps that were taken, and the ticket under which the call waits, if it does."""
    pairs = [("tenfold-degraded", ", ".join(call.degraded))]
    if call.ticket is not None:
        pairs += [("tenfold-ticket", call.ticket), ("location", ticket_location(call.ticket))]
    return header_lines(pairs)


def _names(lines: str) -> set[str]:
    """Of the headers in these lines."""
    return {line.partition(":")[0].lower() for line in lines.split("\r\n") if line}
