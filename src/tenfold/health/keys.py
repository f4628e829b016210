"""The health of a target as seen by one of several keys of its provider.

What befalls the model is known to all keys: breaker and durations are the target's. What a key was told to wait, and
how many calls it has, is its own: another key may have room while this one has none.
"""

from msgspec.structs import replace

from tenfold.health.breaker import TargetHealth, rest_s
from tenfold.health.types import Fault, HealthView, State


class KeyHealth:
    """Used as a `TargetHealth` is. Every attempt counts in `of`, too, but for what the key alone was told."""

    __slots__ = ("_backoffs", "in_flight", "of", "rests_until")

    def __init__(self, of: TargetHealth) -> None:
        self.of = of
        self.rests_until = 0.0
        self.in_flight = 0
        self._backoffs = 0

    @property
    def provider(self) -> str:
        return self.of.provider

    @property
    def model(self) -> str:
        return self.of.model

    @property
    def state(self) -> State:
        return self.of.state

    @property
    def latency_s(self) -> float:
        return self.of.latency_s

    @property
    def duration_s(self) -> float:
        return self.of.duration_s

    def may_call(self, now: float) -> bool:
        return now >= self.rests_until and self.of.may_call(now)

    def retry_after_s(self, now: float) -> float:
        return max(self.rests_until - now, self.of.retry_after_s(now))

    def load(self, now: float) -> float:
        """Of the key's own calls, at the latency of the target."""
        return self.of.load(now, self.in_flight)

    def begin(self, now: float) -> None:
        self.in_flight += 1
        self.of.begin(now)

    def answered(self, now: float, *, began: float) -> None:
        self.of.answered(now, began=began)

    def succeeded(self, now: float, *, first_s: float, total_s: float) -> None:
        self.in_flight -= 1
        self._backoffs = 0
        self.of.succeeded(now, first_s=first_s, total_s=total_s)

    def failed(self, now: float, fault: Fault, *, began: float | None = None) -> None:
        self.in_flight -= 1
        self.of.failed(now, fault, began=began)

    def limited(self, now: float, retry_after_s: float | None, *, began: float | None = None) -> None:
        """This key has to wait."""
        self.neutral(now, began=began)
        if retry_after_s is None:
            if now < self.rests_until:
                return  # one of many that were on their way together
            self._backoffs += 1
        self.rests_until = max(self.rests_until, now + rest_s(retry_after_s, self._backoffs - 1))

    def neutral(self, now: float, *, began: float | None = None) -> None:
        self.in_flight -= 1
        self.of.neutral(now, began=began)

    def adopt_open(self, now: float, left_s: float) -> None:
        self.of.adopt_open(now, left_s)

    def adopt_closed(self, now: float) -> None:
        self.of.adopt_closed(now)

    def view(self, now: float) -> HealthView:
        """Of the target, but for the key's own rest and calls."""
        return replace(self.of.view(now), rests_s=max(0.0, self.rests_until - now), in_flight=self.in_flight)
