"""Marks in an answer to the passages they stand for."""

import re
from collections.abc import Sequence

from tenfold.assistant.types import Citation, Hit

EXCERPT_CHARS = 320
HEADING_SIGN = " > "

MARK = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")

_LEADING_HEADINGS = re.compile(r"\A(?:\s*#{1,6}[ \t][^\n]*(?:\n|\Z))+")
_MARKDOWN = (
    (re.compile(r"^[ \t]*(?:`{3,}|~{3,})[^\n]*$", re.MULTILINE), " "),  # fences
    (re.compile(r"^[ \t]*\|?[ \t]*:?-{3,}[-|: \t]*$", re.MULTILINE), " "),  # the rule below a table's head
    (re.compile(r"^[ \t]*#{1,6}[ \t]+(.*\w)[ \t]*$(?=\s*\S)", re.MULTILINE), r"\1:"),  # headings of what follows
    (re.compile(r"^[ \t]*(?:#{1,6}|[-*+>]|\d{1,3}[.)])[ \t]+", re.MULTILINE), ""),  # headings, lists, quotes
    (re.compile(r"!?\[([^\[\]]{0,200})\]\([^()\s]{0,500}\)"), r"\1"),  # links
    (re.compile(r"\*\*|__|`|(?<!\\)\|"), ""),  # emphasis, code, columns
    (re.compile(r"\\(?=[|*_`\[\]#])"), ""),  # signs that were to be taken as they are
)


def cited_numbers(text: str, hits: Sequence[Hit]) -> list[int]:
    """Of the passages the text refers to as [n] or [n, m], in that order; marks of no passage are left out."""
    numbers: dict[int, None] = {}
    for mark in MARK.finditer(text):
        for number in mark[1].split(","):
            numbers[int(number)] = None
    return [number for number in numbers if 1 <= number <= len(hits)]


def cited(text: str, hits: Sequence[Hit]) -> list[Citation]:
    """The passages behind those numbers."""
    return [citation(number, hits[number - 1]) for number in cited_numbers(text, hits)]


def citation(number: int, hit: Hit) -> Citation:
    title, heading = _names(hit)
    return Citation(
        number=number,
        title=title,
        url=hit.url,
        heading=heading,
        span=hit.span,
        excerpt=_excerpt(hit.text),
    )


def _names(hit: Hit) -> tuple[str, str]:
    """The document and the place in it. A document often repeats its title as its first heading, or has no other."""
    first, _, rest = hit.heading.partition(HEADING_SIGN)
    title = hit.title or first or "Untitled"
    return title, rest if first == title else hit.heading


def _excerpt(text: str) -> str:
    """The words of a passage of Markdown, without its marks and the headings it begins with."""
    text = _LEADING_HEADINGS.sub("", text) or text
    for marks, words in _MARKDOWN:
        text = marks.sub(words, text)
    text = " ".join(text.split())
    if len(text) <= EXCERPT_CHARS:
        return text
    whole_words = text[:EXCERPT_CHARS].rsplit(" ", 1)[0]
    return f"{whole_words} …"
