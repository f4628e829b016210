"""Words and sentences of English text, for scoring without a model: splitting, stop words, a light stemmer."""

import re
from typing import Final

MAX_SENTENCE_CHARS: Final = 500

_FUNCTION_WORDS = """
a about above after again all also am an and any are aren as at be because been before being below between both but by
can cannot could couldn did didn do does doesn doing don down during each few for from further get gets had hadn has
hasn have haven having he her here hers him his how i if in into is isn it its itself just me mean might more most must
my need no nor not of off on once only or other ought our ours out over own please same shall she should shouldn so some
such than that the their theirs them then there these they this those through to too under until up use used using very
was wasn we were weren what when where which while who whom why will with won would wouldn you your yours
"""
STOP_WORDS: Final = frozenset(_FUNCTION_WORDS.split())

_SHORT_ROW = 8  # words
_PROSE_SHARE = 0.1

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|no|fig|dr|mr|mrs|ms|inc|st|approx)|\b[A-Z])\.$", re.IGNORECASE)
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s")
_TABLE_RULE = re.compile(r"^[\s|:+-]+$")
_LIST_MARK = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
# Bounded, so that a text made of openings alone is still read in linear time.
_LINK = re.compile(r"!?\[([^\[\]]{0,300})\]\([^()\s]{0,2000}\)")
_EMPHASIS = re.compile(r"(\*\*|__|`)(.{1,300}?)\1")


def terms(text: str) -> list[str]:
    """Stemmed words in order, stop words left out. `maxTokens` and `max_tokens` are two words each."""
    found = []
    for word in _WORD.findall(_CAMEL_HUMP.sub(" ", text)):
        lowered = word.lower().replace("’", "'").removesuffix("'s")
        if lowered not in STOP_WORDS and (len(lowered) > 1 or lowered.isdigit()):
            found.append(stem(lowered.replace("'", "")))
    return found


def reads_as_prose(sentence: str) -> bool:
    """False for a row of names (a menu, a table of contents): it is long and does not end as a sentence does, or has
    next to no function words."""
    words = [word.lower() for word in _WORD.findall(sentence)]
    if len(words) <= _SHORT_ROW:
        return True
    ended = sentence[-1] in ".!?:;…)" or len(words) <= 2 * _SHORT_ROW
    return ended and sum(word in STOP_WORDS for word in words) >= _PROSE_SHARE * len(words)


def stem(word: str) -> str:
    """Takes off the endings that question and answer most often differ in: plural, -ed, -ing, -ly, -ion, final e."""
    if len(word) <= 3 or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("sses"):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending, kept in (("ing", 3), ("edly", 4), ("ed", 3), ("ly", 4), ("ion", 4)):
        if word.endswith(ending) and len(word) - len(ending) >= kept:
            word = word.removesuffix(ending)
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]  # stopped -> stopp -> stop
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def sentences(markdown: str) -> list[str]:
    """What can stand alone as an answer: sentences, list items and table rows, without markup. Headings and code
    are left out; a line ends a sentence only where Markdown says so."""
    found: list[str] = []
    for block in _blocks(markdown):
        pieces: list[str] = []
        for piece in _SENTENCE_END.split(block):
            if pieces and len(pieces[-1]) < MAX_SENTENCE_CHARS and _ABBREVIATION.search(pieces[-1][-8:]):
                pieces[-1] += " " + piece
            else:
                pieces.append(piece)
        found += [_shortened(piece) for piece in pieces if _WORD.search(piece)]
    return found


def _blocks(markdown: str) -> list[str]:
    """Paragraphs, list items and table rows, one line each."""
    blocks: list[list[str]] = [[]]
    in_code = False
    for line in markdown.splitlines():
        if _FENCE.match(line):
            in_code = not in_code
            blocks.append([])
        elif in_code:
            continue
        elif not line.strip() or _HEADING.match(line):
            blocks.append([])
        elif line.lstrip().startswith("|"):
            if not _TABLE_RULE.match(line):
                cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
                blocks += [[": ".join(cell for cell in cells if cell)], []]
        elif _LIST_MARK.match(line):
            blocks.append([_LIST_MARK.sub("", line).strip()])
        else:
            blocks[-1].append(line.strip())
    return [plain(" ".join(lines)) for lines in blocks if lines]


def plain(markdown: str) -> str:
    """One line without links, emphasis and code marks."""
    return " ".join(_EMPHASIS.sub(r"\2", _LINK.sub(r"\1", markdown)).split())


def _shortened(sentence: str) -> str:
    if len(sentence) <= MAX_SENTENCE_CHARS:
        return sentence
    return sentence[:MAX_SENTENCE_CHARS].rsplit(" ", 1)[0] + " …"
