"""Validators for the schemas of OpenAI's own API description (OpenAPI 3.1, with `nullable` left from 3.0)."""

import gzip
import json
from functools import cache
from typing import Any

import jsonschema  # type: ignore[import-untyped]

from tests.support.shared_data import json_lines, shared_data


def assert_valid(schema: str, value: Any) -> None:
    """Fails the test with every violation of components/schemas/<schema>."""
    errors = [f"{error.json_path}: {error.message[:300]}" for error in _validator(schema).iter_errors(value)]
    assert not errors, errors


def schema(name: str) -> dict[str, Any]:
    """components/schemas/<name>."""
    described: dict[str, Any] = _schemas()[name]
    return described


def official_examples(path: str, method: str = "POST") -> list[dict[str, Any]]:
    """Examples of the reference pages: `curl`, `response`, `title`."""
    rows = json_lines(shared_data("openapi_openai") / "official_examples.jsonl.gz")
    return [row for row in rows if row["kind"] == "operation" and (row["method"], row["path"]) == (method, path)]


@cache
def _validator(schema: str) -> Any:
    components = {"components": {"schemas": _schemas()}}
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{schema}", **components})


@cache
def _schemas() -> Any:
    with gzip.open(shared_data("openapi_openai") / "openapi.json.gz") as file:
        return _modern(json.load(file)["components"]["schemas"])


def _modern(value: Any) -> Any:
    """`nullable: true` as the union with null it means."""
    if isinstance(value, list):
        return [_modern(item) for item in value]
    if not isinstance(value, dict):
        return value
    modern = {name: _modern(member) for name, member in value.items()}
    if modern.pop("nullable", False) is True:
        return {"anyOf": [modern, {"type": "null"}]}
    return modern
