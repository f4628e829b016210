"""Attempts of tests: a target, a clock that stands still until told, and what befalls the calls."""

from collections.abc import Callable

from tenfold.health import BreakerPolicy, State, TargetHealth

START = 1_000.0


class Attempts:
    """`health` and its time; each method is a whole attempt that takes `took_s`."""

    def __init__(self, policy: BreakerPolicy | None = None, dice: Callable[[], float] = lambda: 0.999) -> None:
        self.now = START
        self.told: list[str] = []
        self.health = TargetHealth(
            policy or BreakerPolicy(), changed=lambda health: self.told.append(health.state), dice=dice
        )

    def state(self) -> State:
        return self.health.state

    def succeed(self, took_s: float = 0.0) -> None:
        began = self.begin()
        self.now += took_s
        self.end_well(began)

    def fail(self, took_s: float = 0.0) -> None:
        began = self.begin()
        self.now += took_s
        self.health.failed(self.now, "status", began=began)

    def begin(self) -> float:
        self.health.begin(self.now)
        return self.now

    def end_well(self, began: float) -> None:
        self.health.succeeded(self.now, first_s=self.now - began, total_s=self.now - began)

    def open(self) -> None:
        """By failures, at this moment."""
        while self.health.state != "open":
            self.fail()

    def half_open(self) -> float:
        """Opens it, waits, and begins a probe. Returns when it began."""
        self.open()
        self.now += self.health.retry_after_s(self.now)
        return self.begin()
