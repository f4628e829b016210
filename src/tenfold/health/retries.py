"""How much may be asked twice: retries that make a bad hour worse are the ones that everybody makes at once."""

import time
from collections.abc import Callable

from tenfold.health.window import Window

WINDOW_S = 10.0
FLOOR = 10


class RetryBudget:
    """Of the last ten seconds, retries are at most `ratio` of the first attempts, or `floor` where that is more: so a
    process with a handful of calls may retry as well, and one with `floor / ratio` calls in ten seconds (10 a second)
    or more never adds more than `ratio`. Not the sum of the two."""

    def __init__(self, ratio: float = 0.1, floor: int = FLOOR, *, now: Callable[[], float] = time.perf_counter) -> None:
        if not 0 <= ratio <= 1 or floor < 0:
            raise ValueError("the ratio of retries is from 0 to 1, their floor is not below 0")
        self.ratio = ratio
        self.floor = floor
        self._now = now
        self._window = Window(WINDOW_S)  # calls: first attempts; failures: retries
        self.taken = 0
        self.refused = 0

    def request(self) -> None:
        """A first attempt is made."""
        self._window.count(self._now(), 1, 0, 0)

    def may_retry(self) -> bool:
        """Takes one when there is one."""
        window, now = self._window, self._now()
        window.roll(now)
        if window.failures + 1 > max(self.floor, self.ratio * window.calls):
            self.refused += 1
            return False
        window.count(now, 0, 1, 0)
        self.taken += 1
        return True
