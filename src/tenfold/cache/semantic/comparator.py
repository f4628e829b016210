"""Whether two answers say the same, from their texts. It errs, and says "unsure" where it cannot tell.

"different" is said of answers that share few words, and of those that share nearly all and state another number, name,
polarity or opposite; "same" of those that share most of the words of the shorter and state nothing else. How often it
errs is measured by `python -m bench.semantic comparator`; what that means for a bound is in `evidence`.
"""

import re
from functools import lru_cache

from msgspec import Struct

from tenfold.cache.semantic.facts import Facts, read, stem
from tenfold.cache.semantic.guard import word_exchanged
from tenfold.cache.semantic.lexicon import STOP
from tenfold.cache.semantic.types import Verdict

MISSED = 0.31
"""Of two answers that differ it does not find so, at most (upper end of the 95 % interval, near questions). In
sample: the thresholds below were set looking at the same pairs."""

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_UNLIKE = 0.4  # of the words of the shorter, shared
_LIKE = 0.5
_ALIKE = 0.8  # of the words of both: from there on one differing statement is the difference
_FEWEST = 3  # words that carry something; shorter answers are compared as they stand
_DETAILS = 4  # words that only one of them has
_ENOUGH = 6  # a shorter one says the same only where the longer says little more
_FAR, _NEAR = 0.80, 0.95  # cosines, where they are known
_YES_NO = re.compile(r"^\W*(yes|no|true|false|correct|incorrect)\b", re.IGNORECASE)
_LONGEST = 8_000  # characters looked at


class _Said(Struct, frozen=True):
    plain: str
    words: frozenset[str]
    facts: Facts
    polarity: str


def compare(a: str, b: str, cosine: float | None = None) -> Verdict:
    """`cosine` of the two answers' vectors, where it is known: it can only make it less sure."""
    one, other = _said(a[:_LONGEST]), _said(b[:_LONGEST])
    if one.plain == other.plain:
        return "same" if one.plain else "unsure"
    if one.polarity and other.polarity and one.polarity != other.polarity:
        return "different"
    fewer = min(len(one.words), len(other.words))
    shared = len(one.words & other.words)
    if fewer < _FEWEST:
        return _of_few_words(one, other)
    overlap = shared / fewer
    alike = 2 * shared / (len(one.words) + len(other.words))
    if overlap < _UNLIKE:
        return "unsure" if cosine is not None and cosine > _NEAR else "different"
    if alike >= _ALIKE and len(one.words ^ other.words) <= _DETAILS and _states_other(one.facts, other.facts):
        return "different"
    if overlap >= _LIKE and (fewer >= _ENOUGH or alike >= _LIKE) and not _states_other(one.facts, other.facts):
        unlikely = (cosine is not None and cosine < _FAR) or word_exchanged(one.facts, other.facts)
        return "unsure" if unlikely else "same"
    return "unsure"


def _of_few_words(one: _Said, other: _Said) -> Verdict:
    said, also_said = set(one.plain.split()) - STOP, set(other.plain.split()) - STOP
    return "different" if said and also_said and not said & also_said else "unsure"


def _states_other(a: Facts, b: Facts) -> bool:
    """Each states a number or a name that the other does not, or they contradict. What only one says is more detail."""
    numbers_a, numbers_b = ({value for _, value, _ in facts.numbers} for facts in (a, b))
    if numbers_a - numbers_b and numbers_b - numbers_a:
        return True
    names_a, names_b = a.names - b.spoken, b.names - a.spoken
    if any(not _is_short_for(one, other) for one in names_a for other in names_b):
        return True
    if bool(a.negated) != bool(b.negated):
        return True
    if any(group in b.siblings and not names & b.siblings[group] for group, names in a.siblings.items()):
        return True
    return any(b.opposites.get(pair, sides) & sides == 0 for pair, sides in a.opposites.items())


def _is_short_for(a: str, b: str) -> bool:
    """`ps3`, `playstation3`."""
    return a[0] == b[0] and a[-1] == b[-1]


@lru_cache(maxsize=256)
def _said(text: str) -> _Said:
    match = _YES_NO.match(text)
    polarity = "" if match is None else ("yes" if match[1].lower() in ("yes", "true", "correct") else "no")
    words = _WORD.findall(text.lower())
    return _Said(" ".join(words), frozenset(stem(word) for word in words if word not in STOP), read(text), polarity)
