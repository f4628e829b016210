"""Marks in an answer to the passages they stand for."""

import re
from collections.abc import Sequence

from tenfold.assistant.types import Citation, Hit

EXCERPT_CHARS = 320

_MARK = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")


def cited(text: str, hits: Sequence[Hit]) -> list[Citation]:
    """The passages the text refers to as [n] or [n, m], in that order; marks of no passage are left out."""
    numbers: dict[int, None] = {}
    for mark in _MARK.finditer(text):
        for number in mark[1].split(","):
            numbers[int(number)] = None
    return [citation(number, hits[number - 1]) for number in numbers if 1 <= number <= len(hits)]


def citation(number: int, hit: Hit) -> Citation:
    return Citation(
        number=number,
        title=hit.title,
        url=hit.url,
        heading=hit.heading,
        span=hit.span,
        excerpt=_excerpt(hit.text),
    )


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    if len(text) <= EXCERPT_CHARS:
        return text
    whole_words = text[:EXCERPT_CHARS].rsplit(" ", 1)[0]
    return f"{whole_words} …"
