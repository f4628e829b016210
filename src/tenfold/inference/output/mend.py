"""Mending a reply's text without asking a model: for nothing, always the same, in bounded time.

Mended: prose and code fences around one JSON value, a byte order mark, trailing commas, comments, single quotes,
names without quotes, Python's True, False and None, raw line breaks in strings, escapes JSON does not know, numbers
written as +1, .5 or 5., and closing brackets left out at the end of a reply that its model ended by itself.
NaN and the infinities become null, as JSON.stringify has it.

Not mended, since it would be guessing: a reply that was cut short stays cut - no bracket is closed for one - nor is a
string closed, a comma or a quotation mark put in, a missing member made up, or one of two values chosen that both fit.
"""

import re

from msgspec import json

from tenfold.core.json_guard import MAX_DEPTH
from tenfold.inference.output.expected import Expected, fits

MOST_TEXT = 262_144
_MOST_TRIES = 32
_MOST_LEFT_OPEN = 8

_BEGIN = re.compile(r"[{\[]")
_BLANK = re.compile(r"(?:[ \t\r\n\ufeff\u00a0]+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*")
_DOUBLE = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_SINGLE = re.compile(r"'([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_$][\w$-]*")
_NUMBER = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(?![\w.])")
_ENDLESS = re.compile(r"[+-]?(?:Infinity|NaN)\b")
_ASIDE = re.compile(r"\[[^\[\]{}\":]*\]|\{[^\[\]{}\":]*\}")  # [sic], {name}: prose, and nothing of value in it
_ODD = re.compile(r'\\u[0-9a-fA-F]{4}|\\.|[\x00-\x1f"]', re.DOTALL)
_WORDS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}


def mend(expected: Expected, text: str, *, cut: bool = False) -> str | None:
    """A text that keeps what was promised, or None. A text that keeps it already comes back as it is.

    `cut`: the reply ended because of its length limit."""
    if fits(expected, text):
        return text
    if len(text) > MOST_TEXT:
        return None
    found = _values(text, cut=cut)
    good = {value for value in found or () if fits(expected, value)}
    return good.pop() if len(good) == 1 else None


class _Unmendable(Exception):
    pass


def _values(text: str, *, cut: bool) -> list[str] | None:
    """The JSON values in the text, each from an opening bracket on. None where one of them makes no sense: what stands
    inside it would be found, and pass for the whole."""
    values: list[str] = []
    at = 0
    for _ in range(_MOST_TRIES):
        begin = _BEGIN.search(text, at)
        if begin is None:
            return values
        at = begin.start()
        reader = _Reader(text, may_close=not cut)
        try:
            end = reader.value(at, 0)
        except _Unmendable:
            aside = _ASIDE.match(text, at)
            if aside is None:
                return None
            at = aside.end()
            continue
        values.append("".join(reader.out))
        at = end
    return None


class _Reader:
    """Reads one value leniently from a place on, and writes it strictly to `out`."""

    def __init__(self, text: str, *, may_close: bool) -> None:
        self._text = text
        self._may_close = may_close
        self._left_open = 0
        self.out: list[str] = []

    def value(self, at: int, depth: int) -> int:
        """Where it ends. Raises _Unmendable."""
        if depth > MAX_DEPTH:
            raise _Unmendable
        sign = self._text[at : at + 1]
        if sign in ("{", "["):
            return self._inside(at + 1, depth, is_object=sign == "{")
        if sign in ('"', "'") and sign:
            return self._string(at)
        endless = _ENDLESS.match(self._text, at)
        if endless is not None:
            self.out.append("null")
            return endless.end()
        number = _NUMBER.match(self._text, at)
        if number is not None:
            self.out.append(_number(number))
            return number.end()
        word = _WORD.match(self._text, at)
        if word is None or word[0] not in _WORDS:
            raise _Unmendable
        self.out.append(_WORDS[word[0]])
        return word.end()

    def _inside(self, at: int, depth: int, *, is_object: bool) -> int:
        """The rest of an object or array. After a member comes a comma or the end, and a comma may come last."""
        opened, closed = "{}" if is_object else "[]"
        self.out.append(opened)
        first = True
        while True:
            at = self._blank(at)
            if self._text[at : at + 1] == closed:
                self.out.append(closed)
                return at + 1
            if not first:
                self.out.append(",")
            if is_object:
                at = self._name(at)
            at = self._blank(self.value(at, depth + 1))
            first = False
            following = self._text[at : at + 1]
            if not following:
                return self._close(at, closed)
            if following == ",":
                at += 1
            elif following != closed:
                raise _Unmendable

    def _close(self, at: int, closed: str) -> int:
        """The text ended after a whole member."""
        self._left_open += 1
        if not self._may_close or self._left_open > _MOST_LEFT_OPEN:
            raise _Unmendable
        self.out.append(closed)
        return at

    def _name(self, at: int) -> int:
        if self._text[at : at + 1] in ('"', "'"):
            at = self._string(at)
        else:
            word = _WORD.match(self._text, at)
            if word is None:
                raise _Unmendable
            self.out.append(f'"{word[0]}"')
            at = word.end()
        at = self._blank(at)
        if self._text[at : at + 1] != ":":
            raise _Unmendable
        self.out.append(":")
        return self._blank(at + 1)

    def _string(self, at: int) -> int:
        found = (_DOUBLE if self._text[at] == '"' else _SINGLE).match(self._text, at)
        if found is None:
            raise _Unmendable
        self.out.append(f'"{_ODD.sub(_plain, found[1])}"')
        return found.end()

    def _blank(self, at: int) -> int:
        found = _BLANK.match(self._text, at)
        return at if found is None else found.end()


def _plain(odd: re.Match[str]) -> str:
    """What may not stand in a JSON string, as it may."""
    sign = odd[0]
    if sign == '"':
        return '\\"'
    if len(sign) == 1:
        return json.encode(sign).decode()[1:-1]
    if len(sign) == 6 or sign[1] in '"\\/bfnrt':
        return sign
    return "'" if sign == "\\'" else "\\\\" + (sign[1] if sign[1] >= " " else json.encode(sign[1]).decode()[1:-1])


def _number(found: re.Match[str]) -> str:
    """Raises _Unmendable for 007: it may be a name, or octal."""
    sign, digits, exponent = found[1], found[2], found[3] or ""
    whole, _, fraction = digits.partition(".")
    if len(whole) > 1 and whole[0] == "0":
        raise _Unmendable
    return f"{'-' if sign == '-' else ''}{whole or '0'}{'.' + fraction if fraction else ''}{exponent}"
