"""One timer for all who wait: a proxy between takes a connection on which nothing moves for a dead one."""

import asyncio
from typing import Protocol

EVERY_S = 15.0  # below the 30 s after which the strictest of common proxies give up
_PARTS = 15  # so that ten thousand are not all at the same moment


class Waiter(Protocol):
    def beat(self) -> None:
        """A sign of life, without waiting. Raises nothing."""
        ...

    def leave(self) -> None:
        """This process stops: end at once, in good order."""
        ...


class Beats:
    """Each who has joined is called about every `every_s`. The timer runs only while somebody waits."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._parts: list[set[Waiter]] = [set() for _ in range(_PARTS)]
        self._gap_s = every_s / _PARTS
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None
        self.waiting = 0

    def join(self, waiter: Waiter) -> int:
        """The place to `part` from."""
        place = self._next - 1  # it was just called: a whole round till the first beat
        self._parts[place].add(waiter)
        self.waiting += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._gap_s, self._turn)
        return place

    def part(self, waiter: Waiter, place: int) -> None:
        self._parts[place].discard(waiter)
        self.waiting -= 1
        if not self.waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        """All leave."""
        for part in self._parts:
            for waiter in list(part):
                waiter.leave()

    def _turn(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._gap_s, self._turn)
        part = self._parts[self._next]
        self._next = (self._next + 1) % _PARTS
        for waiter in list(part):
            waiter.beat()
