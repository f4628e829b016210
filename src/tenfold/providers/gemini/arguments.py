"""Arguments of a function call that arrive as (JSON path, value) pieces, written out as the JSON text they build.

Pieces come in document order, so the text only ever grows. A piece out of order is refused: the text written before it
cannot be taken back.
"""

import re

import msgspec
from msgspec import UNSET, Struct

from tenfold.providers.gemini.schema import PartialArg

_SEGMENT = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,6})\]|\[(["'])((?:(?!\3)[^\\]|\\.)*)\3\]""")
_ESCAPED = re.compile(r"\\(.)")

Segment = str | int


class OutOfOrder(ValueError):
    """A path that is malformed, or does not continue what was written."""


class _Level(Struct):
    """An open container and the child written last."""

    child: Segment
    keys: set[Segment]


class ArgumentsWriter:
    """One call. `write` and `close` give the next fragment of the JSON text of the arguments."""

    def __init__(self) -> None:
        self._levels: list[_Level] = []
        self._in_string = False

    @property
    def empty(self) -> bool:
        return not self._levels

    def write(self, piece: PartialArg) -> str:
        """Raises OutOfOrder."""
        path = _segments(piece.json_path)
        more = bool(piece.will_continue)
        if self._in_string and path == [level.child for level in self._levels]:
            return self._continue_string(piece, more)
        value, string_goes_on = _value(piece, more)
        if value is None:
            return ""
        text = '"' if self._in_string else ""
        text += self._go_to(path)
        self._in_string = string_goes_on
        return text + value

    def close(self) -> str:
        if self.empty:
            return "{}"
        text = '"' if self._in_string else ""
        self._in_string = False
        text += self._close_down_to(0)
        text += _closing(self._levels.pop().child)
        return text

    def _continue_string(self, piece: PartialArg, more: bool) -> str:
        addition = "" if piece.string_value is UNSET else _escaped(piece.string_value)
        self._in_string = more
        return addition if more else addition + '"'

    def _go_to(self, path: list[Segment]) -> str:
        """Closes what is done with and opens what leads to `path`, up to where its value stands."""
        if not self._levels:
            return self._open(path)
        shared = 0
        while shared < min(len(path), len(self._levels)) and path[shared] == self._levels[shared].child:
            shared += 1
        if shared == len(path) or shared == len(self._levels):
            raise OutOfOrder(f"{path} was written already")
        text = self._close_down_to(shared)
        level, child = self._levels[shared], path[shared]
        if child in level.keys or isinstance(child, int) != isinstance(level.child, int):
            raise OutOfOrder(f"{path} does not follow {level.child}")
        if isinstance(child, int) and isinstance(level.child, int) and child != level.child + 1:
            raise OutOfOrder(f"{path} does not follow {level.child}")
        level.child = child
        level.keys.add(child)
        return text + "," + _label(child) + self._open(path[shared + 1 :], nested=True)

    def _open(self, path: list[Segment], *, nested: bool = False) -> str:
        if not nested and (not path or isinstance(path[0], int)):
            raise OutOfOrder("arguments are an object")
        text = ""
        for segment in path:
            if isinstance(segment, int) and segment != 0:
                raise OutOfOrder(f"a list begins at 0, not at {segment}")
            text += ("[" if isinstance(segment, int) else "{") + _label(segment)
            self._levels.append(_Level(segment, {segment}))
        return text

    def _close_down_to(self, depth: int) -> str:
        text = ""
        while len(self._levels) > depth + 1:
            text += _closing(self._levels.pop().child)
        return text


def _segments(json_path: str) -> list[Segment]:
    """`$.steps[0]['odd key']` -> ["steps", 0, "odd key"] (RFC 9535, the part that names one place)."""
    if not json_path.startswith("$"):
        raise OutOfOrder("a path begins with $")
    segments: list[Segment] = []
    at = 1
    while at < len(json_path):
        match = _SEGMENT.match(json_path, at)
        if match is None:
            raise OutOfOrder(f"not a path: {json_path[:200]}")
        name, index, _, quoted = match.groups()
        if index is not None:
            segments.append(int(index))
        else:
            segments.append(name if name is not None else _ESCAPED.sub(r"\1", quoted))
        at = match.end()
    return segments


def _value(piece: PartialArg, more: bool) -> tuple[str | None, bool]:
    """The JSON text of a value, and whether it is a string that goes on. No value at all: (None, False)."""
    if piece.string_value is not UNSET:
        return f'"{_escaped(piece.string_value)}' + ("" if more else '"'), more
    for scalar in (piece.number_value, piece.bool_value):
        if scalar is not UNSET:
            return msgspec.json.encode(scalar).decode(), False
    return (None if piece.null_value is UNSET else "null"), False


def _label(segment: Segment) -> str:
    return "" if isinstance(segment, int) else f'"{_escaped(segment)}":'


def _closing(child: Segment) -> str:
    return "]" if isinstance(child, int) else "}"


def _escaped(text: str) -> str:
    return msgspec.json.encode(text)[1:-1].decode()
