"""Text that is no prose: source code, JSON and CSV, in the form of Markdown that the chunker cuts well."""

import csv
import io
import re
from collections.abc import Iterator

from tenfold.retrieval.extract.types import UnreadableFile

_BLOCK_CHARS = 1_200  # of code under one fence, about 300 tokens
_LONG_LINE = 2_000  # of JSON: it was not written for people
_VALUE_CHARS = 100_000  # of one cell
_TICKS = re.compile(r"`{3,}")
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|[,\[{]', re.DOTALL)
_SPACES = re.compile(r"\s+")


def fenced(text: str) -> str:
    """Code as fenced blocks, cut at blank lines where it can be, so that no line of it is read as a heading."""
    fence = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    return "\n\n".join(f"{fence}\n{block}\n{fence}" for block in _blocks(text.expandtabs(4)))


def _blocks(text: str) -> Iterator[str]:
    lines: list[str] = []
    size = 0
    for line in text.split("\n"):
        full = size + len(line) > _BLOCK_CHARS
        if lines and (full or (not line.strip() and size > _BLOCK_CHARS // 2)):
            if any(held.strip() for held in lines):
                yield "\n".join(lines).strip("\n")
            lines, size = [], 0
        lines.append(line.rstrip())
        size += len(line) + 1
    if any(held.strip() for held in lines):
        yield "\n".join(lines).strip("\n")


def json_lines(text: str) -> str:
    """JSON that is one long line gets breaks, and is otherwise as it was."""
    if max(map(len, text.split("\n"))) <= _LONG_LINE:
        return text
    return _STRING_OR_COMMA.sub(lambda found: found[0] if found[0][0] == '"' else found[0] + "\n", text)


def rows(text: str) -> str:
    """Each row of a table with a heading as a paragraph "name: value; name: value"; text that is no such table, as it
    is. Raises UnreadableFile."""
    first = text.lstrip("\n").partition("\n")[0]
    delimiter = max(",;\t|", key=first.count)
    if delimiter not in first:
        return text
    csv.field_size_limit(_VALUE_CHARS)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [_flat(name).strip("#|`~> ") for name in next(reader, [])]
        return "\n\n".join(line for row in reader if (line := _row(names, row)))
    except csv.Error as error:
        raise UnreadableFile(
            f"The table cannot be read: {error} (line {reader.line_num}). Save it as CSV again.", "invalid_file"
        ) from None


def _row(names: list[str], row: list[str]) -> str:
    cells = [(names[place] if place < len(names) else "", _flat(cell)) for place, cell in enumerate(row)]
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in cells if cell)


def _flat(cell: str) -> str:
    return _SPACES.sub(" ", cell).strip()
