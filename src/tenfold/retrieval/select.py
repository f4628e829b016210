"""Which of the passages that were found are given: none that says what a better one says already, and no more than the
reader has room for. Pure.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

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


class _Seen:
    """The passages so far. Linear in their words: each is compared with those it shares shingles with."""

    def __init__(self) -> None:
        self._words: list[Counter[str]] = []
        self._sizes: list[int] = []
        self._above: list[tuple[str, str]] = []
        self._owners: dict[tuple[str, ...], list[int]] = {}

    def is_new(self, passage: Passage) -> bool:
        """And remembers it if so."""
        words = _WORD.findall(passage.text)
        shingles = _shingles(words)
        counted = Counter(words)
        above = (passage.title, passage.heading)
        shared = Counter(owner for shingle in shingles for owner in self._owners.get(shingle, ()))
        for owner, common in shared.items():
            alike = common >= _ALIKE * (len(shingles) + self._sizes[owner] - common)
            if alike and (len(words) >= _SHORT or above == self._above[owner]) and self._says(owner, counted):
                return False
        number = len(self._words)
        self._words.append(counted)
        self._sizes.append(len(shingles))
        self._above.append(above)
        for shingle in shingles:
            self._owners.setdefault(shingle, []).append(number)
        return True

    def _says(self, owner: int, counted: Counter[str]) -> bool:
        there = self._words[owner]
        differing = [*(there - counted), *(counted - there)]
        return not any(map(_matters, differing))


def _matters(word: str) -> bool:
    return (
        not word.isascii()
        or word != word.lower()
        or any(map(str.isdigit, word))
        or _WEIGHTY.fullmatch(word) is not None
    )


def _shingles(words: Sequence[str]) -> set[tuple[str, ...]]:
    lowered = [word.lower() for word in words]
    return {tuple(lowered[start : start + _SHINGLE]) for start in range(max(1, len(lowered) - _SHINGLE + 1))}
