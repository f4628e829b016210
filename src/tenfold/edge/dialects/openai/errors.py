"""Errors as OpenAI's API words them, whole or as the last frame of a stream."""

from msgspec import json

from tenfold.core.errors import TenfoldError, UpstreamError
from tenfold.core.sse import sse

_TYPES = {
    401: "invalid_request_error",  # as OpenAI has it: the code tells it from other bad requests
    403: "permission_error",
    408: "timeout_error",
    429: "rate_limit_error",
}


def encode_error(error: TenfoldError) -> bytes:
    return json.encode({"error": _error_object(error)})


def error_frame(error: TenfoldError) -> bytes:
    """OpenAI's SDKs raise APIError on a frame that has `error`; no `[DONE]` follows."""
    return sse(encode_error(error))


def _error_object(error: TenfoldError) -> dict[str, str | None]:
    """A provider's own type and code are kept where it gave them."""
    kind, code = None, None
    if isinstance(error, UpstreamError):
        kind, code = error.kind, error.upstream_code
    return {
        "message": error.message,
        "type": kind or _type(error.status),
        "param": error.param,
        "code": code or error.code,
    }


def _type(status: int) -> str:
    if status >= 500:
        return "server_error"
    return _TYPES.get(status, "invalid_request_error")
