"""Values of this part. Times are seconds; those that name a moment are of the clock whose `now` is passed in."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from msgspec import Struct

State = Literal["closed", "open", "half_open"]
Fault = Literal["connect", "timeout", "status", "stream", "malformed"]
"""What befell an attempt: no connection, no answer in time, an error status, a stream that broke or stalled, an answer
that could not be read."""


@dataclass(frozen=True, kw_only=True)
class BreakerPolicy:
    """When the breaker of a target opens and closes. Raises ValueError with the name of the field.

    It opens when, of the attempts that ended within `window_s`, at least `min_failures` and `failure_rate` of all
    failed; or at least `min_failures` were slow and `slow_rate` of all were; or when `min_failures` in a row failed.
    """

    window_s: float = 10.0
    min_failures: int = 5
    failure_rate: float = 0.5
    slow_s: float = 0.0  # to the first token, or to the whole reply where it comes as one; 0: none is too slow
    slow_rate: float = 0.5
    cooldown_s: float = 2.0  # the first; doubles each time a probe fails
    max_cooldown_s: float = 4.0  # a provider that is back is asked again within it
    probes: int = 1  # at once
    successes: int = 2  # of probes, to close

    def __post_init__(self) -> None:
        for name in ("window_s", "cooldown_s"):
            if not 0 < getattr(self, name) <= 3600:
                raise ValueError(f"{name} is above 0 and at most an hour")
        for name in ("failure_rate", "slow_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is above 0 and at most 1")
        for name in ("min_failures", "probes", "successes"):
            if not 1 <= getattr(self, name) <= 10_000:
                raise ValueError(f"{name} is from 1 to 10000")
        if not 0 <= self.slow_s <= 3600:
            raise ValueError("slow_s is at most an hour, and 0 when no answer is too slow")
        if not self.cooldown_s <= self.max_cooldown_s <= 3600:
            raise ValueError("max_cooldown_s is at least cooldown_s and at most an hour")


class HealthView(Struct, frozen=True, kw_only=True):
    """What is known of a target at one moment, for people. Times are from that moment on."""

    provider: str
    model: str
    state: State
    open_s: float  # until it is asked again; 0 where the breaker is not open
    rests_s: float  # as it asked for; 0 where it did not
    in_flight: int
    calls: int  # ended within the window
    failures: int
    slow: int
    latency_s: float  # 0: unknown, for both
    duration_s: float
    opened_total: int


class SharedState(Struct, frozen=True, kw_only=True):
    """The last change of a breaker that some process made of its own experience."""

    provider: str
    model: str
    state: Literal["open", "closed"]
    holder: UUID
    change_id: UUID
    left_s: float  # until an open one is over; below 0 when it is
