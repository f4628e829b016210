"""A file to its text, in this process and without a guard: who calls it is the child that may die of it."""

from tenfold.retrieval.extract.decoding import decode
from tenfold.retrieval.extract.docx import read_docx
from tenfold.retrieval.extract.html import read_html
from tenfold.retrieval.extract.pdf import read_pdf
from tenfold.retrieval.extract.plain import fenced, json_lines, rows
from tenfold.retrieval.extract.sniffing import Kind, kind_of
from tenfold.retrieval.extract.types import Extracted, Limits, UnreadableFile


def read(data: bytes, filename: str, content_type: str, limits: Limits) -> Extracted:
    """Raises UnreadableFile; RecursionError and MemoryError are the caller's."""
    kind = kind_of(data, filename, content_type)
    extracted = _read(kind, data, content_type)
    if not extracted.text.strip():
        raise UnreadableFile("The file holds no text.", "invalid_file")
    if len(extracted.text) > limits.max_chars:
        raise UnreadableFile(
            f"The file holds more than {limits.max_chars} characters of text. Split it and upload its parts.",
            "invalid_file",
        )
    return extracted


def _read(kind: Kind, data: bytes, content_type: str) -> Extracted:
    if kind == "pdf":
        return read_pdf(data)
    if kind == "docx":
        return read_docx(data)
    text = decode(data, content_type, markup=kind == "html")
    if kind == "html":
        return read_html(text)
    if kind == "csv":
        return Extracted(text=rows(text))
    if kind == "json":
        return Extracted(text=fenced(json_lines(text)))
    if kind == "code":
        return Extracted(text=fenced(text))
    return Extracted(text=text)
