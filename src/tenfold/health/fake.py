"""In-memory twin of the store of this part, for tests of whatever stands on shared breakers."""

import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from tenfold.core.errors import StoreUnavailable
from tenfold.health.types import SharedState


class FakeBreakerRows:
    """BreakerRows several `Healths` of one test may share. Set `away` to make every call raise StoreUnavailable; those
    in `followers` are called after each write."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.away = False
        self.followers: list[Callable[[None], None]] = []
        self._now = now
        self._states: dict[tuple[str, str], tuple[SharedState, float]] = {}

    async def write(self, states: Sequence[SharedState]) -> None:
        self._answer()
        now = self._now()
        for state in states:
            self._states[state.provider, state.model] = state, now + state.left_s
        for follower in self.followers:
            follower(None)

    async def read(self) -> list[SharedState]:
        self._answer()
        now = self._now()
        return [replace(state, left_s=until - now) for _, (state, until) in sorted(self._states.items())]

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)
