"""Cursors of pages: opaque text out of the place where a page ended, and back."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TypeVar

import msgspec

from tenfold.core.errors import InvalidRequest

T = TypeVar("T")

_MAX_CHARS = 4000


def to_cursor(place: msgspec.Struct) -> str:
    return urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def from_cursor(text: str | None, place: type[T]) -> T | None:
    """Raises InvalidRequest for what is no cursor of this kind."""
    if text is None:
        return None
    try:
        if len(text) > _MAX_CHARS:
            raise ValueError(text)
        return msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=place)
    except (ValueError, msgspec.MsgspecError):
        raise InvalidRequest("The cursor is not one that a page gave.", param="cursor") from None
