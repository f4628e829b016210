"""What the modules of setting tables share: how strict a table is, and the hint about a name that nobody knows."""

import difflib
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of `tenfold.toml`: no unknown key, nothing changed after it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    known = sorted(valid)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known) or 'none'}"
