"""The written form of keys: long enough, checkable by eye and by machine."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.access.names import installed_secret
from tenfold.access.secret_text import digest_of, is_mistyped, new_api_key, new_session_token, shown_prefix
from tenfold.core.errors import InvalidRequest


def test_a_key_has_256_random_bits_and_its_checksum() -> None:
    keys = {new_api_key() for _ in range(100)}

    assert len(keys) == 100
    for key in keys:
        assert re.fullmatch(r"tf_[0-9A-Za-z]{49}", key)
        assert not is_mistyped(key)
        assert shown_prefix(key) == key[:8]


@given(position=st.integers(3, 51), sign=st.sampled_from("0AZaz-_ é"))
def test_one_wrong_character_is_noticed(position: int, sign: str) -> None:
    key = new_api_key()
    wrong = key[:position] + sign + key[position + 1 :]

    assert is_mistyped(wrong) == (wrong != key)


@given(text=st.text())
def test_other_texts_are_not_called_mistyped(text: str) -> None:
    assert not is_mistyped(text) or len(text) == 52


def test_a_digest_is_the_same_for_text_and_bytes_and_defined_for_any_text() -> None:
    assert digest_of("abc") == digest_of(b"abc")
    assert len(digest_of("\ud800")) == 32


def test_session_tokens_differ() -> None:
    assert len({new_session_token() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "secret", ["short", "x" * 257, "with a blank in it", "uml\u00e4ute-are-not-ascii", "tab\tin-the-middle"]
)
def test_secrets_that_cannot_be_installed(secret: str) -> None:
    with pytest.raises(InvalidRequest):
        installed_secret(secret)


def test_a_mistyped_key_cannot_be_installed() -> None:
    key = new_api_key()
    with pytest.raises(InvalidRequest, match="checksum"):
        installed_secret(key[:-1] + ("0" if key[-1] != "0" else "1"))
