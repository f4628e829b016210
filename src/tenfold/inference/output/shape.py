"""A JSON Schema of a client, compiled once: fetches nothing, runs in bounds, and is refused where it cannot be.

JSON Schema 2020-12, or the older draft its `$schema` names (from draft 6). `format` and the `content*` keywords say
something and assert nothing, as the specification leaves it (2020-12 Validation, section 7.2.1).
"""

from typing import Any

import jsonschema_rs
from jsonschema_rs import RegexOptions
from msgspec import json

from tenfold.core.chat import JsonObject
from tenfold.core.errors import InvalidRequest
from tenfold.inference.output.work import TooHard, WorkOf

MOST_SCHEMA_BYTES = 131_072
MOST_PATTERNS = 100
_PATTERN_BYTES = 65_536  # of one compiled automaton
_MOST_PATTERN_LENGTH = 1_000
# Linear in the text, without look-around; a lazy automaton with less room was ten times slower on hostile patterns.
_LINEAR = RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=2_000_000)
_OLD_DRAFTS = ("draft-03", "draft-04")


class Shape:
    """What a value must be. `weight`: bytes it holds at most, about."""

    __slots__ = ("_validator", "_work", "schema", "unchecked", "weight")

    def __init__(self, raw: bytes, param: str) -> None:
        """`raw`: the schema as JSON. Raises InvalidRequest, with `param`."""
        if len(raw) > MOST_SCHEMA_BYTES:
            raise _refused(f"it is larger than {MOST_SCHEMA_BYTES} bytes", param)
        schema = json.decode(raw)  # a copy of our own, to take patterns out of
        try:
            _check_draft(schema)
            patterns, self.unchecked = _take_out_patterns(schema)
            self._work = WorkOf(schema)
            self._validator = _compile(schema)
        except TooHard as error:
            raise _refused(str(error), param) from None
        except ValueError as error:  # of the schema's own meta-schema
            raise _refused(_first_line(error), param) from None
        self.schema: JsonObject | bool = schema
        self.weight = 20 * len(raw) + patterns * _PATTERN_BYTES

    def fits(self, value: Any) -> bool:
        return self._validator.is_valid(value)

    def is_too_much(self, value: Any, text: str) -> bool:
        """Whether the value, which `text` is the JSON of, is too large to be held to this schema in bounded time."""
        return self._work.exceeds(value, text)


def keyword_holds(keyword: str, asserted: Any, value: Any) -> bool:
    """One keyword that has no schemas in it. True also where nothing can be said."""
    try:
        return _compile({keyword: asserted}).is_valid(value)
    except ValueError:
        return True


def _compile(schema: JsonObject | bool) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(schema, offline=True, validate_formats=False, pattern_options=_LINEAR)


def _check_draft(schema: Any) -> None:
    if not isinstance(schema, dict | bool):
        raise TooHard("it is neither an object nor a boolean")
    draft = schema.get("$schema") if isinstance(schema, dict) else None
    if isinstance(draft, str) and any(old in draft for old in _OLD_DRAFTS):
        raise TooHard("drafts before draft 6 are not known")


def _take_out_patterns(schema: Any) -> tuple[int, bool]:
    """How many patterns are left, and whether any was taken out: those with look-around or back-references, which only
    an engine that may backtrack without end can run. Raises TooHard."""
    left, taken = 0, False
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            if isinstance(pattern := value.get("pattern"), str):
                left += 1
                if not _is_linear(pattern):
                    del value["pattern"]
                    left, taken = left - 1, True
            if isinstance(patterns := value.get("patternProperties"), dict):
                left += len(patterns)
                for pattern in patterns:
                    if left <= MOST_PATTERNS and not _is_linear(pattern):
                        raise TooHard("a key of its patternProperties has look-around, or is no regular expression")
            if left > MOST_PATTERNS:
                raise TooHard(f"it has more than {MOST_PATTERNS} patterns")
            waiting.extend(value.values())
    return left, taken


def _is_linear(pattern: str) -> bool:
    """Raises TooHard for what is too long, or no regular expression."""
    if len(pattern) > _MOST_PATTERN_LENGTH:
        raise TooHard(f"a pattern of it is longer than {_MOST_PATTERN_LENGTH} characters")
    try:
        _compile({"pattern": pattern})
        return True
    except ValueError:
        pass
    try:
        jsonschema_rs.validator_for({"pattern": pattern}, offline=True)
    except ValueError:
        raise TooHard(f"the pattern {pattern[:80]!r} is no regular expression") from None
    return False


def _refused(why: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid schema for '{param}': {why}.", param=param)


def _first_line(error: ValueError) -> str:
    return str(error).partition("\n")[0][:200].rstrip(".")
