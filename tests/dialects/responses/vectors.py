"""Responses requests: one made up, and those that real programs sent."""

import json
from typing import Any

from tenfold.core.chat import JsonObject
from tests.support.openai_schema import official_examples
from tests.support.shared_data import json_lines, shared_data


def asking(**members: Any) -> bytes:
    return json.dumps({"model": "m", "input": "hi"} | members).encode()


def recorded() -> list[JsonObject]:
    """Recorded calls: `request`, `response_json`, `status`, ..."""
    rows = json_lines(shared_data("wire_recorded") / "interactions.jsonl.gz")
    return [row for row in rows if (row["provider"], row["path"]) == ("openai", "/v1/responses")]


def documented() -> list[JsonObject]:
    """The request bodies of OpenAI's reference pages."""
    bodies = []
    for example in official_examples("/responses"):
        _, found, rest = str(example["curl"]).partition("-d '")
        if found:
            bodies.append(json.loads(rest[: rest.rindex("'")].replace("'\\''", "'")))
    return bodies
