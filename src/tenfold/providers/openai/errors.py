"""Errors of OpenAI-compatible servers as UpstreamError, whatever their shape. Keys a message quotes are blotted."""

import re
import time
from email.utils import parsedate_to_datetime

import msgspec

from tenfold.core.chat import JsonObject
from tenfold.core.errors import UpstreamError
from tenfold.providers.ports import Headers

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_KEY = re.compile(r"\b(?:sk|gsk|xai|key|pk|rk)[-_][\w*.-]{8,}")
_CARRIED = ("x-ratelimit-", "ratelimit")
_REQUEST_IDS = frozenset({"x-request-id", "apim-request-id", "openai-request-id", "cf-ray"})
_TOLD = _REQUEST_IDS | {"x-should-retry"}
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,6})?")
_MAX_MESSAGE = 2_000
_STATUS_OF_KIND = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "tokens": 429,
    "server_error": 500,
    "overloaded_error": 503,
}


def malformed_reply(what: str) -> UpstreamError:
    """A reply with status 200 that cannot be used."""
    return UpstreamError(f"The provider sent {what}.", status=502, kind="malformed_reply")


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """A reply with an error status; its body may be anything."""
    try:
        value = msgspec.json.decode(body)
    except UNREADABLE:
        value = None
    error = error_of(value, status=status)
    pairs = [(name.decode("latin-1").lower(), given.decode("latin-1")) for name, given in headers]
    error.retry_after_s = retry_after_s(dict(pairs))
    error.headers = tuple(pair for pair in pairs if pair[0] in _TOLD or pair[0].startswith(_CARRIED))
    return error


def error_of(value: object, *, status: int | None = None) -> UpstreamError:
    """From an error body or frame. Without an HTTP `status` (inside a stream) the error's own code or type tells it."""
    fields = _fields(value)
    message = fields.get("message")
    kind = fields.get("type")
    code = fields.get("code")
    if status is None:
        status = _status_of(fields)
    if not isinstance(message, str) or not message:
        message = f"The provider answered with status {status}."
    param = fields.get("param")
    return UpstreamError(
        _KEY.sub("[redacted]", message[:_MAX_MESSAGE]),
        status=status,
        kind=kind if isinstance(kind, str) else None,
        upstream_code=str(code) if isinstance(code, str | int) and not isinstance(code, bool) else None,
        param=param if isinstance(param, str) else None,
    )


def _fields(value: object) -> JsonObject:
    """OpenAI: {"error": {...}}; Ollama: {"error": "text"}; vLLM and Mistral: flat; FastAPI: {"detail": ...}."""
    if not isinstance(value, dict):
        return {}
    inner = value.get("error")
    if isinstance(inner, dict):
        return _told_by_metadata(inner)
    if isinstance(inner, str):
        return {"message": inner, "type": value.get("type"), "code": value.get("code")}
    message = value.get("message", value.get("detail"))
    if isinstance(message, dict | list):
        message = msgspec.json.encode(message).decode()
    return value | {"message": message}


def _told_by_metadata(error: JsonObject) -> JsonObject:
    """OpenRouter says "Provider returned error" and keeps the provider's words in `metadata.raw`."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    message = error.get("message")
    if isinstance(raw, str) and raw and isinstance(message, str):
        return error | {"message": f"{message}: {raw}"}
    return error


def _status_of(fields: JsonObject) -> int:
    for given in (fields.get("status_code"), fields.get("code"), fields.get("status")):
        if isinstance(given, str) and given.isdigit() and len(given) == 3:
            given = int(given)
        if isinstance(given, int) and 400 <= given <= 599:
            return given
    for word in (fields.get("type"), fields.get("code")):
        if isinstance(word, str) and word in _STATUS_OF_KIND:
            return _STATUS_OF_KIND[word]
    return 502


def retry_after_s(headers: dict[str, str]) -> float | None:
    """Seconds, from `retry-after-ms` or `retry-after` (seconds or a date, RFC 9110 section 10.2.3)."""
    in_ms = headers.get("retry-after-ms", "").strip()
    if _SECONDS.fullmatch(in_ms):
        return float(in_ms) / 1000
    given = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(given):
        return float(given)
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time()) if given else None
    except (ValueError, OverflowError):
        return None
