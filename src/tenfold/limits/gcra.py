"""The generic cell rate algorithm on integers, exact: no rounding ever adds up. Pure; knows no clock and no store.

GCRA as a continuous-state leaky bucket (ITU-T I.371, annex A; the form with a theoretical arrival time, as in Brandur
Leach's "Rate Limiting, Cells, and GCRA", is the same algorithm). A bucket leaks `amount` units a window; what is in it
is its backlog: units times the window, so that what leaks in one nanosecond, `amount`, is a whole number.
"""

from msgspec import Struct

SHARE = 4  # a block ahead of need is at most a quarter of the room: near the limit nobody holds what others lack


class Rate(Struct, frozen=True, kw_only=True):
    """`amount` units a window, `burst` of them at once after a pause. All positive."""

    amount: int
    window_ns: int
    burst: int

    def split(self, parts: int) -> "Rate":
        """One of so many equal shares, each of at least one unit."""
        if parts <= 1:
            return self
        return Rate(amount=max(1, self.amount // parts), window_ns=self.window_ns, burst=max(1, self.burst // parts))


def drained(rate: Rate, backlog: int, elapsed_ns: int) -> int:
    """The backlog after so long. A clock that went back drains nothing."""
    return max(0, backlog - max(0, elapsed_ns) * rate.amount)


def filled(rate: Rate, backlog: int, units: int) -> int:
    """The backlog with so many units more; less than 0 gives them back, and never makes a bucket emptier than empty."""
    return max(0, backlog + units * rate.window_ns)


def room(rate: Rate, backlog: int) -> int:
    """The units that may be taken now; less than 0 while the bucket is in debt."""
    return (rate.burst * rate.window_ns - backlog) // rate.window_ns


def wait_ns(rate: Rate, backlog: int, units: int) -> int:
    """How long until so many units may be taken, if nobody else takes any. Of more than the burst: when it is empty."""
    over = backlog + min(units, rate.burst) * rate.window_ns - rate.burst * rate.window_ns
    return max(0, -(-over // rate.amount))


def reset_ns(rate: Rate, backlog: int) -> int:
    """How long until the whole burst may be taken again."""
    return -(-backlog // rate.amount)


def granted(rate: Rate, backlog: int, wanted: int, at_least: int) -> int:
    """Of `wanted` units, what is given: all or a quarter of the room, but what is needed at least; 0 when it is not
    there."""
    free = room(rate, backlog)
    return max(at_least, min(wanted, free // SHARE)) if free >= at_least else 0
