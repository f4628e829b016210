"""Errors in Anthropic's shape: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tenfold.core.errors import TenfoldError, UnsupportedParameter, UpstreamError
from tenfold.core.sse import sse
from tenfold.providers.anthropic.errors import KIND, STATUS

_MORE_KINDS = {408: "timeout_error", 422: "invalid_request_error", 502: "api_error", 503: "overloaded_error"}


def encode_error(error: TenfoldError, request_id: str) -> bytes:
    """The upstream's own type stays where it is one of this API's; else the status tells the type."""
    kind = error.kind if isinstance(error, UpstreamError) else None
    return _body(error_type(error.status, kind), error.message, request_id, _details(error))


def error_frame(error: TenfoldError, request_id: str) -> bytes:
    """The event that ends a broken stream."""
    return sse(encode_error(error, request_id), b"error")


def restart_frame(provider: str, model: str) -> bytes:
    """An event of our own: Anthropic's SDKs pass over events they do not know."""
    restart = {"type": "tenfold_restart", "provider": provider, "model": model}
    return sse(msgspec.json.encode(restart), b"tenfold_restart")


def failure_frame(message: str, kind: str | None, status: int) -> bytes:
    """The same for a failure the upstream told inside its stream."""
    return sse(_body(error_type(status, kind), message, None), b"error")


def error_type(status: int, kind: str | None = None) -> str:
    known = KIND.get(status) or _MORE_KINDS.get(status)
    if kind in STATUS and not (kind == "invalid_request_error" and known):  # OpenAI calls most of 4xx so
        return kind
    return known or ("api_error" if status >= 500 else "invalid_request_error")


def _details(error: TenfoldError) -> Mapping[str, Any] | None:
    """The SDK's tool runner asks for a thread by itself, and goes on without one when it is told in these words."""
    if isinstance(error, UnsupportedParameter) and error.param == "thread":
        return {"error_code": "thread_unsupported_request"}
    return error.details


def _body(kind: str, message: str, request_id: str | None, details: Mapping[str, Any] | None = None) -> bytes:
    error: dict[str, Any] = {"type": kind, "message": message}
    if details is not None:
        error["details"] = details
    return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})
