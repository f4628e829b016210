"""Errors as the Responses API words them: whole as OpenAI's other errors, in a stream as the event `error`."""

from msgspec import json

from tenfold.core.chat import JsonObject
from tenfold.core.errors import TenfoldError
from tenfold.edge.dialects.openai.errors import encode_error, error_object

__all__ = ["encode_error", "error_frame", "event", "restart_frame"]


def event(kind: str, sequence: int, members: JsonObject) -> bytes:
    """One event of a stream. Its type and its number come first: `stamp` reads them there."""
    name, data = kind.encode(), json.encode(members)[1:]
    return b'event: %b\ndata: {"type":"%b","sequence_number":%d%b%b\n\n' % (
        name,
        name,
        sequence,
        b"" if data == b"}" else b",",
        data,
    )


def error_frame(error: TenfoldError, sequence: int = 0) -> bytes:
    """As OpenAI's server sends it, with `error`, on which its SDKs raise APIError; and with the members its reference
    has."""
    told = error_object(error)
    flat = {name: told[name] for name in ("code", "message", "param")}
    return event("error", sequence, {**flat, "error": told})


def restart_frame(provider: str, model: str) -> bytes:
    """An event of our own, which OpenAI's SDKs hand to the application."""
    return event("tenfold.restart", 0, {"provider": provider, "model": model})
