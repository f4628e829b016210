"""Values that fit a JSON Schema, and texts that do not. Covers what vendors take as a response schema, not all of the
specification: what it does not know it leaves out. Pure.
"""

from typing import Any, Literal

from msgspec import json

Schema = dict[str, Any]

_MAX_DEPTH = 32
_FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "email": "a@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fitting(schema: Schema) -> str:
    """JSON text that fits."""
    return json.encode(_value(schema, schema, 0)).decode()


def unfitting(schema: Schema, how: Literal["json", "text", "cut"]) -> str:
    """Not a JSON text that fits, whatever the schema is, unless it lets everything pass."""
    if how == "text":
        return "Of course! Here is what you asked for."
    if how == "cut":
        return fitting(schema)[:-1] or "{"
    wanted = _value(schema, schema, 0)
    other: Any = ["off schema"] if isinstance(wanted, dict) else {"off_schema": True}
    return json.encode(other).decode()


def _value(schema: Any, root: Schema, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return _value(schema[choice][0], root, depth + 1)
    match _type(schema):
        case "object":
            named = schema.get("properties", {})
            wanted = schema.get("required", list(named)) if depth > _MAX_DEPTH // 2 else list(named)
            return {name: _value(named.get(name, {}), root, depth + 1) for name in wanted}
        case "array":
            return [_value(schema.get("items", {}), root, depth + 1)] * max(int(schema.get("minItems", 1)), 0)
        case "integer":
            return int(_number(schema, 1))
        case "number":
            return _number(schema, 0.5)
        case "boolean":
            return True
        case "string":
            text = _FORMATS.get(schema.get("format", ""), "word")
            return text.ljust(int(schema.get("minLength", 0)), ".")[: int(schema.get("maxLength", 1000))]
    return None


def _resolved(schema: Schema, root: Schema) -> Schema:
    for _ in range(_MAX_DEPTH):
        if isinstance(schema.get("$ref"), str):
            target: Any = root
            for part in schema["$ref"].removeprefix("#").strip("/").split("/"):
                target = target.get(part, {}) if isinstance(target, dict) and part else target
            more = target if isinstance(target, dict) else {}
            schema = more | {name: value for name, value in schema.items() if name != "$ref"}
        elif schema.get("allOf"):
            parts = [part for part in schema["allOf"] if isinstance(part, dict)]
            schema = {name: value for name, value in schema.items() if name != "allOf"}
            for part in parts:
                schema = part | schema
        else:
            break
    return schema


def _type(schema: Schema) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    return str(kind).lower()  # Gemini's own schemas have OBJECT, STRING


def _number(schema: Schema, default: float) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + 1
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - 1
    value = default if low is None else max(default, low)
    return value if high is None else min(value, high)
