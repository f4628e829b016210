"""PDF to Markdown by PDFium: pages, paragraphs, and headings where their letters are larger than the text's."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import pypdfium2  # type: ignore[import-untyped]
from msgspec import Struct

from tenfold.retrieval.extract.decoding import clean
from tenfold.retrieval.extract.types import Extracted, UnreadableFile

_HEADING_RATIO = 1.15  # of a heading's height to the text's
_HEADING_CHARS = 150
_LEVELS = 3
_GAP = 1.6  # of the line's height, from line to line: a paragraph begins,
_WIDER = 1.25  # unless most lines stand as far apart; then it is this much more than that,
_WIDEST = 2.2  # up to lines so many heights apart
_FULL_LINE = 0.6  # of a long line: one line this long goes on in the next one
_RUNNING_PAGES = 4  # from so many pages on, what most of them begin or end with is no text
_HYPHEN = re.compile("[\ufffe\x02\xad]\\s*")
_DIGITS = re.compile(r"\d+")
_BULLET = re.compile(r"(?:[•◦▪●‣–*-]|\(?[0-9a-z]{1,3}[.)])\s", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
_OFFICE_TITLE = re.compile(r"\A(?:Microsoft \w+ - |untitled|.*\.(?:docx?|pdf|indd|tex|dvi)\Z)", re.IGNORECASE)
_LINE_BREAK: Final = "\r\n"  # PDFium's
_PASSWORD: Final = pypdfium2.raw.FPDF_ERR_PASSWORD
_SECURITY: Final = pypdfium2.raw.FPDF_ERR_SECURITY


class _Line(Struct):
    """Measures in points; `bottom` grows upwards."""

    text: str
    height: float
    bottom: float


def read_pdf(data: bytes) -> Extracted:
    """Raises UnreadableFile."""
    document = _opened(data)
    try:
        pages = [_lines(document, number) for number in range(len(document))]
        named = str(document.get_metadata_dict().get("Title") or "").strip()
    finally:
        document.close()
    if not any(pages):
        raise UnreadableFile(
            "The PDF holds no text; its pages may be pictures. Run text recognition (OCR) over it and upload what "
            "comes of that.",
            "invalid_file",
        )
    body = _body_height(pages)
    _drop_running(pages, body)
    levels = _heading_levels(pages, body)
    step = _line_step(pages, body)
    lengths = sorted(len(line.text) for page in pages for line in page if line.height <= body)
    long = lengths[len(lengths) * 9 // 10]
    headings: list[tuple[int, str]] = []
    starts: list[int] = []
    written: list[str] = []
    length = 0
    for page in pages:
        starts.append(length)
        text = _markdown(page, levels, step, long, headings)
        if text:
            written.append(text + "\n\n")
            length += len(text) + 2
    whole = "".join(written).rstrip("\n")
    title = clean(named)[:300] if named and not _OFFICE_TITLE.match(named) else ""
    return Extracted(
        text=whole,
        title=title or (min(headings)[1] if headings else ""),
        pages=tuple(min(start, len(whole)) for start in starts),
    )


def _opened(data: bytes) -> Any:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) in (_PASSWORD, _SECURITY):
            raise UnreadableFile(
                "The PDF is protected with a password. Save it without one and upload it again.", "invalid_file"
            ) from None
        raise UnreadableFile(
            "The PDF is broken. Open it in a PDF reader, print it to a new PDF and upload that.", "invalid_file"
        ) from None


def _lines(document: Any, number: int) -> list[_Line]:
    """The lines of a page, in the order in which the page draws them; none of a page that is broken."""
    try:
        page = document[number]
        try:
            letters = page.get_textpage()
            try:
                return _measured(letters)
            finally:
                letters.close()
        finally:
            page.close()
    except pypdfium2.PdfiumError:
        return []


def _measured(letters: Any) -> list[_Line]:
    lines: list[_Line] = []
    place = 0
    count = letters.count_chars()
    for raw in letters.get_text_range().split(_LINE_BREAK):
        units = len(raw.encode("utf-16-le", "ignore")) // 2
        text = raw.strip()
        if text:
            first = place + len(raw) - len(raw.lstrip())
            index = pypdfium2.raw.FPDFText_GetCharIndexFromTextIndex(letters, first)
            _, bottom, _, top = letters.get_charbox(min(max(index, 0), count - 1), loose=True)
            lines.append(_Line(text=text, height=round(2 * (top - bottom)) / 2, bottom=bottom))
        place += units + len(_LINE_BREAK)
    return lines


def _body_height(pages: Sequence[Sequence[_Line]]) -> float:
    """The height of most of the text."""
    letters = Counter[float]()
    for page in pages:
        for line in page:
            letters[line.height] += len(line.text)
    return letters.most_common(1)[0][0]


def _line_step(pages: Sequence[Sequence[_Line]], body: float) -> float:
    """From most lines of the text to the next; 0 where they stand too far apart to be of one paragraph."""
    steps = Counter(
        round(before.bottom - line.bottom)
        for page in pages
        for before, line in pairwise(page)
        if before.height == line.height == body and before.bottom > line.bottom
    )
    step = steps.most_common(1)[0][0] if steps else 0
    return step if step <= _WIDEST * body else 0.0


def _drop_running(pages: Sequence[list[_Line]], body: float) -> None:
    """Headers, footers and page numbers: what most pages begin or end with, numbers aside, in letters no larger than
    the text's."""
    if len(pages) < _RUNNING_PAGES:
        return
    for end in (0, -1):
        for _ in range(2):
            seen = Counter(_DIGITS.sub("#", page[end].text) for page in pages if page and page[end].height <= body)
            running = {text for text, times in seen.items() if times > len(pages) / 2}
            for page in pages:
                if len(page) > 1 and page[end].height <= body and _DIGITS.sub("#", page[end].text) in running:
                    page.pop(end)


def _heading_levels(pages: Sequence[list[_Line]], body: float) -> dict[float, int]:
    """Height to level, 1 the largest; the smaller ones share the last."""
    large = {
        line.height
        for page in pages
        for line in page
        if line.height >= _HEADING_RATIO * body and len(line.text) <= _HEADING_CHARS and _LETTER.search(line.text)
    }
    return {height: min(level, _LEVELS) for level, height in enumerate(sorted(large, reverse=True), 1)}


def _markdown(
    page: Sequence[_Line], levels: dict[float, int], step: float, long: int, headings: list[tuple[int, str]]
) -> str:
    """`headings` takes those of the page, with their levels."""
    blocks: list[str] = []
    before: _Line | None = None
    was_level = 0
    for line in page:
        level = levels.get(line.height, 0) if _LETTER.search(line.text) else 0
        new = before is None or level != was_level or _is_apart(before, line, step)
        if level:
            words = clean(_HYPHEN.sub("", line.text))
            if new:
                blocks.append("#" * level + " " + words)
                headings.append((level, words))
            else:
                blocks[-1] += " " + words
                headings[-1] = (level, headings[-1][1] + " " + words)
        elif new:
            blocks.append(line.text)
        else:
            assert before is not None
            flows = len(before.text) >= _FULL_LINE * long and not _BULLET.match(line.text)
            blocks[-1] += (" " if flows else "\n") + line.text
        before, was_level = line, level
    return "\n\n".join(clean(_HYPHEN.sub("", block)).strip() for block in blocks).strip()


def _is_apart(before: _Line, line: _Line, usual: float) -> bool:
    """Whether a paragraph begins: there is room above it, or it stands elsewhere on the page."""
    step = before.bottom - line.bottom
    return step > max(_GAP * line.height, _WIDER * usual, 1.0) or step < -line.height
