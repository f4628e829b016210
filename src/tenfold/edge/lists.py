"""What the routes of the vendors' resources have in common: query parameters, and pages of a list."""

from typing import Any
from urllib.parse import parse_qs

from tenfold.core.errors import InvalidRequest, NotFound

_MAX_QUERY = 4096


def query_of(query: str) -> dict[str, str]:
    """Each parameter once: the last one counts, and an empty one is none. Raises InvalidRequest."""
    if len(query) > _MAX_QUERY:
        raise InvalidRequest("The query is too long.")
    try:
        return {name: values[-1] for name, values in parse_qs(query, max_num_fields=32).items()}
    except ValueError:
        raise InvalidRequest("The query has too many parameters.") from None


def number_of(options: dict[str, str], name: str, default: int) -> int:
    """Raises InvalidRequest."""
    text = options.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidRequest(f"`{name}` is a whole number.", param=name)
    return int(text)


def page_of(told: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    """As OpenAI tells a page."""
    ids = [item["id"] for item in told]
    return {
        "object": "list",
        "data": told,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": has_more,
    }


def no_route(method: str, path: str) -> NotFound:
    return NotFound(f"{method} {path[:200]} does not exist here.")
