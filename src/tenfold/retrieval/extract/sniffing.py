"""What kind of file bytes are. The bytes decide; name and declared type only tell apart what is text in any case."""

import re
from pathlib import PurePath
from typing import Final, Literal

from tenfold.retrieval.extract.types import UnreadableFile

Kind = Literal["pdf", "docx", "html", "markdown", "csv", "json", "code", "text"]

_HEAD = 4_096
_PDF_WITHIN = 1_024  # readers of PDF allow this much before its beginning
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_OLE = "EncryptedPackage".encode("utf-16-le")
_READ = "Upload text, Markdown, HTML, PDF or DOCX."

_SIGNS: Final[tuple[tuple[bytes, str], ...]] = (
    (_OLE, "a document of Office before 2007. Save it as DOCX or PDF and upload that."),
    (b"{\\rtf", "RTF. Save it as DOCX or PDF and upload that."),
    (b"%!PS", "PostScript. Save it as PDF and upload that."),
    (b"\x89PNG", f"a picture. {_READ}"),
    (b"\xff\xd8\xff", f"a picture. {_READ}"),
    (b"GIF8", f"a picture. {_READ}"),
    (b"II*\x00", f"a picture. {_READ}"),
    (b"MM\x00*", f"a picture. {_READ}"),
    (b"ID3", f"sound. {_READ}"),
    (b"OggS", f"sound. {_READ}"),
    (b"RIFF", f"sound, a film or a picture. {_READ}"),
    (b"\x1aE\xdf\xa3", f"a film. {_READ}"),
    (b"\x7fELF", f"a program. {_READ}"),
    (b"MZ", f"a program. {_READ}"),
    (b"\x1f\x8b", "compressed. Unpack it and upload what is in it."),
    (b"BZh", "compressed. Unpack it and upload what is in it."),
    (b"\xfd7zXZ\x00", "compressed. Unpack it and upload what is in it."),
    (b"\x28\xb5\x2f\xfd", "compressed. Unpack it and upload what is in it."),
    (b"7z\xbc\xaf\x27\x1c", "an archive. Unpack it and upload what is in it."),
    (b"Rar!", "an archive. Unpack it and upload what is in it."),
    (b"SQLite format 3\x00", "a database. Export it as CSV and upload that."),
)
_TEXTUAL = (b"MZ", b"ID3", b"RIFF", b"BZh", b"GIF8", b"Rar!", b"OggS")  # a text can begin so

_HTML = re.compile(
    rb"\A(?:\s|\xef\xbb\xbf|<!--.{0,2000}?-->|<\?xml[^>]{0,200}>)*"
    rb"<(?:!doctype\s+html|html|head|body|title|meta|script|style)[\s>/]",
    re.IGNORECASE | re.DOTALL,
)
_TAGS = re.compile(rb"</?(?:p|div|span|h[1-6]|a|ul|ol|li|table|br|img|section|article|main)\b[^<>]{0,400}>", re.I)

_MARKDOWN = "md markdown mdx mkd txt text rst log tex"
_CODE = (
    "c cc cpp cs css cxx go h hpp ini java js jsx kt lua php pl proto py r rb rs scala sh bash sql swift toml ts tsx "
    "vue xml svg yaml yml cfg conf tf dockerfile makefile"
)
_CODE_TYPES = (
    "application/javascript text/javascript application/typescript application/x-sh application/xml application/yaml "
    "text/css text/xml text/x-c text/x-c++ text/x-csharp text/x-golang text/x-java text/x-php text/x-python "
    "text/x-ruby text/x-script.python"
)


def _each(words: str, kind: Kind) -> dict[str, Kind]:
    return dict.fromkeys(words.split(), kind)


_BY_EXTENSION: Final[dict[str, Kind]] = {
    **_each(_MARKDOWN, "markdown"),
    **_each("html htm xhtml", "html"),
    **_each("csv tsv", "csv"),
    **_each("json jsonl ndjson geojson ipynb", "json"),
    **_each(_CODE, "code"),
}
_BY_TYPE: Final[dict[str, Kind]] = {
    **_each("text/html application/xhtml+xml", "html"),
    **_each("text/markdown", "markdown"),
    **_each("text/csv text/tab-separated-values", "csv"),
    **_each("application/json application/x-ndjson", "json"),
    **_each(_CODE_TYPES, "code"),
}


def kind_of(data: bytes, filename: str, content_type: str) -> Kind:
    """Raises UnreadableFile: a kind that is not read, or one under lock and key."""
    head = data[:_HEAD]
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"%PDF-"):
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "docx"  # or another archive: who opens it will tell
    if head.startswith(_OLE) and _ENCRYPTED_OLE in data:
        raise UnreadableFile(
            "The document is protected with a password. Save it without one and upload it again.", "invalid_file"
        )
    binary = b"\x00" in head
    for sign, what in _SIGNS:
        if head.startswith(sign) and (binary or sign not in _TEXTUAL):
            raise UnreadableFile(f"The file is {what}", "unsupported_file")
    if b"%PDF-" in head[:_PDF_WITHIN] and (binary or _extension(filename) == "pdf"):
        return "pdf"
    said = _said(filename, content_type)
    if said == "markdown":
        return said
    if _HTML.match(head) and said not in ("code", "json", "csv"):
        return "html"
    if said == "html":
        return "html" if _TAGS.search(data[: 16 * _HEAD]) else "text"
    return said


def _said(filename: str, content_type: str) -> Kind:
    by_name = _BY_EXTENSION.get(_extension(filename))
    return by_name or _BY_TYPE.get(content_type.partition(";")[0].strip().lower(), "text")


def _extension(filename: str) -> str:
    path = PurePath(filename.replace("\x00", ""))
    return (path.suffix[1:] or path.name).lower()
