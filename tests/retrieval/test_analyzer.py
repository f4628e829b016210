"""Words as they are counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.retrieval.analyzer import names_code, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Call CreateStream!", "call createstream create stream"),
        ("max_tokens, max-tokens", "max tokens max tokens"),
        ("the user's m3.large", "the user m3 large"),
        ("don’t", "dont"),
        ("costs $3.50 or 1,000", "costs 3.50 or 1,000"),
        ("HTTPServer EC2", "httpserver http server ec2 ec"),
        ("Größe naïve 日本語", "größe naïve 日本語"),
        ("x" * 100, "x" * 64),
        ("", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert words(text) == expected


@given(st.text())
def test_only_words_and_blanks_come_out(text: str) -> None:
    for word in words(text).split(" "):
        assert len(word) <= 64
        assert not set(word) & set("'\"\\:*&|!()<>\x00\n\t_")


def test_a_code_is_a_word_of_letters_and_digits() -> None:
    assert all(map(names_code, ("What is F3?", "error E42", "the 3D view")))
    assert not any(map(names_code, ("What is 42?", "the valve", "", "3 or 4")))
