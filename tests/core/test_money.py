"""Amounts as people write them, to 10^-9 USD and back: nothing is rounded, nothing is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.money import MAX_NANO, format_usd, parse_usd


@given(st.integers(min_value=0, max_value=MAX_NANO))
def test_every_amount_comes_back(nano: int) -> None:
    assert parse_usd(format_usd(nano)) == nano


@given(st.text(max_size=30))
def test_whatever_is_written_is_an_amount_or_refused(text: str) -> None:
    try:
        nano = parse_usd(text)
    except ValueError as error:
        assert "amount" in str(error)
    else:
        assert 0 <= nano <= MAX_NANO


@pytest.mark.parametrize(
    ("text", "nano"), [("12", 12 * 10**9), ("12.", 12 * 10**9), ("0.10", 10**8), (" 1.5 ", 15 * 10**8)]
)
def test_plain_numbers(text: str, nano: int) -> None:
    assert parse_usd(text) == nano
    assert parse_usd("0." + "0" * 8 + "1" + "0" * 20) == 1


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e9", "1E-9", "NaN", "inf", "0x1", "1_0", "1,0", "$1", "1 USD", "٣", ".5"]
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_usd(text)
    with pytest.raises(ValueError, match="at most 9 digits"):
        parse_usd("1.0000000001")
    with pytest.raises(ValueError, match=r"at most 9223372036\.854775807 USD"):
        parse_usd("9223372036.854775808")
