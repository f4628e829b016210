"""Bytes to text: byte order marks, UTF-8, what the sender or the file declares, and no guess beyond Western Europe."""

import re
from typing import Final

from tenfold.retrieval.extract.types import UnreadableFile

_MARKS: Final = (  # UTF-32 first: its little-endian mark begins like that of UTF-16
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

# What a file may declare. Python knows more codecs than the web does, and some of them are no alphabets at all.
_DECLARED: Final = {
    **{name: name for name in ("utf-8", "utf-16", "utf-16le", "utf-16be", "koi8-r", "koi8-u", "big5", "iso-2022-jp")},
    **{f"windows-{page}": f"cp{page}" for page in range(1250, 1259)},
    **{f"iso-8859-{part}": f"iso-8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **dict.fromkeys(("us-ascii", "ascii", "iso-8859-1", "latin1"), "cp1252"),
    **dict.fromkeys(("gb2312", "gbk", "gb18030"), "gb18030"),
    "utf8": "utf-8",
    "iso-8859-9": "cp1254",
    "shift_jis": "cp932",
    "euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "macintosh": "mac_roman",
}
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_META_BYTES = 4_096
_SAMPLE = 65_536
_BROKEN_SHARE = 0.001  # a text with this much that is no UTF-8 was UTF-8 once
_FOREIGN_SHARE = 0.25  # of bytes above ASCII: Western Europe has fewer
_CONTROL_SHARE = 0.02  # of a text; beyond it, it is none

# Line breaks of all systems become "\n"; a page break, a paragraph's end.
_BREAKS = re.compile(r"\r\n?|\x85|[\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")


def decode(data: bytes, content_type: str = "", *, markup: bool = False) -> str:
    """The text, with line breaks "\\n" and without control characters. `markup`: a `<meta charset>` is heeded, too.
    Raises UnreadableFile."""
    text = _decoded(data, content_type, markup)
    noise = len(_CONTROLS.findall(text)) + text.count("\ufffd")
    if noise > max(1, _CONTROL_SHARE * len(text)):
        raise UnreadableFile(
            "The file is not text, and of no other kind that is read. Upload text, Markdown, HTML, PDF or DOCX.",
            "unsupported_file",
        )
    return clean(text)


def clean(text: str) -> str:
    return _CONTROLS.sub("", _BREAKS.sub("\n", text).replace("\f", "\n\n"))


def _decoded(data: bytes, content_type: str, markup: bool) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    wide = _wide(data[:_SAMPLE])
    if wide:
        return data.decode(wide, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    declared = _declared(data, content_type, markup)
    if declared and declared != "utf-8":
        return data.decode(declared, "replace")
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    if broken <= 1 + _BROKEN_SHARE * len(text) and not text[:-1].isascii() and broken < len(text) - _ascii(text):
        return text
    if declared:
        return text
    above = len(data[:_SAMPLE].translate(None, bytes(range(128))))
    if above > _FOREIGN_SHARE * len(data[:_SAMPLE]) and b"\x00" not in data[:_SAMPLE]:
        raise UnreadableFile(
            "The text is not UTF-8, and nothing says what it is. Save it as UTF-8 and upload it again.", "invalid_file"
        )
    return data.decode("cp1252", "replace")


def _ascii(text: str) -> int:
    return len(text.encode("ascii", "ignore"))


def _wide(sample: bytes) -> str:
    """UTF-16 without a mark: every other byte of Western text is zero."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    pairs = len(sample) // 2
    if pairs >= 4 and odd > 0.6 * pairs and even < 0.05 * pairs:
        return "utf-16-le"
    if pairs >= 4 and even > 0.6 * pairs and odd < 0.05 * pairs:
        return "utf-16-be"
    return ""


def _declared(data: bytes, content_type: str, markup: bool) -> str:
    said = _CHARSET.search(content_type)
    if said is not None and (known := _DECLARED.get(said[1].lower())):
        return known
    written = _META.search(data[:_META_BYTES]) if markup else None
    if written is None:
        return ""
    name = written[1].decode("ascii", "replace").lower()
    return _DECLARED.get(name, "")
