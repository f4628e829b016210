"""The one written form of a grounded question: numbered passages, then the question, in a single user message.

A passage is untrusted: it is escaped so that no document can forge another passage's header or the question.
It refuses to know where passages come from or what answers them.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

INTRO = "Passages:\n"
QUESTION_MARK = "Question: "

# Whatever a reader (a person, a model, `str.splitlines`) may take for a line break.
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
# A line that looks like a header or the question ("[9]", " [ 12 ]", "question :"), after blanks, invisible signs and
# backslashes. Blanks exclude line breaks, so that a text of nothing but those is still read in linear time.
_LINE_START = rf"(?:\A|[{_BREAKS}])(?:[^\S{_BREAKS}]|[\u200b-\u200f\u2060\ufeff])*\\*"
_LOOKS_FORGED = r"(?=\[\s*\d+\s*\]|Question\s*:)"
_TO_ESCAPE = re.compile(f"({_LINE_START}){_LOOKS_FORGED}", re.IGNORECASE)
_TO_UNESCAPE = re.compile(rf"({_LINE_START})\\{_LOOKS_FORGED}", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
_UNTITLED = "Untitled"
_HEADING_SIGN = " — "


class Passage(Struct, frozen=True, kw_only=True):
    """A piece of a document. `heading` is the path of headings that leads to it ("Guide > Install"), or empty."""

    title: str
    text: str
    heading: str = ""


def compose(passages: Sequence[Passage], question: str, *, first: int = 1) -> str:
    """The user message; `first` is the number of its first passage, where others were quoted before:

        Passages:
        [1] <title> — <heading path>
        <text>

        Question: <question>

    Titles and headings are made one line each, a title without the sign that separates them.
    """
    blocks = [f"{_header(number, passage)}\n{_escape(passage.text)}" for number, passage in enumerate(passages, first)]
    listed = "\n\n".join(blocks)
    return INTRO + (f"{listed}\n\n" if blocks else "\n") + QUESTION_MARK + question


def parse(text: str) -> tuple[list[Passage], str] | None:
    """The inverse of `compose`; None when the text is not of this form."""
    if not text.startswith(INTRO):
        return None
    rest = text[len(INTRO) :]
    passages: list[Passage] = []
    if rest.startswith("\n" + QUESTION_MARK):
        return passages, rest[1 + len(QUESTION_MARK) :]
    while True:
        number = len(passages) + 1
        header, line_end, body = rest.partition("\n")
        opening = f"[{number}] "
        if not line_end or not header.startswith(opening):
            return None
        end, is_last = _end_of_text(body, number + 1)
        if end < 0:
            return None
        title, _, heading = header[len(opening) :].partition(_HEADING_SIGN)
        passages.append(Passage(title=title, heading=heading, text=_unescape(body[:end])))
        rest = body[end + 2 :]
        if is_last:
            return passages, rest[len(QUESTION_MARK) :]


def _end_of_text(body: str, next_number: int) -> tuple[int, bool]:
    """Where the text at the head of `body` ends (-1: nowhere), and whether the question follows it."""
    next_passage = body.find(f"\n\n[{next_number}] ")
    question = body.find("\n\n" + QUESTION_MARK)
    if next_passage >= 0 and (question < 0 or next_passage < question):
        return next_passage, False
    return question, True


def _header(number: int, passage: Passage) -> str:
    title = _one_line(passage.title).replace("—", "-") or _UNTITLED
    heading = _one_line(passage.heading)
    return f"[{number}] {title}{_HEADING_SIGN}{heading}" if heading else f"[{number}] {title}"


def _one_line(label: str) -> str:
    return _SPACES.sub(" ", label).strip()


def _escape(text: str) -> str:
    return _TO_ESCAPE.sub(r"\1\\", text)


def _unescape(text: str) -> str:
    return _TO_UNESCAPE.sub(r"\1", text)
