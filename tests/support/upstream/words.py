"""Cutting text into units that stand for tokens: a word with the space before it, or a mark."""

import json
import re
from collections.abc import Iterable
from typing import Any

_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")


def tokens(text: str) -> list[str]:
    """They join to the text."""
    return _TOKEN.findall(text)


def count(texts: Iterable[str]) -> int:
    return sum(len(tokens(text)) for text in texts)


def pieces(value: Any, size: int = 7) -> list[str]:
    """The JSON text of a value in short pieces, cut where it falls."""
    text = json.dumps(value, ensure_ascii=False)
    return [text[at : at + size] for at in range(0, len(text), size)]
