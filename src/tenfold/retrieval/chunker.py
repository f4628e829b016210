"""Cuts Markdown or plain text into chunks of about 250 tokens along its structure: a heading starts a new chunk, code
blocks and tables stay whole. Every chunk is a span of the text, so that a citation can point at it.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from msgspec import Struct

from tenfold.retrieval.types import Chunking

VERSION: Final = 1  # raised whenever the same text would be cut otherwise: documents are then indexed anew

TARGET_CHARS: Final = 1_000  # about 250 tokens of English
MAX_CHARS: Final = 1_500  # of prose; a paragraph beyond it is cut between sentences
MAX_WHOLE_CHARS: Final = 6_000  # a code block or table beyond it is cut between lines
TOKEN_CHARS: Final = 4  # of English, on average
_SMALL_CHARS = 200  # a section below it is joined with the next one of its parent

_LINE = re.compile(r"[^\n]*\n?")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*\n?\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TAG = re.compile(r"<[^<>]{0,200}>|\{#[^{}]{0,200}\}")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]?\s+")


class Chunk(Struct, frozen=True, kw_only=True):
    """`text` is `source[start:end]`; `heading` is the path of headings above it, "Guide > Install"."""

    heading: str
    text: str
    start: int
    end: int


class _Sizes(Struct, frozen=True, kw_only=True):
    """In characters."""

    target: int = TARGET_CHARS
    most: int = MAX_CHARS
    most_whole: int = MAX_WHOLE_CHARS
    overlap: int = 0


class _Block(Struct):
    start: int
    end: int
    path: tuple[str, ...]
    whole: bool = False  # code or a table
    opens: bool = False  # a heading


def chunk(source: str, chunking: Chunking | None = None) -> list[Chunk]:
    """Chunks in order; what lies between two of them is blank. With `chunking` they are as large as it allows and
    overlap as it says, still cut where the structure ends if they can; without, they do not overlap."""
    sizes = _sizes(chunking)
    chunks: list[Chunk] = []
    pending: list[_Block] = []
    for block in _pieces(source, sizes):
        if pending and _ends_before(block, pending, sizes):
            chunks.append(_joined(source, pending))
            pending = []
        pending.append(block)
    if pending:
        chunks.append(_joined(source, pending))
    found = [piece for piece in chunks if piece.text]
    return _overlapping(source, found, sizes.overlap) if sizes.overlap else found


def leading_title(source: str) -> str:
    """The heading that the text begins with; "" when it does not begin with one."""
    first = _HEADING.match(source.lstrip().partition("\n")[0])
    return _title(first[2]) if first else ""


def _sizes(chunking: Chunking | None) -> _Sizes:
    if chunking is None:
        return _Sizes()
    overlap = chunking.overlap_tokens * TOKEN_CHARS
    most = chunking.max_tokens * TOKEN_CHARS - overlap
    return _Sizes(target=most, most=most, most_whole=most, overlap=overlap)


def _overlapping(source: str, chunks: list[Chunk], overlap: int) -> list[Chunk]:
    """Each begins so many characters earlier, at a word, but has no more than the second half of the one before it."""
    found = chunks[:1]
    for before, piece in pairwise(chunks):
        earliest = max((before.start + before.end) // 2, piece.start - overlap)
        blank = re.search(r"\s", source[earliest : piece.start])
        start = piece.start if blank is None else earliest + blank.end()
        text = source[start : piece.end]
        start += len(text) - len(text.lstrip())
        found.append(Chunk(heading=piece.heading, text=source[start : piece.end], start=start, end=piece.end))
    return found


def _ends_before(block: _Block, pending: list[_Block], sizes: _Sizes) -> bool:
    """Whether `block` starts a new chunk."""
    size = pending[-1].end - pending[0].start
    if pending[-1].opens and not block.opens and len(pending) == 1:
        return block.end - pending[0].start > sizes.most_whole  # a heading stays with what it heads
    if block.end - pending[0].start > sizes.most:
        return True
    if block.path != pending[-1].path:
        below = block.path[: len(pending[0].path)] == pending[0].path
        return not (size < _SMALL_CHARS and (below or block.path[:-1] == pending[0].path[:-1]))
    return size >= sizes.target


def _joined(source: str, blocks: list[_Block]) -> Chunk:
    start, end = blocks[0].start, blocks[-1].end
    text = source[start:end]
    start += len(text) - len(text.lstrip())
    text = text.strip()
    path = next((block.path for block in blocks if block.path), ())
    return Chunk(heading=" > ".join(path), text=text, start=start, end=start + len(text))


def _pieces(source: str, sizes: _Sizes) -> Iterator[_Block]:
    """Blocks, those that are too large cut."""
    for block in _blocks(source):
        limit = sizes.most_whole if block.whole else sizes.most
        start = block.start
        while block.end - start > limit:
            cut = start + _cut(source[start : start + limit], block.whole)
            yield _Block(start=start, end=cut, path=block.path, whole=block.whole)
            start = cut
        block.start = start
        yield block


def _cut(text: str, whole: bool) -> int:
    """Where a text that is too long is cut: behind a line of code, a sentence, a word, or anywhere."""
    earliest = len(text) // 2
    if whole or "\n" in text[earliest:]:
        place = text.rfind("\n", earliest) + 1
        if place:
            return place
    ends = [match.end() for match in _SENTENCE_END.finditer(text, earliest)]
    if ends:
        return ends[-1]
    return text.rfind(" ", earliest) + 1 or len(text)


def _blocks(source: str) -> Iterator[_Block]:
    """Headings, paragraphs (lists are paragraphs), fenced code and tables, in order; blank lines belong to none."""
    path: list[tuple[int, str]] = []
    block: _Block | None = None
    fence = ""
    for match in _LINE.finditer(source):
        line, start, end = match[0], match.start(), match.end()
        if fence:
            assert block is not None
            block.end = end
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                yield block
                block, fence = None, ""
            continue
        opening = _FENCE.match(line)
        heading = _HEADING.match(line)
        is_table = line.lstrip().startswith("|")
        if block is not None and (not line.strip() or opening or heading or block.whole != is_table):
            yield block
            block = None
        if heading:
            level = len(heading[1])
            path = [(other, title) for other, title in path if other < level]
            path.append((level, _title(heading[2])))
            yield _Block(start=start, end=end, path=_titles(path), opens=True)
        elif opening:
            fence = opening[1]
            block = _Block(start=start, end=end, path=_titles(path), whole=True)
        elif block is not None:
            block.end = end
        elif line.strip():
            block = _Block(start=start, end=end, path=_titles(path), whole=is_table)
    if block is not None:
        yield block


def _titles(path: list[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(title for _, title in path)


def _title(heading: str) -> str:
    """A heading without anchors and emphasis."""
    return " ".join(re.sub(r"[*_`]{1,3}(.+?)[*_`]{1,3}", r"\1", _TAG.sub("", heading)).split())
