"""What a client has got: a good reply, a typed error, or one of the things that must not be. Pure; a stranger to the
code that is judged, it reads the dialects by their own rules.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from msgspec import DecodeError, Struct, json

from tenfold.app.chaos.http_client import Answer
from tenfold.app.chaos.outages.cells import Client
from tenfold.core.sse import SseDecoder, SseEvent

Outcome = Literal["good", "error", "stream_error", "unreadable", "truncated", "hang", "untyped", "wrong"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
FORBIDDEN: frozenset[Outcome] = frozenset(("truncated", "hang", "untyped", "wrong"))

WORDS: dict[Outcome, str] = {
    "good": "complete good reply",
    "error": "typed error",
    "stream_error": "typed error at the end of the stream",
    "unreadable": "a provider's frame that is no JSON, passed on as it came",
    "truncated": "silent truncation",
    "hang": "hang past the deadline",
    "untyped": "untyped error, or an internal one",
    "wrong": "complete reply that is not what was asked for",
}

_INTERNAL = "internal_error"
_INTERNAL_MESSAGE = "Tenfold failed to handle this request"


class Verdict(Struct, frozen=True, kw_only=True):
    """`detail`: the status or the code of an error, or what is wrong."""

    outcome: Outcome
    detail: str = ""


class _Reply(Struct):
    """What a stream has told so far."""

    text: str = ""
    finished: bool = False
    ended: bool = False  # the dialect's own end
    error: dict[str, Any] | None = None
    restarts: int = 0
    unreadable: bool = False  # a frame is no JSON: an SDK raises on it


def judge(client: Client, answer: Answer, texts: Sequence[str], *, stream: bool, is_late: bool) -> Verdict:
    """`texts`: what a good reply may say. `is_late`: the call did not end in time."""
    if is_late:
        return Verdict(outcome="hang", detail=f"{len(answer.body)} bytes came")
    if not answer.status:
        return Verdict(outcome="untyped", detail="the connection was lost")
    if answer.status != 200:
        return _error(client, answer)
    if stream:
        return _stream(client, answer, texts)
    return _whole(client, answer, texts)


def _error(client: Client, answer: Answer) -> Verdict:
    error = _error_object(client, _decoded(answer.body)) if answer.complete else None
    if error is None or not error.get("message") or not error.get("type"):
        return Verdict(outcome="untyped", detail=f"{answer.status}: {answer.body[:100]!r}")
    if _is_internal(error):
        return Verdict(outcome="untyped", detail=f"{answer.status}: {_INTERNAL}")
    return Verdict(outcome="error", detail=str(answer.status))


def _whole(client: Client, answer: Answer, texts: Sequence[str]) -> Verdict:
    if not answer.complete:
        return Verdict(outcome="truncated", detail="the connection was cut")
    body = _decoded(answer.body)
    if client == "openai":
        choice = _at(body, "choices", 0)
        text, reason = _at(choice, "message", "content"), _at(choice, "finish_reason")
    else:
        text, reason = _at(body, "content", 0, "text"), _at(body, "stop_reason")
    if not isinstance(text, str) or reason is None:
        return Verdict(outcome="wrong", detail=f"no reply: {answer.body[:100]!r}")
    return _said(text, texts)


def _stream(client: Client, answer: Answer, texts: Sequence[str]) -> Verdict:
    decoder = SseDecoder()
    reply = _Reply()
    for event in [*decoder.feed(answer.body), *decoder.flush()]:
        value = None if event.data == b"[DONE]" else _decoded(event.data)
        reply.unreadable = reply.unreadable or (value is None and event.data != b"[DONE]")
        if client == "openai":
            _openai_event(reply, event, value)
        else:
            _anthropic_event(reply, event, value)
    if reply.error is not None:
        if _is_internal(reply.error):
            return Verdict(outcome="untyped", detail=_INTERNAL)
        code = reply.error.get("code") or reply.error.get("type")
        return Verdict(outcome="stream_error", detail=str(code))
    if reply.unreadable:
        return Verdict(outcome="unreadable")
    if not (reply.ended and reply.finished and answer.complete):
        return Verdict(outcome="truncated", detail=f"no end and no error after {len(reply.text)} characters")
    return _said(reply.text, texts)


def _openai_event(reply: _Reply, event: SseEvent, value: Any) -> None:
    if event.data == b"[DONE]":
        reply.ended = True
        return
    if _at(value, "tenfold", "restart") is not None:
        reply.text, reply.finished, reply.restarts = "", False, reply.restarts + 1
    error = _error_object("openai", value)
    reply.error = reply.error if error is None else error
    choice = _at(value, "choices", 0)
    said = _at(choice, "delta", "content")
    reply.text += said if isinstance(said, str) else ""
    reply.finished = reply.finished or _at(choice, "finish_reason") is not None


def _anthropic_event(reply: _Reply, event: SseEvent, value: Any) -> None:
    match event.event:
        case "tenfold_restart":
            reply.text, reply.finished, reply.restarts = "", False, reply.restarts + 1
        case "error":
            reply.error = _error_object("anthropic", value) or {}
        case "content_block_delta":
            said = _at(value, "delta", "text")
            reply.text += said if isinstance(said, str) else ""
        case "message_delta":
            reply.finished = reply.finished or _at(value, "delta", "stop_reason") is not None
        case "message_stop":
            reply.ended = True


def _said(text: str, texts: Sequence[str]) -> Verdict:
    """Of a reply that says of itself that it is complete."""
    if text in texts:
        return Verdict(outcome="good")
    if any(whole.startswith(text) for whole in texts):
        return Verdict(outcome="truncated", detail=f"ends in order after {len(text)} characters")
    return Verdict(outcome="wrong", detail=f"says {text[:80]!r}")


def _error_object(client: Client, body: Any) -> dict[str, Any] | None:
    error = _at(body, "error")
    if client == "anthropic" and _at(body, "type") != "error":
        return None
    return error if isinstance(error, dict) else None


def _is_internal(error: dict[str, Any]) -> bool:
    return error.get("code") == _INTERNAL or str(error.get("message", "")).startswith(_INTERNAL_MESSAGE)


def _decoded(data: bytes) -> Any:
    """None when it is no JSON."""
    try:
        return json.decode(data)
    except (DecodeError, UnicodeDecodeError):
        return None


def _at(value: Any, *path: str | int) -> Any:
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value
