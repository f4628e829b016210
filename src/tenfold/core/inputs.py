"""Checks of what people and programs hand in, told in the same words wherever it is handed in."""

import unicodedata
from typing import TypeVar
from uuid import UUID

from tenfold.core.errors import InvalidRequest

_Word = TypeVar("_Word", bound=str)

# Control signs, lone surrogates, line and paragraph separators: no name holds them, some cannot even be stored.
REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def one_of(value: str, known: tuple[_Word, ...], param: str) -> _Word:
    """The word among `known`. Raises InvalidRequest that lists them."""
    for word in known:
        if word == value:
            return word
    raise InvalidRequest(f"`{param}` is one of: {', '.join(known)}.", param=param)


def plain_subject(text: str, most: int) -> str:
    """A name of a client's own choosing, of at most `most` characters. Raises InvalidRequest."""
    if not 1 <= len(text) <= most or not REFUSED_CATEGORIES.isdisjoint(unicodedata.category(sign) for sign in text):
        raise InvalidRequest(f"A subject has 1 to {most} characters, and no control characters.", param="subject")
    return text


def uuid_of(text: str) -> UUID | None:
    """None: it is no UUID, so nothing has it for an id."""
    try:
        return UUID(text)
    except ValueError:
        return None
