"""Fusion by rank: what both legs found comes first, and one leg alone keeps its order."""

from hypothesis import given
from hypothesis import strategies as st

from tenfold.retrieval.fusion import WordHit, fuse

hits = st.dictionaries(st.integers(0, 50), st.builds(WordHit, st.floats(0, 100), st.floats(0, 1)))
cosines = st.dictionaries(st.integers(0, 50), st.floats(-1, 1))


@given(hits, cosines)
def test_everything_found_is_there_once_and_in_order(
    by_words: dict[int, WordHit], by_vectors: dict[int, float]
) -> None:
    ranked = fuse(by_words, by_vectors)
    assert sorted(item.number for item in ranked) == sorted(by_words.keys() | by_vectors.keys())
    assert [item.score for item in ranked] == sorted((item.score for item in ranked), reverse=True)
    assert all(0 <= item.relevance <= 1 for item in ranked)


@given(hits)
def test_words_alone_keep_their_order(by_words: dict[int, WordHit]) -> None:
    expected = sorted(by_words, key=lambda number: (-by_words[number].score, number))
    assert [item.number for item in fuse(by_words, {})] == expected


def test_agreement_beats_one_good_rank() -> None:
    by_words = {1: WordHit(9, 1), 2: WordHit(8, 1), 3: WordHit(7, 1)}
    by_vectors = {4: 0.9, 2: 0.8, 5: 0.7}
    assert fuse(by_words, by_vectors)[0].number == 2
