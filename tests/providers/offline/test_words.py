"""Splitting text into words and sentences: on any input, in linear time, without markup."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.providers.offline.words import MAX_SENTENCE_CHARS, reads_as_prose, sentences, stem, terms

DOCUMENT = """\
# Rotating keys

Keys are rotated with `tenfold key rotate`. The old key works for
24 hours, e.g. until tomorrow. See [the guide](https://example.com/guide).

- Run the command.
- Give the **new key** to your application

```sh
tenfold key rotate
```

| limit | value |
|-------|-------|
| keys  | 20    |
"""


def test_sentences_are_what_can_stand_alone() -> None:
    assert sentences(DOCUMENT) == [
        "Keys are rotated with tenfold key rotate.",
        "The old key works for 24 hours, e.g. until tomorrow.",
        "See the guide.",
        "Run the command.",
        "Give the new key to your application",
        "limit: value",
        "keys: 20",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rotate", "rotated"),
        ("rotates", "rotating"),
        ("policies", "policy"),
        ("classes", "class"),
        ("stopped", "stop"),
        ("deployment", "deployments"),
        ("translation", "translate"),
    ],
)
def test_forms_of_a_word_share_their_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize("word", ["status", "access", "this", "2024", "s3", "bus"])
def test_words_that_only_look_inflected_stay(word: str) -> None:
    assert stem(word) == word


def test_identifiers_are_found_by_their_parts() -> None:
    assert terms("Set maxTokens or max_tokens, the user's choice") == terms("set max tokens max tokens user choice")


def test_a_menu_does_not_read_as_prose() -> None:
    assert reads_as_prose("You can rotate a key in the console or with the command line at any time you like.")
    assert not reads_as_prose("Overview Quickstart Models Pricing Rate limits Errors Streaming Tools Vision " * 2)


@given(st.text(max_size=500))
def test_any_text_has_sentences_of_bounded_length(text: str) -> None:
    for sentence in sentences(text):
        assert sentence
        assert len(sentence) <= MAX_SENTENCE_CHARS + 2
        assert "\n" not in sentence


@pytest.mark.parametrize(
    "piece", ["[", "**", "`", "__", "A. ", "a", "|", "- ", "# ", "\n", "![", "1. ", '" ', "(", ")"]
)
@pytest.mark.parametrize("read", [sentences, terms])
def test_a_long_row_of_one_sign_is_read(piece: str, read: Callable[[str], list[str]]) -> None:
    """Quadratic time would hang here: 200,000 characters."""
    read(piece * (200_000 // len(piece)))
