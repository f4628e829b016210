"""DOCX to Markdown. The archive is looked over before anything is unpacked: how much it holds, and that no part of it
declares entities."""

import io
import re
import zipfile
from typing import Any, Final
from xml.parsers.expat import ExpatError

import mammoth  # type: ignore[import-untyped]

from tenfold.retrieval.extract.html import read_html
from tenfold.retrieval.extract.types import Extracted, UnreadableFile

MAX_PARTS: Final = 5_000
MAX_XML_BYTES: Final = 64 * 1024 * 1024  # of all parts that are read, unpacked
_MAX_RATIO = 500  # of one part; real ones stay below 100
_SMALL = 1024 * 1024  # a part that may be packed as well as it likes
_DOCUMENT = "word/document.xml"
_DTD = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ENCRYPTED = 0x1
_OTHERS: Final = (
    ("xl/", "an Excel workbook. Save it as CSV or PDF and upload that."),
    ("ppt/", "a PowerPoint presentation. Save it as PDF and upload that."),
    ("META-INF/container.xml", "an e-book. Save it as HTML or PDF and upload that."),
    ("content.xml", "an OpenDocument file. Save it as DOCX or PDF and upload that."),
)


def read_docx(data: bytes) -> Extracted:
    """Raises UnreadableFile."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _look_over(archive)
        markup = mammoth.convert_to_html(io.BytesIO(data), convert_image=_no_image).value
    except (zipfile.BadZipFile, ExpatError, ValueError, EOFError, NotImplementedError, OSError):
        raise _broken() from None
    except RecursionError:
        raise
    except (AttributeError, TypeError, LookupError, RuntimeError):  # parts of it are not where they belong
        raise _broken() from None
    return read_html(markup)


def _broken() -> UnreadableFile:
    return UnreadableFile(
        "The DOCX is broken. Open it in a word processor, save it again and upload that.", "invalid_file"
    )


def _no_image(image: Any) -> list[Any]:
    return []


def _look_over(archive: zipfile.ZipFile) -> None:
    parts = archive.infolist()
    names = {part.filename for part in parts}
    if len(parts) > MAX_PARTS:
        raise UnreadableFile(f"The archive holds more than {MAX_PARTS} parts, as no document does.", "invalid_file")
    if _DOCUMENT not in names:
        for name, what in _OTHERS:
            if any(other.startswith(name) for other in names):
                raise UnreadableFile(f"The file is {what}", "unsupported_file")
        raise UnreadableFile("The file is an archive. Unpack it and upload what is in it.", "unsupported_file")
    if any(part.flag_bits & _ENCRYPTED for part in parts):
        raise UnreadableFile(
            "The document is protected with a password. Save it without one and upload it again.", "invalid_file"
        )
    read = [part for part in parts if part.filename.endswith((".xml", ".rels"))]
    # What a part says of its size binds its unpacking, too: no more than that is ever read of it.
    swollen = any(part.file_size > max(_SMALL, _MAX_RATIO * part.compress_size) for part in read)
    if swollen or sum(part.file_size for part in read) > MAX_XML_BYTES:
        raise UnreadableFile(
            f"The document unpacks to more than {MAX_XML_BYTES // 1024**2} MB of text, or is packed as no document is. "
            "Split it and upload its parts.",
            "invalid_file",
        )
    for part in read:
        if _declares(archive.read(part)):
            raise UnreadableFile(
                "The document declares entities of its own, as none of a word processor does. It is not opened.",
                "invalid_file",
            )


def _declares(xml: bytes) -> bool:
    return _DTD.search(xml.replace(b"\x00", b"") if xml[:4].count(0) else xml) is not None
