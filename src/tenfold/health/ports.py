"""The seam of this part: where processes tell each other which breakers are open.

Every method raises StoreUnavailable while the store is away. `fake.FakeBreakerRows` is the in-memory twin, under one
contract suite with the real one.
"""

from collections.abc import Sequence
from typing import Protocol

from tenfold.health.types import SharedState


class BreakerRows(Protocol):
    """One row for each provider and model. Time is the store's own."""

    async def write(self, states: Sequence[SharedState]) -> None:
        """They take the place of what was known of these targets, and every process hears of it."""
        ...

    async def read(self) -> list[SharedState]:
        """All there are, with what is left of their time now."""
        ...
