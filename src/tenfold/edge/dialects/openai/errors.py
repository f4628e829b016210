"""Errors as OpenAI's API words them, whole or as the last frame of a stream."""

from typing import Any

from msgspec import json

from tenfold.core.errors import BudgetExceeded, TenfoldError, UpstreamError
from tenfold.core.sse import sse

_TYPES = {
    401: "invalid_request_error",  # as OpenAI has it: the code tells it from other bad requests
    403: "permission_error",
    408: "timeout_error",
    429: "rate_limit_error",
}
_QUOTA = "insufficient_quota"  # OpenAI's word for money that has run out


def encode_error(error: TenfoldError) -> bytes:
    return json.encode({"error": error_object(error)})


def error_frame(error: TenfoldError) -> bytes:
    """OpenAI's SDKs raise APIError on a frame that has `error`; no `[DONE]` follows."""
    return sse(encode_error(error))


def restart_frame(provider: str, model: str, created_s: int) -> bytes:
    """A chunk without choices, which OpenAI's SDKs hand to the application as they do the usage chunk."""
    chunk = {"id": "chatcmpl-restart", "object": "chat.completion.chunk", "created": created_s, "model": model}
    told = {"restart": {"provider": provider, "model": model}}
    return sse(json.encode({**chunk, "choices": [], "tenfold": told}))


def error_object(error: TenfoldError) -> dict[str, Any]:
    """A provider's own type and code are kept where it gave them. `details`, which OpenAI has not, tells of a refusal
    of ours what a program needs to act on it."""
    kind, code = None, None
    if isinstance(error, UpstreamError):
        kind, code = error.kind, error.upstream_code
    elif isinstance(error, BudgetExceeded):
        kind = _QUOTA
    told: dict[str, Any] = {
        "message": error.message,
        "type": kind or _type(error.status),
        "param": error.param,
        "code": code or error.code,
    }
    if error.details is not None and not isinstance(error, UpstreamError):
        told["details"] = error.details
    return told


def _type(status: int) -> str:
    if status >= 500:
        return "server_error"
    return _TYPES.get(status, "invalid_request_error")
