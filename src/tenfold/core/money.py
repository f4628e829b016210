"""Money: integers of 10^-9 USD. Floats never hold an amount."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import NewType

NanoUsd = NewType("NanoUsd", int)

NANO_PER_USD = 1_000_000_000


def from_usd(amount: Decimal | str | int) -> NanoUsd:
    """USD (decimal, string or whole dollars) to 10^-9 USD, rounded half to even."""
    return NanoUsd(int((Decimal(amount) * NANO_PER_USD).to_integral_value(ROUND_HALF_EVEN)))


def format_usd(amount: int) -> str:
    """`1_234_000` -> `"0.001234"`: plain decimal USD, no exponent, no trailing zeros."""
    sign = "-" if amount < 0 else ""
    whole, nano = divmod(abs(amount), NANO_PER_USD)
    return f"{sign}{whole}.{nano:09d}".rstrip("0").rstrip(".") if nano else f"{sign}{whole}"
