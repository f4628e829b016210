"""The words of a text as the inverted index counts them. Postgres' English configuration takes it from there: stop
words and stems. Changing what this module returns means raising VERSION; knowledge bases are then indexed anew.
"""

import re
from typing import Final

VERSION: Final = 1
TEXT_SEARCH_CONFIG: Final = "english"

_MAX_WORD_CHARS = 64
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+")
_APOSTROPHE = re.compile(r"(?<=\w)['’](s\b)?")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_CODE = re.compile(r"\b(?=\w*[A-Za-z])(?=\w*\d)\w+\b")


def names_code(question: str) -> bool:
    """Whether a word of letters and digits is in it, such as E42."""
    return _CODE.search(question) is not None


def words(text: str) -> str:
    """Plain words between blanks. A word written together from several is there whole and in parts: `CreateStream`
    gives "createstream create stream", `EC2` gives "ec2 ec"; numbers keep their point."""
    found: list[str] = []
    for word in _WORD.findall(_APOSTROPHE.sub("", text)):
        found.append(word)
        parts = _HUMP.split(word[:_MAX_WORD_CHARS])
        if len(parts) > 1:
            found += [part for part in parts if len(part) > 1]
    return " ".join(word[:_MAX_WORD_CHARS].lower() for word in found)
