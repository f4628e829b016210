"""Answers a question with the sentences of the given passages that fit it best. It says nothing of its own: what it
returns stands in a passage, and when nothing fits it returns None.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from tenfold.core.grounding import Passage
from tenfold.providers.offline.words import reads_as_prose, sentences, terms

# BM25 (Robertson and Zaragoza 2009) over sentences; its values are of the literature. The shares were chosen on the
# shared question sets of two products (bench/assistant.py), not on those held out.
_K1 = 1.2
_B = 0.5
_TITLE_SHARE = 0.4  # a question's word in the title or heading counts so much: it says what the sentence is about
_PASSAGE_SHARE = 0.5  # of a sentence's score, how much its whole passage's score weighs
_RANK_DISCOUNT = 0.2  # passages come the best first: the second one's sentences count 1/1.2, the third one's 1/1.4
_WORTH_SAYING = 0.6  # of the best sentence's score
_MENU_SHARE = 0.3  # of its score that a row of names without function words (a menu, a table of contents) keeps
_SAME_SHARE = 0.7  # of a sentence's words in the best one, from which on it says nothing new
# A shorter sentence is rarely an answer: one of the fewest only where no longer one holds a word of the question.
# With 2, 3 or 4 as many gold sections are cited (Claude docs 46 of 60, AWS docs 45 of 62); "It weighs 31 kg." has 3.
_MIN_TERMS, _FEWEST_TERMS = 3, 2


class Extract(Struct, frozen=True, kw_only=True):
    sentence: str
    passage: int  # 1 is the first


class Extraction(Struct, frozen=True, kw_only=True):
    """`coverage`: the share of the question's information (words weighed by rarity) that the cited passages hold."""

    extracts: list[Extract]
    coverage: float


class _Candidate(Struct):
    sentence: str
    passage: int  # 0 is the first
    position: int  # in the passage
    counts: Counter[str]
    score: float = 0.0


def extract(question: str, passages: Sequence[Passage], *, limit: int = 2) -> Extraction | None:
    """The best `limit` sentences, the best one's passage first; None when no passage holds a word of the question."""
    wanted = set(terms(question))
    return _extract(wanted, passages, limit, _MIN_TERMS) or _extract(wanted, passages, limit, _FEWEST_TERMS)


def _extract(wanted: set[str], passages: Sequence[Passage], limit: int, fewest: int) -> Extraction | None:
    candidates = _candidates(passages, fewest)
    if not wanted or not candidates:
        return None
    rarity = _rarity(wanted, candidates)
    labels = [wanted & set(terms(f"{passage.title} {passage.heading}")) for passage in passages]
    held = [wanted & set(terms(passage.text)) | label for passage, label in zip(passages, labels, strict=True)]
    _score(candidates, rarity, labels, held)
    best = max(candidates, key=lambda candidate: candidate.score)
    if best.score <= 0:
        return None
    chosen = _with_support(best, candidates, limit)
    covered = set().union(*(held[candidate.passage] for candidate in chosen))
    return Extraction(
        extracts=[Extract(sentence=candidate.sentence, passage=candidate.passage + 1) for candidate in chosen],
        coverage=len(covered) / len(wanted),
    )


def _candidates(passages: Sequence[Passage], fewest: int) -> list[_Candidate]:
    found = []
    seen: set[str] = set()
    for number, passage in enumerate(passages):
        for position, sentence in enumerate(sentences(passage.text)):
            words = terms(sentence)
            if len(words) >= fewest and sentence not in seen:
                seen.add(sentence)
                found.append(_Candidate(sentence, number, position, Counter(words)))
    return found


def _rarity(wanted: set[str], candidates: Sequence[_Candidate]) -> dict[str, float]:
    """The weight of each word of the question: its inverse frequency among the sentences at hand."""
    weights = {}
    for term in wanted:
        holding = sum(term in candidate.counts for candidate in candidates)
        weights[term] = math.log(1 + (len(candidates) - holding + 0.5) / (holding + 0.5))
    return weights


def _score(
    candidates: Sequence[_Candidate], rarity: dict[str, float], labels: Sequence[set[str]], held: Sequence[set[str]]
) -> None:
    average = sum(candidate.counts.total() for candidate in candidates) / len(candidates)
    for candidate in candidates:
        norm = _K1 * (1 - _B + _B * candidate.counts.total() / average)
        own = sum(
            weight * candidate.counts[term] * (_K1 + 1) / (candidate.counts[term] + norm)
            for term, weight in rarity.items()
            if term in candidate.counts
        )
        about = _weight(labels[candidate.passage] - candidate.counts.keys(), rarity)
        if own:
            context = _TITLE_SHARE * about + _PASSAGE_SHARE * _weight(held[candidate.passage], rarity)
            rank = 1 + _RANK_DISCOUNT * candidate.passage
            candidate.score = (own + context) * (1 if reads_as_prose(candidate.sentence) else _MENU_SHARE) / rank


def _with_support(best: _Candidate, candidates: Sequence[_Candidate], limit: int) -> list[_Candidate]:
    """The best sentence and the next best of those worth saying, in the order of the passage they share."""
    enough = _WORTH_SAYING * best.score
    rest = [other for other in candidates if other.score >= enough and not _says_the_same(other, best)]
    rest.sort(key=lambda other: (-other.score, other.passage, other.position))
    chosen = [best, *rest[: limit - 1]]
    return sorted(chosen, key=lambda other: (other.passage != best.passage, other.passage, other.position))


def _says_the_same(other: _Candidate, best: _Candidate) -> bool:
    shared = len(other.counts.keys() & best.counts.keys())
    return shared >= _SAME_SHARE * min(len(other.counts), len(best.counts))


def _weight(found: Iterable[str], rarity: dict[str, float]) -> float:
    return sum(rarity[term] for term in found)
