"""What a request promises of its reply's text, and whether a text keeps it."""

from typing import Any

from msgspec import DecodeError, Struct, json

from tenfold.core.chat import ChatRequest
from tenfold.core.errors import InvalidRequest
from tenfold.core.json_guard import MAX_DEPTH, deeper
from tenfold.inference.output.explain import explain
from tenfold.inference.output.shape import Shape

MOST_TEXT = 8 * 1024 * 1024
"""Characters of a reply that are looked at; no model writes as many."""

_KEPT_BYTES = 32 * 1024 * 1024
_DECODER = json.Decoder()

# Where a client of each dialect wrote the schema.
_PARAMS = {
    "openai": "response_format.json_schema.schema",
    "openai_responses": "text.format.schema",
    "anthropic": "output_config.format.schema",
}


class Expected(Struct, frozen=True):
    """`shape` None: any JSON."""

    shape: Shape | None


class Valid(Struct, frozen=True):
    """The text is JSON and fits."""


class Invalid(Struct, frozen=True):
    """`errors`: a JSON pointer and what is wrong there; of the reply's own words they hold names of members only.
    `too_much`: it was not held to its schema, as that would not end in bounded time; no repair helps."""

    errors: tuple[str, ...]
    too_much: bool = False


Verdict = Valid | Invalid
VALID = Valid()
ANY_JSON = Expected(None)


class Promises:
    """What requests promise, with the schemas compiled that were seen last. One for a process."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._most = kept_bytes
        self._shapes: dict[bytes, Shape] = {}
        self._kept = 0

    def of(self, request: ChatRequest, dialect: str) -> Expected | None:
        """None: the request asks for text. 10 us for a schema seen before, up to 0.1 s for a large new one; ask only
        where the first look (`Peek.wants_json`) says that JSON is wanted.

        Raises InvalidRequest for a schema that is none or cannot be checked within bounds; its `param` names it."""
        form = request.response_format
        if form is None or form.kind == "text":
            return None
        if form.kind == "json_object" or form.schema is None:
            return ANY_JSON
        param = _PARAMS.get(dialect, "response_format.schema")
        try:
            raw = json.encode(form.schema)
        except (RecursionError, ValueError, TypeError):
            raise InvalidRequest(f"Invalid schema for '{param}'.", param=param) from None
        return Expected(self._shape(raw, param))

    def _shape(self, raw: bytes, param: str) -> Shape:
        shape = self._shapes.pop(raw, None)
        if shape is None:
            shape = Shape(raw, param)
            self._kept += shape.weight
        self._shapes[raw] = shape  # the last one seen stands last
        while self._kept > self._most and len(self._shapes) > 1:
            self._kept -= self._shapes.pop(next(iter(self._shapes))).weight
        return shape


def check(expected: Expected, text: str) -> Verdict:
    """Whether the text, all of it, is what was promised."""
    if len(text) > MOST_TEXT:
        return Invalid(("(root): is too long to be checked",), too_much=True)
    try:
        value = read_json(text)
    except ValueError as error:
        return Invalid((f"(root): is not JSON: {error}"[:200],))
    shape = expected.shape
    if shape is None:
        return VALID
    if shape.is_too_much(value, text):
        return Invalid(("(root): is too large to be held to its schema",), too_much=True)
    return VALID if shape.fits(value) else Invalid(explain(shape, value))


def fits(expected: Expected, text: str) -> bool:
    """For texts that stand ready: whether this one may take the place of a reply."""
    return check(expected, text) is VALID


def is_json(text: str) -> bool:
    """All that can be asked of a ready text while no request is there yet."""
    return fits(ANY_JSON, text)


def read_json(text: str) -> Any:
    """Strictly: RFC 8259, no NaN, nested at most as deep as a request may be. Raises ValueError."""
    try:
        value = _DECODER.decode(text)
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except DecodeError as error:
        raise ValueError(str(error)) from None
    if text.count("{") + text.count("[") > MAX_DEPTH and deeper(value, MAX_DEPTH):
        raise ValueError("it is nested too deeply")
    return value
