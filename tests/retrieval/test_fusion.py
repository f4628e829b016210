"""Fusion: what both legs found comes first, one leg alone keeps its order, and all is between 0 and 1."""

from hypothesis import given
from hypothesis import strategies as st

from tenfold.retrieval.fusion import WordHit, fuse

hits = st.dictionaries(st.integers(0, 50), st.builds(WordHit, st.integers(1, 1000).map(float), st.floats(0, 1)))
cosines = st.dictionaries(st.integers(0, 50), st.integers(-1000, 1000).map(lambda thousandths: thousandths / 1000))


@given(hits, cosines)
def test_everything_found_is_there_once_and_in_order(
    by_words: dict[int, WordHit], by_vectors: dict[int, float]
) -> None:
    ranked = fuse(by_words, by_vectors)
    assert sorted(item.number for item in ranked) == sorted(by_words.keys() | by_vectors.keys())
    assert [item.score for item in ranked] == sorted((item.score for item in ranked), reverse=True)
    assert all(0 <= item.relevance <= 1 and 0 <= item.score <= 1.000001 for item in ranked)


@given(hits)
def test_words_alone_keep_their_order(by_words: dict[int, WordHit]) -> None:
    expected = sorted(by_words, key=lambda number: (-by_words[number].score, number))
    assert [item.number for item in fuse(by_words, {})] == expected


@given(cosines)
def test_vectors_alone_keep_their_order(by_vectors: dict[int, float]) -> None:
    expected = sorted(by_vectors, key=lambda number: (-by_vectors[number], number))
    assert [item.number for item in fuse({}, by_vectors)] == expected


def test_relevance_is_scaled_to_the_model() -> None:
    [item] = fuse({}, {1: 0.75}, unrelated_cosine=0.5)
    assert item.relevance == 0.5
    [item] = fuse({}, {1: 0.3}, unrelated_cosine=0.5)
    assert item.relevance == 0
    [item] = fuse({1: WordHit(3.0, 0.6)}, {})
    assert item.relevance == 0.6


def test_what_holds_all_words_of_a_question_with_a_code_is_relevant() -> None:
    by_words, by_vectors = {1: WordHit(3.0, 1.0), 2: WordHit(2.0, 0.9)}, {1: 0.55, 2: 0.55}
    relevant = {item.number: item.relevance for item in fuse(by_words, by_vectors, names_code=True)}
    assert relevant == {1: 1.0, 2: 0.55}
    assert {item.relevance for item in fuse(by_words, by_vectors)} == {0.55}


def test_agreement_beats_one_good_place() -> None:
    by_words = {1: WordHit(9, 1), 2: WordHit(8, 1), 3: WordHit(7, 1)}
    by_vectors = {4: 0.9, 2: 0.8, 3: 0.7}
    assert fuse(by_words, by_vectors)[0].number == 2


def test_vectors_that_find_nothing_of_the_question_weigh_nothing() -> None:
    by_words = {number: WordHit(40 - number, 0.8) for number in range(10)}
    strangers = {number: 1 - number / 100 for number in range(20, 40)}
    assert [item.number for item in fuse(by_words, strangers)][:10] == list(range(10))
    half = {**dict.fromkeys(range(5, 10), 0.9), **dict.fromkeys(range(20, 25), 0.8), 30: 0.1}
    assert fuse(by_words, half)[0].number == 5, "half of the words' first are among theirs: trusted"


def test_where_the_words_have_nothing_to_say_vectors_decide() -> None:
    assert [item.number for item in fuse({7: WordHit(0, 0)}, {1: 0.9, 2: 0.8, 7: 0.7})] == [1, 2, 7]
