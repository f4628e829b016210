"""Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009) of what words and vectors found. Pure."""

from collections.abc import Mapping

from msgspec import Struct

RRF_K = 60  # the paper's; a rank's weight is 1 / (60 + rank)


class WordHit(Struct, frozen=True):
    score: float  # BM25
    share: float  # 0 to 1: of the question's weight, what the chunk holds


class Ranked(Struct, frozen=True, kw_only=True):
    number: int
    score: float
    relevance: float


def fuse(by_words: Mapping[int, WordHit], by_vectors: Mapping[int, float]) -> list[Ranked]:
    """Chunks, the best first. `by_vectors` are cosines; empty when the vector leg did not run. Ties go to the lower
    number."""
    scores: dict[int, float] = {}
    word_order = sorted(by_words, key=lambda number: (-by_words[number].score, number))
    vector_order = sorted(by_vectors, key=lambda number: (-by_vectors[number], number))
    for order in (word_order, vector_order):
        for rank, number in enumerate(order, 1):
            scores[number] = scores.get(number, 0.0) + 1 / (RRF_K + rank)
    return [
        Ranked(number=number, score=score, relevance=_relevance(by_words.get(number), by_vectors.get(number)))
        for number, score in sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    ]


def _relevance(hit: WordHit | None, cosine: float | None) -> float:
    """By meaning where it is known, by words otherwise."""
    if cosine is not None:
        return min(1.0, max(0.0, cosine))
    return 0.0 if hit is None else hit.share
