"""What the modules of setting tables share: how strict a table is, a mistake with its place, the hint about a name that
nobody knows, and amounts of money."""

import difflib
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from tenfold.core.money import parse_usd


class Table(BaseModel):
    """A table of `tenfold.toml`: no unknown key, nothing changed after it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Mistake(ValueError):
    """Keys that each are fine and together are not. `path` leads from the table that is checked to the one at fault."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = tuple(str(part) for part in path)


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    known = sorted(valid)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known) or 'none'}"


def amount_usd(value: object) -> object:
    """An amount above 0, exactly as written. TOML has numbers, the environment text."""
    if value is None:
        return None
    text = format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)
    if parse_usd(text) == 0:
        raise ValueError("an amount is above 0; leave the key out where nothing is to be limited")
    return Decimal(text.strip())


Usd = Annotated[Decimal | None, BeforeValidator(amount_usd)]
