"""Values that fit a JSON Schema, taken from what the prompt says where something there fits."""

import re
from typing import Any

from tests.support.upstream.conversation import Json

_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"|“([^”]+)”|`([^`]+)`|\(([^()]+)\)")
_NAME = re.compile(r"(?<![.?!]\s)(?<!^)\b[A-ZŁŚŻŹĆÀ-Þ][\w'-]*(?:,? [A-ZŁŚŻŹĆÀ-Þ][\w'-]*)*")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\d)")
_FORMATS = {
    "date": "2026-01-31",
    "time": "12:30:00",
    "date-time": "2026-01-31T12:30:00Z",
    "email": "ada@example.com",
    "uuid": "0190a5d8-2f7e-7c3a-9b1e-5f0c2d4e6a8b",
    "uri": "https://example.com/",
}


class Picker:
    """Takes values out of a prompt, each thing said once as long as there is another."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(prompt)]
        unquoted = _QUOTED.sub(" ", prompt)
        self._names = _NAME.findall(unquoted)
        self._numbers = [float(number) for number in _NUMBER.findall(prompt)]

    def text(self, name: str) -> str:
        for said in (self._quoted, self._names):
            if said:
                taken: str = said.pop(0)
                return taken
        return f"the {name.replace('_', ' ')}" if name else "something"

    def number(self, low: float | None, high: float | None) -> float:
        for place, number in enumerate(self._numbers):
            if (low is None or number >= low) and (high is None or number <= high):
                return self._numbers.pop(place)
        return low if low is not None else high if high is not None and high < 1 else 1

    def mentions(self, word: str) -> bool:
        return bool(word) and word.lower() in self._prompt.lower()

    @property
    def more_texts(self) -> bool:
        return bool(self._quoted or self._names)

    @property
    def more_numbers(self) -> bool:
        return bool(self._numbers)


def fit(schema: Any, prompt: str) -> Any:
    """A value of the schema."""
    root: Json = schema if isinstance(schema, dict) else {}
    return _value(root, root, Picker(prompt), "")


def _value(schema: Any, root: Json, picker: Picker, name: str) -> Any:
    if not isinstance(schema, dict):  # `true` allows anything
        return picker.text(name)
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return next((value for value in schema["enum"] if picker.mentions(str(value))), schema["enum"][0])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            some = [option for option in schema[union] if option.get("type") != "null"] or schema[union]
            return _value(some[0], root, picker, name)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    match str(kind).lower():
        case "object":
            return _object(schema, root, picker)
        case "array":
            return _array(schema, root, picker, name)
        case "integer" | "number" as numeric:
            return _number(schema, picker, whole=numeric == "integer")
        case "boolean":
            return not picker.mentions("not ")
        case "null":
            return None
        case _:
            return _text(schema, picker, name)


def _resolved(schema: Json, root: Json) -> Json:
    while "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    for part in schema.get("allOf", []):
        schema = {**_resolved(part, root), **{key: value for key, value in schema.items() if key != "allOf"}}
    return schema


def _object(schema: Json, root: Json, picker: Picker) -> Json:
    required = schema.get("required", [])
    return {
        name: _value(inner, root, picker, name)
        for name, inner in schema.get("properties", {}).items()
        if name in required or "default" not in inner or picker.mentions(name.replace("_", " "))
    }


def _array(schema: Json, root: Json, picker: Picker, name: str) -> list[Any]:
    items = schema.get("items", {})
    kind = _resolved(items, root).get("type") if isinstance(items, dict) else None
    values = [_value(items, root, picker, name) for _ in range(max(1, schema.get("minItems", 1)))]
    longest = schema.get("maxItems", 8)
    while len(values) < longest and (
        (kind == "string" and picker.more_texts) or (kind in ("integer", "number") and picker.more_numbers)
    ):
        values.append(_value(items, root, picker, name))
    return values[:longest]


def _number(schema: Json, picker: Picker, *, whole: bool) -> float | int:
    step = 1 if whole else 0.5
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + step
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - step
    value = picker.number(low, high)
    return int(value) if whole else value


def _text(schema: Json, picker: Picker, name: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    text = picker.text(name)
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength", 10_000)]
