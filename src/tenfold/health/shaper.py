"""How many calls at once a provider's key takes: learnt from its 429s, so that it is not asked for more over and over.

Additive increase, multiplicative decrease (Chiu, Jain 1989). Nothing is held back before the first 429.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

MAX_LIMIT = 4096
MAX_WAITING = 1000
_DECREASE = 0.9  # near the true limit: it swings between 90 and 100 % of it, 0.8 cost a tenth of the calls served
_FAST_DECREASE = 0.7  # while not one round went well since it shrank last: the true limit is far below
_EDGE_ROUNDS = 5  # before it goes where it was refused last: most of the time is spent just below (as CUBIC does)
_CALM_ROUNDS = 4  # after as many without a 429 each further round adds more than the one before it (as H-TCP)


class Shaper:
    """A call that was let in (`try_enter`, or `enter` that said True) says `leave` once. At most `limit` are in at
    once, except after it has shrunk, until enough have left."""

    __slots__ = (
        "_changed_at",
        "_good",
        "_now",
        "_refused_at",
        "_rounds",
        "_waiting",
        "in_flight",
        "limit",
        "max_limit",
        "max_waiting",
    )

    def __init__(
        self,
        max_limit: int = MAX_LIMIT,
        *,
        max_waiting: int = MAX_WAITING,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        if max_limit < 1 or max_waiting < 0:
            raise ValueError("the largest limit is at least 1, the calls that may wait not below 0")
        self.limit = self.max_limit = max_limit
        self.max_waiting = max_waiting
        self.in_flight = 0
        self._now = now
        self._changed_at = 0.0  # when the limit shrank last
        self._refused_at = 0  # so many were in flight when it shrank last
        self._good = 0  # answers in this round: a round is as many as the limit
        self._rounds = 0  # since it shrank
        self._waiting: deque[asyncio.Future[bool]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def try_enter(self) -> bool:
        """Whether there is room right now. Overtakes nobody: while somebody waits there is none."""
        if self.in_flight >= self.limit:
            return False
        self.in_flight += 1
        return True

    async def enter(self, timeout_s: float) -> bool:
        """Waits for its turn, first come, first served. False: not within `timeout_s`, or too many wait already.
        Cancelled, it holds nothing."""
        if self.try_enter():
            return True
        if timeout_s <= 0 or len(self._waiting) >= self.max_waiting:
            return False
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(timeout_s, self._expire, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.in_flight -= 1  # cancelled in the moment after its turn came: the next one has it
            elif turn in self._waiting:
                self._waiting.remove(turn)
            self._let_in()
            raise
        finally:
            timer.cancel()

    def leave(self, *, limited: bool, rtt_s: float | None) -> None:
        """`limited`: the provider said that it is too much. `rtt_s`: how long it took to say what it said; None where
        it said nothing (no connection, the client left)."""
        was_in_flight = self.in_flight
        self.in_flight = was_in_flight - 1
        if limited:
            self._shrink(was_in_flight, rtt_s or 0.0)
        elif self.limit < self.max_limit and rtt_s is not None and 2 * was_in_flight >= self.limit:
            self._grow()
        if self._waiting:
            self._let_in()

    # -- inside ------------------------------------------------------------------------------

    def _shrink(self, in_flight: int, rtt_s: float) -> None:
        now = self._now()
        if now - rtt_s < self._changed_at:
            return  # it was on its way when the limit shrank: the smaller one has not been tried yet
        if in_flight <= 1:
            return  # one call alone cannot be too many at once: that limit is of another kind
        decrease = _DECREASE if self._rounds else _FAST_DECREASE
        self._refused_at = min(self.limit, in_flight)
        self.limit = max(1, int(self._refused_at * decrease))
        self._changed_at = now
        self._good = self._rounds = 0

    def _grow(self) -> None:
        self._good += 1
        step = max(1, self._rounds - _CALM_ROUNDS)
        is_at_edge = self.limit < self._refused_at <= self.limit + step
        if self._good >= self.limit * (_EDGE_ROUNDS if is_at_edge else 1):
            self._good = 0
            self._rounds += 1
            self.limit = min(self.max_limit, self.limit + (1 if is_at_edge else step))

    def _let_in(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():  # given up, and its task does not know yet
                self.in_flight += 1
                turn.set_result(True)

    def _expire(self, turn: "asyncio.Future[bool]") -> None:
        if not turn.done():
            self._waiting.remove(turn)
            turn.set_result(False)
