"""The model list in the shape of either vendor's API. The ids are the names clients use here."""

from typing import Any

from msgspec import json

from tenfold.core.errors import InvalidRequest
from tenfold.edge.lists import number_of, query_of

_EPOCH = "1970-01-01T00:00:00Z"  # what the APIs give for an unknown date of release
_DEFAULT_PAGE, _MAX_PAGE = 20, 1000


def list_models(dialect: str, models: list[str], query: str) -> bytes:
    """All models (OpenAI), or a page of them (Anthropic: limit, after_id, before_id). Raises InvalidRequest."""
    if dialect != "anthropic":
        return json.encode({"object": "list", "data": [_openai(model) for model in models]})
    options = query_of(query)
    limit = number_of(options, "limit", _DEFAULT_PAGE)
    if not 1 <= limit <= _MAX_PAGE:
        raise InvalidRequest(f"limit: must be between 1 and {_MAX_PAGE}", param="limit")
    after, before = options.get("after_id"), options.get("before_id")
    if after is not None:
        rest = [model for model in models if model > after]
    elif before is not None:
        rest = [model for model in models if model < before][-limit:]
    else:
        rest = models
    page = rest[:limit]
    more = len(rest) > limit if before is None else bool(page) and page[0] != models[0]
    return json.encode(
        {
            "data": [_anthropic(model) for model in page],
            "has_more": more,
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
        }
    )


def show_model(dialect: str, model: str) -> bytes:
    return json.encode(_anthropic(model) if dialect == "anthropic" else _openai(model))


def _openai(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 0, "owned_by": "tenfold"}


def _anthropic(model: str) -> dict[str, Any]:
    return {"type": "model", "id": model, "display_name": model, "lifecycle": "active", "created_at": _EPOCH}
