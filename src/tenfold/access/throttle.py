"""Attempts in a time, counted in this process: what slows down a guesser of passwords. Bounded in memory."""

from collections import OrderedDict

from tenfold.core.clock import Clock
from tenfold.core.errors import RateLimited


class Throttle:
    """GCRA: `burst` attempts at once, then one every `interval_s`. At most `capacity` keys are remembered;
    the ones longest unused are forgotten first."""

    def __init__(self, clock: Clock, *, burst: int, interval_s: float, capacity: int = 10_000) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._tolerance_s = interval_s * burst
        self._capacity = capacity
        self._free_at_s: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str) -> None:
        """Counts an attempt. Raises RateLimited, and counts nothing, when there were too many."""
        now_s = self._clock.monotonic_s()
        free_at_s = max(self._free_at_s.get(key, now_s), now_s) + self._interval_s
        wait_s = free_at_s - now_s - self._tolerance_s
        if wait_s > 0:
            raise RateLimited("Too many attempts. Please wait and try again.", retry_after_s=wait_s)
        self._free_at_s[key] = free_at_s
        self._free_at_s.move_to_end(key)
        if len(self._free_at_s) > self._capacity:
            self._free_at_s.popitem(last=False)

    def give_back(self, key: str) -> None:
        """The attempt was a good one: it does not count."""
        if key in self._free_at_s:
            self._free_at_s[key] -= self._interval_s
