"""What a question states that another must state as well to be answered alike: numbers, dates, names, negations, roles.

Read once a question. English only: of another language the numbers and names are still read.
"""

import re
from collections import Counter
from unicodedata import category

from msgspec import Struct

from tenfold.cache.semantic.lexicon import (
    MULTIPLIERS,
    NEGATIONS,
    NUMBER_WORDS,
    OPPOSITES,
    ROLE_WORDS,
    SIBLINGS,
    STOP,
    UNITS,
)

_TOKEN = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]+"  # an address
    r"|https?://\S+"
    r"|\d{1,4}(?:[:/.-]\d{1,4}){2,}"  # dates, versions, addresses of hosts
    r"|\d+(?::\d\d)+"  # times
    r"|[$€£¥₹]"
    r"|[^\W\d_]\+\+|[Cc]#"
    r"|\d[\d,]*(?:\.\d+)?(?:st|nd|rd|th)?(?![\w])"
    r"|\w+(?:['’.-]\w+)*"
    r"|[!<>=]="
    r"|[%+×*/=<>≤≥≠^-]"
)
_MINUS = re.compile(r"(?<![\w)\].%])[-−–](?=[$€£¥₹]?\d)")  # of a number, not between two
_SIGNS = frozenset(("minus", "negative"))
_MARKS = {mark: mark for mark in "+*/=<>^"} | {
    "×": "*",
    "==": "=",
    "≤": "<=",
    "<=": "<=",
    "≥": ">=",
    ">=": ">=",
    "≠": "!=",
    "!=": "!=",
}
_APART = re.compile(r"[^\w]+")
_NUMBER = re.compile(r"(\d[\d,]*(?:\.\d+)?)(st|nd|rd|th)?$")
_MEASURE = re.compile(r"(\d[\d,]*(?:\.\d+)?)([a-zµ]+)$")  # 10km, 3pm, 20k
_CONTRACTED = re.compile(r"n['’]t$")
_OWNED = re.compile(r"['’](?:s|m|re|ve|ll|d)$")
_WORDS_PER_QUESTION = 400  # what comes after is compared as text only; a question of that length is not a short one

_VOWEL = re.compile("[aeiouy]")

_CLOCK = frozenset(("am", "pm"))
_CALENDAR = frozenset(("march", "may"))  # a month where it has a capital or stands beside a number or a preposition
_IN_TIME = frozenset(
    ("in", "on", "of", "by", "since", "until", "till", "during", "before", "after", "this", "last", "next")
)
_CURRENCIES = frozenset("$€£¥₹")
_DEICTIC = {
    word: words.split()[0]
    for words in ("this current", "last past previous", "next coming following")
    for word in words.split()
}
_PRONOUN_ONE = frozenset(
    ("this", "that", "the", "which", "no", "any", "each", "another", "new", "old", "some", "every")
)
_HEDGE = re.compile(
    r"\b(?:i |we )?(?:do not|don't|dont|didn't|did not|never) (?:really |actually )?"
    r"(?:know|understand|remember|see|get)"
    r" (?=how|what|where|if|why|when|which|who|whether)"
    r"|\b(?:i am |i'm |im )?(?:not|n't) (?:really |quite |entirely )?(?:sure|certain) "
    r"(?=how|what|where|if|why|when|which|who|whether|about)"
    r"|\b(?:can't|cannot|cant|can not|couldn't) (?:seem to )?(?:figure|find|work) out\b|\bno (?:idea|clue)\b"
    r"|\bwhy (?:don't|not)\b(?= (?:you|we) )|\bif not\b|\bwhether or not\b|\bor not\b|\bnot only\b",
)
"""Denies knowing, not what is asked about."""

_WH = frozenset(("who", "whom", "whose", "when", "where", "why"))
_HOW = frozenset(("much", "many", "long", "often", "old", "far", "big", "tall", "fast", "deep", "high"))
_MUST = re.compile(
    r"\b(?:do|does|did) \w+ (?:have|need) to\b|\bmust (?:i|we|you|they|he|she|it|a|the|my)\b"
    r"|\b(?:required|mandatory|obliged|compulsory|necessary|obligatory)\b"
)
_MAY = re.compile(
    r"\b(?:can|could|may|might) (?:i|we|you|they|he|she|it|a|an|the|my|\w+s)\b"
    r"|\b(?:allowed|permitted|possible|able)\b"
)


class Facts(Struct, frozen=True, kw_only=True):
    text: str  # lower case, single spaces, without the closing marks
    words: tuple[str, ...]
    content: tuple[str, ...]  # stems of the words that carry something, in their order
    bag: frozenset[str]
    numbers: frozenset[tuple[str, str, int]]  # dimension, value, how often
    number_order: tuple[str, ...]
    names: frozenset[str]  # lower case
    name_order: tuple[str, ...]
    spoken: frozenset[str]  # every word and part of a word, for looking names of the other up
    negated: tuple[str, ...]  # the stem after each negation
    siblings: dict[int, frozenset[str]]
    opposites: dict[int, int]  # pair -> bit set of the sides named
    roles: dict[str, frozenset[str]]  # preposition -> stems it goes with
    asks: frozenset[str]  # who, when, ...
    must: bool
    may: bool
    marks: frozenset[str]  # operators
    symbols: tuple[str, ...]  # emoji and the like


def read(question: str) -> Facts:
    """What `question` states."""
    question = _MINUS.sub("minus ", question)
    raw = _TOKEN.findall(question)[:_WORDS_PER_QUESTION]
    words = [_OWNED.sub("", token.lower().replace("’", "'")) for token in raw]
    shouted = _is_shouted(raw)
    numbers, order, used = _numbers(words, raw)
    spoken = frozenset(_name(part) for word in words for part in _parts(word) if part)
    content = tuple(
        stem(_name(word)) for at, word in enumerate(words) if word not in STOP and at not in used and word[0].isalnum()
    )
    siblings: dict[int, set[str]] = {}
    opposites: dict[int, int] = {}
    for word in words:
        for group, name in SIBLINGS.get(word, ()):
            siblings.setdefault(group, set()).add(name)
        for pair, side in OPPOSITES.get(word, ()):
            opposites[pair] = opposites.get(pair, 0) | 1 << side
    _add_months(words, raw, siblings)
    text = " ".join(words)
    certain = _HEDGE.sub("", text).split() if any(_is_negation(word) for word in words) else words
    names = () if shouted else tuple(dict.fromkeys(_name(word) for word in _names(question, raw, words)))
    return Facts(
        text=text,
        words=tuple(words),
        content=content,
        bag=frozenset(content),
        numbers=frozenset((kind, value, count) for (kind, value), count in Counter(numbers).items()),
        number_order=tuple(order),
        names=frozenset(names),
        name_order=names,
        spoken=spoken,
        negated=_negated(certain),
        siblings={group: frozenset(names) for group, names in siblings.items()},
        opposites=opposites,
        roles=_roles(words),
        asks=_asks(words),
        must=bool(_MUST.search(text)),
        may=bool(_MAY.search(text)),
        marks=frozenset(_MARKS[word] for word in words if word in _MARKS),
        symbols=tuple(sorted(letter for letter in question if category(letter) == "So")),
    )


def stem(word: str) -> str:
    """A crude stem: plural and verb endings off. `cards`, `card`; `transferring`, `transfer`."""
    if len(word) <= 3 or not word.isalpha() or not _VOWEL.search(word):
        return word  # too short, or a short form: https
    for ending, rest in (
        ("ies", "y"),
        ("sses", "ss"),
        ("ing", ""),
        ("edly", ""),
        ("ed", ""),
        ("ly", ""),
        ("es", ""),
        ("s", ""),
    ):
        if (
            word.endswith(ending)
            and len(word) - len(ending) >= 3
            and not (ending == "s" and word.endswith(("ss", "us", "is")))
        ):
            word = word[: len(word) - len(ending)] + rest
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def _parts(word: str) -> list[str]:
    return [word] if word.isalnum() else [word, *_APART.split(word)]


def _name(word: str) -> str:
    """`usa` and `america` are one name."""
    return SIBLINGS[word][0][1] if word in SIBLINGS else word


def _is_shouted(raw: list[str]) -> bool:
    """Whether capitals say nothing here: all of it is in capitals, or Every Word Begins With One."""
    alphabetic = [token for token in raw if token[0].isalpha()]
    if len(alphabetic) < 3:
        return bool(alphabetic) and all(token.isupper() and len(token) > 5 for token in alphabetic)
    long = [token for token in alphabetic if len(token) > 3]
    return len(long) > 3 and all(token[0].isupper() for token in long)


def _numbers(words: list[str], raw: list[str]) -> tuple[list[tuple[str, str]], list[str], set[int]]:
    found: list[tuple[str, str]] = []
    order: list[str] = []
    used: set[int] = set()
    at = 0
    while at < len(words):
        start, value, tail = at, _value(words, at), ""
        if value is None:
            measure = _MEASURE.match(words[at])
            if measure and (measure[2] in UNITS or measure[2] in MULTIPLIERS or measure[2] in _CLOCK):
                value, tail = _float(measure[1]), measure[2]
            elif words[at][0].isdigit():  # a date, a time, a version, a code
                found.append(("code", words[at].replace("-", "/")))
                order.append(words[at])
                used.add(at)
                at += 1
                continue
            elif words[at] in UNITS and words[at] not in ("second", "m", "min", "ton", "real"):
                # "a week" is one week; "per week", "weeks" is no number, and another unit is another question
                single = at > 0 and words[at - 1] in ("a", "an", "one")
                dimension, factor = UNITS[words[at]]
                found.append((dimension, f"{factor:g}") if single else ("unit", f"{dimension}{factor:g}"))
                used.add(at)
                at += 1
                continue
            else:
                at += 1
                continue
        at += 1
        sign = -1 if _is_negative(words, start) else 1
        text = words[start] if _is_code(words[start], words[start - 1] if start else "") else ""
        if (tail in MULTIPLIERS and tail not in UNITS) or tail == "k":
            value, tail = value * MULTIPLIERS[tail], ""
        while not tail and at < len(words):
            following = words[at]
            if following in MULTIPLIERS:
                value *= MULTIPLIERS[following]
            elif (
                following in NUMBER_WORDS
                and (words[at - 1] in NUMBER_WORDS or words[at - 1] in MULTIPLIERS)
                and _value(words, at) is not None
            ):
                value += NUMBER_WORDS[following]
            elif (
                following == "and"
                and at + 1 < len(words)
                and words[at - 1] in MULTIPLIERS
                and words[at + 1] in NUMBER_WORDS
            ):
                value += NUMBER_WORDS[words[at + 1]]
                at += 1
            else:
                break
            at += 1
        if not tail and at < len(words) and (words[at] in UNITS or words[at] in _CLOCK):
            tail = words[at]
            at += 1
        used.update(range(start, at))
        value *= sign
        if tail in UNITS:
            dimension, factor = UNITS[tail]
            found.append((dimension, f"{value * factor:g}"))
        elif tail in _CLOCK:
            found.append(("clock", f"{value:g}{tail}"))
        else:
            found.append(("number", f"{'-' if text and sign < 0 else ''}{text or f'{value:g}'}"))
        order.append(found[-1][1])
    return found, order, used


def _is_negative(words: list[str], at: int) -> bool:
    """Whether the number there has a minus before it that does not subtract it from another one."""
    before = at - 2 if at and words[at - 1] in _CURRENCIES else at - 1
    return before >= 0 and words[before] in _SIGNS and not (before and words[before - 1][0].isdigit())


def _is_code(word: str, before: str) -> bool:
    """A number that is a name: 00108, 370795561790, version 2.10."""
    return (
        (len(word) >= 6 and word.isdigit())
        or (word[0] == "0" and word != "0")
        or ("." in word and before not in _CURRENCIES)
    )


def _value(words: list[str], at: int) -> float | None:
    word = words[at]
    match = _NUMBER.match(word)
    if match:
        return _float(match[1])
    if word == "one":
        before = words[at - 1] if at else ""
        return None if before in _PRONOUN_ONE or at + 1 == len(words) else 1.0
    if word in ("second", "single", "once", "third", "quarter", "couple", "pair"):
        return {"third": 3.0, "once": 1.0}.get(word)
    if "-" in word:
        parts = word.split("-")
        if all(part in NUMBER_WORDS for part in parts):
            return sum(NUMBER_WORDS[part] for part in parts)
    return NUMBER_WORDS.get(
        word, MULTIPLIERS.get(word) if word in ("hundred", "thousand", "million", "billion") else None
    )


def _float(text: str) -> float:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return 0.0


def _add_months(words: list[str], raw: list[str], siblings: dict[int, set[str]]) -> None:
    group = SIBLINGS["january"][0][0]
    for at, word in enumerate(words):
        if word in _CALENDAR:
            near = (words[at - 1] if at else "", words[at + 1] if at + 1 < len(words) else "")
            if (at and raw[at][0].isupper()) or near[0] in _IN_TIME or any(n[:1].isdigit() for n in near):
                siblings.setdefault(group, set()).add(word)
        following = words[at + 1] if at + 1 < len(words) else ""
        if word in _DEICTIC and (following in UNITS or following in SIBLINGS):  # last month, next month
            siblings.setdefault(-1, set()).add(_DEICTIC[word])


def _names(question: str, raw: list[str], words: list[str]) -> list[str]:
    """Words with a capital that is not the first of a sentence, words in capitals, words with digits in them."""
    names: list[str] = []
    begins = _sentence_starts(question)
    position = 0
    for at, token in enumerate(raw):
        position = question.find(token, position)
        here, position = position, position + len(token)
        word = words[at]
        if not token[0].isalnum() or _CONTRACTED.search(word):
            continue
        if len(word) == 1:
            if word != "i" and token.isupper() and here not in begins:
                names.append(word)  # vitamin C
            continue
        if word in STOP:
            continue
        upper = sum(letter.isupper() for letter in token)
        mixed = any(letter.isdigit() for letter in token) and any(letter.isalpha() for letter in token)
        if (
            (mixed and not _NUMBER.match(word) and not _MEASURE.match(word))
            or upper >= 2
            or (upper and not token[0].isupper())
            or "@" in token
            or (token[0].isupper() and here not in begins)
        ):
            names.append(word)
    return names


_START = re.compile(r"(?:^|[.?!:;\n][\s\"'“‘(]*)\s*(?=\S)")


def _sentence_starts(question: str) -> frozenset[int]:
    return frozenset(match.end() for match in _START.finditer(question))


def _is_negation(word: str) -> bool:
    return word in NEGATIONS or (
        word.endswith(("n't", "less")) and word not in ("unless", "regardless", "wireless", "contactless")
    )


def _negated(words: list[str]) -> tuple[str, ...]:
    found = []
    for at, word in enumerate(words):
        if _is_negation(word):
            rest = (stem(other) for other in words[at + 1 : at + 6] if other not in STOP)
            found.append(next(rest, ""))
    return tuple(found)


def _roles(words: list[str]) -> dict[str, frozenset[str]]:
    roles: dict[str, set[str]] = {}
    for at, word in enumerate(words):
        if word in ROLE_WORDS:
            rest = (stem(other) for other in words[at + 1 : at + 4] if other not in STOP and other not in ROLE_WORDS)
            following = next(rest, "")
            if following:
                roles.setdefault(word, set()).add(following)
    return {word: frozenset(stems) for word, stems in roles.items()}


def _asks(words: list[str]) -> frozenset[str]:
    asks = {word for word in words if word in _WH}
    for at, word in enumerate(words[:-1]):
        if word == "how" and words[at + 1] in _HOW:
            asks.add(f"how {words[at + 1]}")
    return frozenset(asks)
