"""Money: integers of 10^-9 USD. Floats never hold an amount."""

import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NewType

NanoUsd = NewType("NanoUsd", int)

NANO_PER_USD = 1_000_000_000
MAX_NANO = 2**63 - 1
"""9.2 thousand million USD: what a bigint of the database holds."""

_PLAIN = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,40})?")


def from_usd(amount: Decimal | str | int) -> NanoUsd:
    """USD (decimal, string or whole dollars) to 10^-9 USD, rounded half to even."""
    return NanoUsd(int((Decimal(amount) * NANO_PER_USD).to_integral_value(ROUND_HALF_EVEN)))


def parse_usd(text: str) -> NanoUsd:
    """What people and programs write as an amount: plain decimal USD, `"12.5"`. Nothing is rounded and nothing guessed:
    raises ValueError, saying what to write instead, for a sign, an exponent, a currency, a thousands separator, a
    digit below 10^-9 USD, and more than MAX_NANO."""
    text = text.strip()
    if not _PLAIN.fullmatch(text):
        if text.startswith("-"):
            raise ValueError("an amount is not negative")
        raise ValueError("an amount is a plain number of US dollars without sign, currency or exponent, such as 12.5")
    whole, _, fraction = text.partition(".")
    if len(fraction.rstrip("0")) > 9:
        raise ValueError("an amount has at most 9 digits after the point: money is counted in 10^-9 USD")
    nano = int(whole) * NANO_PER_USD + int(fraction[:9].ljust(9, "0"))
    if nano > MAX_NANO:
        raise ValueError(f"an amount is at most {format_usd(MAX_NANO)} USD")
    return NanoUsd(nano)


def format_usd(amount: int) -> str:
    """`1_234_000` -> `"0.001234"`: plain decimal USD, no exponent, no trailing zeros."""
    sign = "-" if amount < 0 else ""
    whole, nano = divmod(abs(amount), NANO_PER_USD)
    return f"{sign}{whole}.{nano:09d}".rstrip("0").rstrip(".") if nano else f"{sign}{whole}"
