"""What is wrong with a value, in words for a model and for a person: a JSON pointer (RFC 6901) and what is not kept.

The validator alone says whether a value fits; its own error reports grow without bound where branches nest. This walk
is bounded in steps and says what it finds by then. Values are not repeated; of the reply only names of members are.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import json

from tenfold.core.chat import JsonObject
from tenfold.inference.output.shape import Shape, keyword_holds

MOST_ERRORS = 8
_MOST_STEPS = 400  # a step compiles at most one keyword: some 50 us
_MOST_BRANCHES = 8
_LONGEST_POINTER = 120
_LONGEST_WORD = 60
_LONGEST_MATCHED = 2_000  # characters
_PLAIN = (
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "dependentRequired",
)
_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def explain(shape: Shape, value: Any) -> tuple[str, ...]:
    """At least one line for a value that does not fit, at most MOST_ERRORS."""
    found: list[str] = []
    for line in _Walk(shape.schema).errors(shape.schema, value, ""):
        if line not in found:
            found.append(line)
        if len(found) == MOST_ERRORS:
            break
    return tuple(found) or ("(root): does not fit the schema",)


class _Walk:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._steps = _MOST_STEPS

    def errors(self, schema: Any, value: Any, at: str) -> Iterator[str]:
        self._steps -= 1
        if self._steps < 0:
            return
        if schema is False:
            yield _line(at, "is not allowed here")
        if not isinstance(schema, dict):
            return
        if "type" in schema and not keyword_holds("type", schema["type"], value):
            yield _line(at, f"is {_kind(value)}, expected {_wanted(schema['type'])}")
            return  # what else it breaks follows from that
        for keyword in _PLAIN:
            if keyword in schema and not self._holds(keyword, schema[keyword], value):
                yield _line(at, f"breaks {keyword} {_short(schema[keyword])}")
        if isinstance(value, dict):
            yield from self._in_object(schema, value, at)
        elif isinstance(value, list):
            yield from self._in_array(schema, value, at)
        yield from self._same_value(schema, value, at)

    def _holds(self, keyword: str, asserted: Any, value: Any) -> bool:
        if keyword == "pattern" and isinstance(value, str) and len(value) > _LONGEST_MATCHED:
            return True
        if keyword in ("uniqueItems", "enum", "const") and isinstance(value, list) and len(value) > _LONGEST_MATCHED:
            return True
        self._steps -= 1
        return self._steps < 0 or keyword_holds(keyword, asserted, value)

    def _in_object(self, schema: JsonObject, value: JsonObject, at: str) -> Iterator[str]:
        required, members = schema.get("required"), schema.get("properties")
        for name in required if isinstance(required, list) else ():
            if isinstance(name, str) and name not in value:
                yield _line(at, f"lacks the member {_short(name)}")
        known = members if isinstance(members, dict) else {}
        for name, member in value.items():
            if name in known:
                yield from self.errors(known[name], member, f"{at}/{_step(name)}")
            elif "additionalProperties" in schema and "patternProperties" not in schema:
                if schema["additionalProperties"] is False:
                    yield _line(at, f"has the member {_short(name)}, which is not allowed")
                else:
                    yield from self.errors(schema["additionalProperties"], member, f"{at}/{_step(name)}")
            if self._steps < 0:
                return

    def _in_array(self, schema: JsonObject, value: list[Any], at: str) -> Iterator[str]:
        first, rest = schema.get("prefixItems"), schema.get("items")
        if isinstance(rest, list):
            first, rest = rest, schema.get("additionalItems")
        first = first if isinstance(first, list) else []
        for index, item in enumerate(value):
            inside = first[index] if index < len(first) else rest
            if inside is not None:
                yield from self.errors(inside, item, f"{at}/{index}")
            if self._steps < 0:
                return

    def _same_value(self, schema: JsonObject, value: Any, at: str) -> Iterator[str]:
        if isinstance(reference := schema.get("$ref"), str):
            yield from self.errors(self._find(reference), value, at)
        parts = schema.get("allOf")
        for part in parts if isinstance(parts, list) else ():
            yield from self.errors(part, value, at)
        for keyword in ("anyOf", "oneOf"):
            parts = schema.get(keyword)
            if isinstance(parts, list):
                yield from self._nearest(parts[:_MOST_BRANCHES], value, at)

    def _nearest(self, branches: list[Any], value: Any, at: str) -> Iterator[str]:
        """Of the branches the one with the fewest errors; nothing where one seems to fit."""
        best: list[str] | None = None
        for branch in branches:
            errors: list[str] = []
            for line in self.errors(branch, value, at):
                errors.append(line)
                if len(errors) == MOST_ERRORS:
                    break
            if self._steps < 0:
                return
            if best is None or len(errors) < len(best):
                best = errors
        yield from best or ()

    def _find(self, reference: str) -> Any:
        """Where a pointer leads; names are left to the validator."""
        found = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict):
                return None
            found = found.get(step)
        return found


def _line(at: str, what: str) -> str:
    return f"{at[:_LONGEST_POINTER] or '(root)'}: {what}"


def _step(name: str) -> str:
    return name[:_LONGEST_WORD].replace("~", "~0").replace("/", "~1")


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def _wanted(kind: Any) -> str:
    return " or ".join(map(str, kind))[:_LONGEST_WORD] if isinstance(kind, list) else str(kind)[:_LONGEST_WORD]


def _short(value: Any) -> str:
    """As JSON, cut. A name that is half a surrogate pair has no JSON."""
    try:
        said = json.encode(value).decode()
    except (UnicodeEncodeError, TypeError, ValueError):
        said = ascii(value)
    return said if len(said) <= _LONGEST_WORD else said[:_LONGEST_WORD] + "..."
