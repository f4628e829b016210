"""Where calls go, and how the API spells names."""

import re
from urllib.parse import quote

_COLLECTIONS = ("models", "tunedModels")
_SNAKE = re.compile(r"_([a-z0-9])")


def model_path(upstream_model: str) -> str:
    """`gemini-2.5-flash` -> `models/gemini-2.5-flash`; a name cannot lead out of its collection."""
    collection, slash, name = upstream_model.partition("/")
    if not slash or collection not in _COLLECTIONS:
        collection, name = "models", upstream_model
    return f"{collection}/{quote(name, safe='')}"


def generate_path(upstream_model: str, *, stream: bool) -> str:
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/{model_path(upstream_model)}:{method}"


def camel(name: str) -> str:
    """`safety_settings` -> `safetySettings`; the API takes both spellings."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)
