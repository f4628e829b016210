"""JSON Schemas as Anthropic's structured outputs and strict tools take them: a subset, checked by the upstream.

A keyword that upstream refuses (numeric and length bounds) moves into the description, as the vendor's SDK does, so
the model still reads it; nothing else is changed, and a schema that already fits comes out equal.
"""

from typing import Any

from tenfold.core.chat import JsonObject

_REFUSED = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid", "text")
)
_ONE = ("items", "not", "additionalItems")
_LISTS = ("anyOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions", "patternProperties")


def supported_schema(schema: JsonObject) -> JsonObject:
    """A copy of `schema` in the subset."""
    out: JsonObject = {}
    moved: list[str] = []
    for key, value in schema.items():
        if _refused(key, value):
            moved.append(f"{key}: {value}")
        elif key in _ONE and isinstance(value, dict):
            out[key] = supported_schema(value)
        elif key == "oneOf" and "anyOf" not in schema:
            out["anyOf"] = _each(value)
        elif key in _LISTS:
            out[key] = _each(value)
        elif key in _MAPS and isinstance(value, dict):
            out[key] = {name: _one(inner) for name, inner in value.items()}
        else:
            out[key] = value
    if _is_object(schema):
        out["additionalProperties"] = False
    if moved:
        said = out.get("description")
        bounds = "{" + ", ".join(moved) + "}"
        out["description"] = f"{said}\n\n{bounds}" if said else bounds
    return out


def _refused(key: str, value: Any) -> bool:
    if key == "minItems":
        return value not in (0, 1)
    if key == "format":
        return isinstance(value, str) and value not in _FORMATS
    return key in _REFUSED


def _is_object(schema: JsonObject) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema


def _one(value: Any) -> Any:
    return supported_schema(value) if isinstance(value, dict) else value


def _each(value: Any) -> Any:
    return [_one(inner) for inner in value] if isinstance(value, list) else value
