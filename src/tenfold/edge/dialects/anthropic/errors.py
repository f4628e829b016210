"""Errors in Anthropic's shape: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""

import msgspec

from tenfold.core.errors import TenfoldError, UpstreamError
from tenfold.core.sse import sse
from tenfold.providers.anthropic.errors import KIND, STATUS

_MORE_KINDS = {408: "timeout_error", 422: "invalid_request_error", 502: "api_error", 503: "overloaded_error"}


def encode_error(error: TenfoldError, request_id: str) -> bytes:
    """The upstream's own type stays where it is one of this API's; else the status tells the type."""
    kind = error.kind if isinstance(error, UpstreamError) else None
    return _body(error_type(error.status, kind), error.message, request_id)


def error_frame(error: TenfoldError, request_id: str) -> bytes:
    """The event that ends a broken stream."""
    return sse(encode_error(error, request_id), b"error")


def failure_frame(message: str, kind: str | None, status: int) -> bytes:
    """The same for a failure the upstream told inside its stream."""
    return sse(_body(error_type(status, kind), message, None), b"error")


def error_type(status: int, kind: str | None = None) -> str:
    if kind in STATUS:
        return kind
    known = KIND.get(status) or _MORE_KINDS.get(status)
    return known or ("api_error" if status >= 500 else "invalid_request_error")


def _body(kind: str, message: str, request_id: str | None) -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id})
