"""Errors as the Responses API words them: whole as OpenAI's other errors, in a stream as the event `error`."""

from msgspec import json

from tenfold.core.chat import JsonObject
from tenfold.core.errors import TenfoldError
from tenfold.edge.dialects.openai.errors import error_object

_HERE = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "top_logprobs",
    "response_format": "text.format",
    "response_format.json_schema.schema": "text.format.schema",
}
"""What upstreams' wires name by a word of chat completions, in the words of this API."""


def told(error: TenfoldError) -> JsonObject:
    """The error's object."""
    value = error_object(error)
    param = value["param"]
    if isinstance(param, str):
        value["param"] = "input" if param.startswith("messages[") else _HERE.get(param, param)
    return value


def encode_error(error: TenfoldError) -> bytes:
    return json.encode({"error": told(error)})


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
    return event("error", sequence, error_members(told(error)))


def error_members(value: JsonObject) -> JsonObject:
    return {"code": value["code"], "message": value["message"], "param": value["param"], "error": value}


def restart_frame(provider: str, model: str) -> bytes:
    """An event of our own, which OpenAI's SDKs hand to the application."""
    return event("tenfold.restart", 0, {"provider": provider, "model": model})
