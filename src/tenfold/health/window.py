"""Counts of the last seconds: a ring of ten buckets and their sums, O(1) a count."""

_BUCKETS = 10


class Window:
    """Between nine tenths and the whole of `window_s`, up to the last `count` or `roll`. `now` may not go back: what
    comes late is counted in the newest bucket. `mark` is a number that the owner counts up itself; `marked` is by how
    much it grew within the window.

    Before `ends`, a call that is neither a failure nor slow may be counted by adding one to `calls` and to `here`."""

    __slots__ = (
        "_bucket_s",
        "_calls",
        "_failures",
        "_marks",
        "_slot",
        "_slow",
        "calls",
        "ends",
        "failures",
        "here",
        "slow",
    )

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / _BUCKETS
        self.clear(0)

    def clear(self, mark: int) -> None:
        self.ends = 0.0  # when the newest bucket does
        self.here = 0  # calls in it
        self._slot = 0
        self._calls, self._failures, self._slow = [0] * _BUCKETS, [0] * _BUCKETS, [0] * _BUCKETS
        self._marks = [mark] * _BUCKETS  # as each bucket began
        self.calls = self.failures = self.slow = 0

    def count(self, now: float, calls: int, failures: int, slow: int, mark: int = 0) -> None:
        if now >= self.ends:
            self.roll(now, mark)
        self.calls += calls
        self.here += calls
        if failures:
            self.failures += failures
            self._failures[self._slot] += failures
        if slow:
            self.slow += slow
            self._slow[self._slot] += slow

    def marked(self, mark: int) -> int:
        return mark - self._marks[(self._slot + 1) % _BUCKETS]

    def roll(self, now: float, mark: int = 0) -> None:
        """Forget what is too old."""
        if now < self.ends:
            return
        if not self.ends:
            self.ends = now + self._bucket_s  # the first since it was cleared
            return
        self._calls[self._slot], self.here = self.here, 0
        passed = int((now - self.ends) / self._bucket_s) + 1
        for _ in range(min(passed, _BUCKETS)):
            slot = self._slot = (self._slot + 1) % _BUCKETS
            self.calls -= self._calls[slot]
            self.failures -= self._failures[slot]
            self.slow -= self._slow[slot]
            self._calls[slot] = self._failures[slot] = self._slow[slot] = 0
            self._marks[slot] = mark
        self.ends += passed * self._bucket_s
        if self.ends <= now:  # rounded down: one more
            self.roll(now, mark)
