"""The real model: deterministic, of length one, and near means related."""

import numpy as np
import pytest

from tenfold.providers.offline.encoder import Encoder
from tenfold.providers.offline.granite import DIMENSIONS, MAX_TOKENS, PASSAGE_TOKENS

RELATED = [
    ("How do I reset my password?", "I forgot my password and cannot sign in."),
    ("What does the premium plan cost?", "Pricing: the premium subscription is 20 dollars a month."),
    ("The server returns error 503.", "Service unavailable responses from the API."),
    ("Where is my parcel?", "Track the delivery of your order."),
]


def cosine(encoder: Encoder, one: str, other: str) -> float:
    return float(encoder.encode(one)[0] @ encoder.encode(other)[0])


def test_the_same_text_gives_the_same_vector_whatever_came_before(encoder: Encoder) -> None:
    first, _ = encoder.encode("The quick brown fox")
    encoder.encode("something else entirely " * 50)
    again, _ = encoder.encode("The quick brown fox")
    assert np.array_equal(first, again)


def test_vectors_have_length_one(encoder: Encoder) -> None:
    for text in ("", " ", "a", "Ein Satz auf Deutsch.", "word " * 2000):
        vector, _ = encoder.encode(text)
        assert vector.shape == (DIMENSIONS,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_related_texts_are_nearer_than_unrelated_ones(encoder: Encoder) -> None:
    related = [cosine(encoder, *pair) for pair in RELATED]
    unrelated = [
        cosine(encoder, one, other)
        for place, (one, _) in enumerate(RELATED)
        for elsewhere, (_, other) in enumerate(RELATED)
        if place != elsewhere
    ]
    assert min(related) > max(unrelated)


def test_long_texts_are_cut_at_the_models_limit(encoder: Encoder) -> None:
    vector, tokens = encoder.encode("word " * 5000)
    assert tokens == MAX_TOKENS
    assert np.array_equal(vector, encoder.encode("word " * 600)[0])


def test_of_a_passage_the_first_tokens_are_read(encoder: Encoder) -> None:
    text = "The invoice is sent on the first working day of each month. " * 20
    vector, tokens = encoder.encode(text, most_tokens=PASSAGE_TOKENS)
    assert tokens == PASSAGE_TOKENS
    assert np.array_equal(vector, encoder.encode(text + "Something else.", most_tokens=PASSAGE_TOKENS)[0])
    short = "An invoice."
    assert np.array_equal(encoder.encode(short, most_tokens=PASSAGE_TOKENS)[0], encoder.encode(short)[0])
