"""Which of the passages that were found are given: none that says what a better one says already, and no more than the
reader has room for. Pure.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tenfold.retrieval.types import Passage

_SHINGLE: Final = 3  # words
_ALIKE: Final = 0.85  # of the shingles that two passages have together, those that both have
_SHORT: Final = 30  # words; below, a passage may need its title and heading to be understood
_CHARS_PER_TOKEN: Final = 4

_WORD = re.compile(r"\w+(?:[.,'’]\w+)*")
# Two passages that differ in one of these say different things, however much else they share; so do those that differ
# in a number, a name, or a word of another language than English.
_WEIGHTY = re.compile(
    r"not?|nor|never|none|nobody|nothing|without|un\w+|\w+n['’]t|cannot|only|except|must|may|all|any|before|after|less|more"
)


def select(passages: Sequence[Passage], k: int, max_tokens: int | None = None) -> list[Passage]:
    """At most `k` passages in their order. One that is too long for what is left of `max_tokens` is passed over."""
    chosen: list[Passage] = []
    seen = _Seen()
    left = max_tokens
    for passage in passages:
        if len(chosen) >= k:
            break
        size = tokens(passage)
        if left is not None and size > left:
            continue
        if not seen.is_new(passage):
            continue
        chosen.append(passage)
        left = None if left is None else left - size
    return chosen


def tokens(passage: Passage) -> int:
    """About how many tokens a reader spends on it, its title and headings included: four bytes of English each."""
    size = len(passage.text.encode()) + len(passage.title.encode()) + len(passage.heading.encode())
    return -(-size // _CHARS_PER_TOKEN)


class _Said(Struct, frozen=True):
    words: list[str]
    shingles: set[tuple[str, ...]]
    above: tuple[str, str]


class _Seen:
    """The passages so far."""

    def __init__(self) -> None:
        self._said: list[_Said] = []

    def is_new(self, passage: Passage) -> bool:
        """And remembers it if so."""
        words = _WORD.findall(passage.text)
        here = _Said(words, _shingles(words), (passage.title, passage.heading))
        if any(_says(there, here) for there in self._said):
            return False
        self._said.append(here)
        return True


def _says(there: _Said, here: _Said) -> bool:
    """Whether it says all that is said here."""
    smaller, larger = sorted((len(here.shingles), len(there.shingles)))
    if smaller < _ALIKE * larger:  # most: there is no need to compare them
        return False
    common = len(here.shingles & there.shingles)
    if common < _ALIKE * (smaller + larger - common):
        return False
    if len(here.words) < _SHORT and here.above != there.above:
        return False
    differing = Counter(here.words)
    differing.subtract(Counter(there.words))
    return not any(count and _matters(word) for word, count in differing.items())


def _matters(word: str) -> bool:
    return (
        not word.isascii()
        or word != word.lower()
        or any(map(str.isdigit, word))
        or _WEIGHTY.fullmatch(word) is not None
    )


def _shingles(words: Sequence[str]) -> set[tuple[str, ...]]:
    lowered = [word.lower() for word in words]
    if len(lowered) < _SHINGLE:
        return {tuple(lowered)}
    return set(zip(*(lowered[start:] for start in range(_SHINGLE)), strict=False))
