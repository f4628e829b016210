"""Reply headers as the lines they make on the wire, so that what never changes is written once."""

from collections.abc import Iterable


def header_lines(pairs: Iterable[tuple[str, str]]) -> str:
    """`name: value` and a line end for each. Raises ValueError for a value that holds a line break: it would begin a
    header, or a whole reply, of somebody else's making."""
    lines = [f"{name}: {value}\r\n" for name, value in pairs]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines):
        raise ValueError("a reply header holds a line break")
    return text
