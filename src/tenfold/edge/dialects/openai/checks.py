"""Checks a request body once, as cheaply as is sound: JSON, types, ranges, duplicate keys, nesting.

Every body that is refused is refused with InvalidRequest, in the words OpenAI uses.
"""

import re
from types import NoneType
from typing import Any, TypeVar

from msgspec import UNSET, DecodeError, Raw, UnsetType, ValidationError
from msgspec.json import Decoder, Encoder

from tenfold.core.errors import InvalidRequest
from tenfold.core.json_guard import MAX_DEPTH, check_json, load_json, same_members
from tenfold.edge.dialects.openai.schema import (
    ChatBody,
    EmbeddingsBody,
    FunctionCall,
    FunctionDef,
    JsonSchemaFormat,
    ResponseFormat,
    Tool,
)

T = TypeVar("T")

# Fractions stay Raw, so that a body written again has each number as the client wrote it.
_CHAT = Decoder(ChatBody, float_hook=Raw)
_EMBEDDINGS = Decoder(EmbeddingsBody, float_hook=Raw)
_ENCODER = Encoder()

_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_EXPECTED = re.compile(r"^Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`$")
_RANGE = re.compile(r"^Expected `(?P<type>\w+)` (?P<bound>.+)$")
_MISSING = re.compile(r"^(?:Object missing required field|Missing required parameter:) `(?P<field>[^`]*)`$")
_ENUM = re.compile(r"^Invalid (?:enum )?value (?P<value>.*)$", re.DOTALL)
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_MEMBERS = frozenset(ChatBody.__struct_fields__)
_NO_MEMBERS: frozenset[str] = frozenset()
_NOTHING = ChatBody(model="-", messages=[]).free_form()
_SCALARS = frozenset({str, int, bool, NoneType, Raw, UnsetType, FunctionCall})
_TOO_DEEP = f"The request body is nested too deeply: at most {MAX_DEPTH} levels are allowed."
_ROLES = "'system', 'developer', 'user', 'assistant', 'tool' and 'function'"


def check_chat(body: bytes) -> ChatBody:
    """The typed body. Raises InvalidRequest."""
    return look_at_chat(body)[0]


def look_at_chat(body: bytes) -> tuple[ChatBody, frozenset[str]]:
    """The typed body, and the members it has beside. Raises InvalidRequest."""
    chat = _decode(_CHAT, body)
    free_form = chat.free_form()
    if free_form != _NOTHING and _may_be_deep(chat, body) and _deeper([*free_form], MAX_DEPTH):
        raise InvalidRequest(_TOO_DEEP)  # asked first, as writing a body again recurses
    if same_members(body, _ENCODER.encode(chat)):
        return chat, _NO_MEMBERS
    return chat, load_json(body).keys() - _MEMBERS


def check_embeddings(body: bytes) -> EmbeddingsBody:
    """The typed body. Raises InvalidRequest."""
    embeddings = _decode(_EMBEDDINGS, body)
    if not same_members(body, _ENCODER.encode(embeddings)):
        check_json(body)
    return embeddings


def number(value: object, param: str, low: float, high: float) -> float | None:
    """A number that may have a fraction, in its range. None where the client said nothing. Raises InvalidRequest."""
    if value is UNSET or value is None:
        return None
    if type(value) is Raw:
        read = float(bytes(value))
    elif type(value) is int:
        read = float(value) if low <= value <= high else float("inf")
    else:
        raise InvalidRequest(f"Invalid type for '{param}': expected a number, but got {_kind(value)}.", param=param)
    if not low <= read <= high:
        raise InvalidRequest(f"Invalid value for '{param}': expected a number from {low:g} to {high:g}.", param=param)
    return read


def _may_be_deep(chat: ChatBody, body: bytes) -> bool:
    """Whether there are brackets enough. Every message and tool has its own, and a path goes through one of them."""
    tools = chat.tools or ()
    aside = len(chat.messages) + len(tools) + sum(tool.function is not UNSET for tool in tools)
    return body.count(b"{") + body.count(b"[") - aside > MAX_DEPTH


def _deeper(layer: list[Any], levels: int) -> bool:
    """Level by level, as a walk that recursed would fall into the pit it looks for."""
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if type(outer) is dict else outer if type(outer) is list else _members(outer))
            if type(inner) not in _SCALARS
        ]
        if not layer:
            return False
    return True


def _members(value: Any) -> tuple[Any, ...]:
    """The free-form members inside the structs that hold any."""
    if isinstance(value, Tool):
        return (value.custom, value.function)
    if isinstance(value, FunctionDef):
        return (value.parameters,)
    if isinstance(value, ResponseFormat):
        return (value.json_schema,)
    return (value.schema,) if isinstance(value, JsonSchemaFormat) else ()


def _decode(decoder: Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except ValidationError as error:
        check_json(body)  # a key that came twice explains more than what its second value broke
        raise reworded(str(error)) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest("We could not parse the JSON body of your request: it is not valid UTF-8.") from error
    except RecursionError as error:
        raise InvalidRequest(_TOO_DEEP) from error
    except DecodeError as error:
        raise InvalidRequest(f"We could not parse the JSON body of your request: {error}.") from error


def reworded(complaint: str) -> InvalidRequest:
    """msgspec's complaint in OpenAI's words."""
    at = _AT.match(complaint)
    assert at is not None  # the pattern takes any text
    what, param = at["what"], at["path"]
    where = f" for '{param}'" if param else ""
    if missing := _MISSING.match(what):
        param = f"{param}.{missing['field']}" if param else missing["field"]
        message = f"Missing required parameter: '{param}'."
    elif expected := _EXPECTED.match(what):
        wanted = " or ".join(_WORDS.get(word, word) for word in expected["wanted"].split(" | "))
        got = _WORDS.get(expected["got"], expected["got"])
        subject = where or " for the request body"
        message = f"Invalid type{subject}: expected {wanted}, but got {got} instead."
    elif bound := _RANGE.match(what):
        message = f"Invalid value{where}: expected {_WORDS.get(bound['type'], bound['type'])} {bound['bound']}."
    elif value := _ENUM.match(what):
        supported = f" Supported values are: {_ROLES}." if param and param.endswith(".role") else ""
        message = f"Invalid value{where}: {value['value'][:80]}.{supported}"
    else:
        message = f"Invalid value{where}: {what}."
    return InvalidRequest(message, param=param or None)


def _kind(value: object) -> str:
    return "a boolean" if type(value) is bool else "a string" if type(value) is str else "an array or an object"
