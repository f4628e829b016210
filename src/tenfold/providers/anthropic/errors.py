"""Errors of the Messages API: the types it knows, and its error bodies and events as canonical errors."""

from collections.abc import Iterable
from typing import Any

import msgspec

from tenfold.core.chat import JsonObject
from tenfold.core.errors import UpstreamError

STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""HTTP status by error type, for errors that come without one (inside a stream)."""

KIND = {status: kind for kind, status in STATUS.items()}
_CARRIED = ("request-id", "retry-after", "retry-after-ms", "x-should-retry")


def decode_error(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> UpstreamError:
    """The error of a reply whose status is not 2xx."""
    carried = tuple(
        (name, value.decode("latin-1"))
        for name, value in ((raw.decode("latin-1").lower(), value) for raw, value in headers)
        if name in _CARRIED or name.startswith("anthropic-ratelimit-")
    )
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    return error_of(status, carried, value)


def error_of(status: int, headers: tuple[tuple[str, str], ...], body: Any) -> UpstreamError:
    """From a decoded error body `{"type": "error", "error": {...}}`; anything else is told by its status alone."""
    error = body.get("error") if isinstance(body, dict) else None
    stated: JsonObject = error if isinstance(error, dict) else {}
    kind, message = stated.get("type"), stated.get("message")
    details = stated.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    request_id = body.get("request_id") if isinstance(body, dict) else None
    if isinstance(request_id, str) and all(name != "request-id" for name, _ in headers):
        headers = (*headers, ("request-id", request_id))
    return UpstreamError(
        message if isinstance(message, str) else f"The provider answered with status {status}.",
        status=status,
        kind=kind if isinstance(kind, str) else KIND.get(status),
        upstream_code=code if isinstance(code, str) else None,
        retry_after_s=_retry_after(headers),
        headers=headers,
        details=details if isinstance(details, dict) else None,
    )


def _retry_after(headers: tuple[tuple[str, str], ...]) -> float | None:
    for name, unit in (("retry-after-ms", 1_000), ("retry-after", 1)):
        for carried, value in headers:
            if carried == name and value.replace(".", "", 1).isdecimal():
                return float(value) / unit
    return None
