"""Errors of Google APIs (google.rpc.Status as JSON) as UpstreamError. Keys that a message quotes are blotted out."""

import re
from typing import Any

import msgspec

from tenfold.core.errors import UpstreamError
from tenfold.providers.gemini.schema import UNREADABLE
from tenfold.providers.ports import Headers

_KEY = re.compile(r"AIza[\w-]{20,}|(?<=api_key:)[\w-]+")  # "Consumer 'api_key:AIza...' has been suspended."
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")
_SECONDS = re.compile(rb"\d{1,9}")
_CARRIED = (b"x-request-id", b"x-goog-request-id", b"x-ratelimit-")


def malformed_reply(what: str) -> UpstreamError:
    """A reply with status 200 that cannot be used."""
    return UpstreamError(f"The upstream (Gemini) sent {what}.", status=502, kind="malformed_reply")


def error_of_object(error: object, *, status: int | None = None) -> UpstreamError:
    """From the `error` member. `status` is the HTTP status; where there is none (inside a stream), the object's code
    counts when it is an error status."""
    fields: dict[str, Any] = error if isinstance(error, dict) else {}
    code = fields.get("code")
    if status is None:
        status = code if isinstance(code, int) and 400 <= code <= 599 else 502
    word = fields.get("status")
    details = fields.get("details")
    entries = [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []
    reason = _text_of(entries, "ErrorInfo", "reason")
    return UpstreamError(
        _message(fields.get("message"), status, reason),
        status=status,
        kind=word if isinstance(word, str) else None,
        upstream_code=reason,
        param=_violated_field(entries),
        retry_after_s=_retry_delay_s(entries),
    )


def _message(said: object, status: int, reason: str | None) -> str:
    """A refused key comes with status 400 and words that the client would take for its own key."""
    message = _KEY.sub("[redacted]", said) if isinstance(said, str) and said else None
    if reason == "API_KEY_INVALID":
        return f"The upstream (Gemini) refused the key configured for it: {message or reason}"
    return message or f"The upstream (Gemini) answered with status {status}."


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """A reply with an error status; its body may be anything."""
    error = error_of_object(_error_member(body), status=status)
    if error.retry_after_s is None:
        error.retry_after_s = _retry_after_s(headers)
    error.headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if name.startswith(_CARRIED)
    )
    return error


def _error_member(body: bytes) -> object:
    try:
        value = msgspec.json.decode(body)
    except UNREADABLE:
        return None
    if isinstance(value, list) and value:  # the stream call without alt=sse wraps its error in an array
        value = value[0]
    return value.get("error") if isinstance(value, dict) else None


def _detail(entries: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next((entry for entry in entries if str(entry.get("@type", "")).endswith("." + kind)), {})


def _text_of(entries: list[dict[str, Any]], kind: str, member: str) -> str | None:
    value = _detail(entries, kind).get(member)
    return value if isinstance(value, str) else None


def _violated_field(entries: list[dict[str, Any]]) -> str | None:
    violations = _detail(entries, "BadRequest").get("fieldViolations")
    first = violations[0] if isinstance(violations, list) and violations else None
    field = first.get("field") if isinstance(first, dict) else None
    return field if isinstance(field, str) else None


def _retry_delay_s(entries: list[dict[str, Any]]) -> float | None:
    match = _DELAY.fullmatch(_text_of(entries, "RetryInfo", "retryDelay") or "")
    return float(match[1]) if match else None


def _retry_after_s(headers: Headers) -> float | None:
    value = next((value for name, value in headers if name == b"retry-after"), b"").strip()
    return float(value) if _SECONDS.fullmatch(value) else None
