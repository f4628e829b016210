"""The arithmetic of budgets: what each step does to the sums of a period and of a lease. Pure; the database and the
fake both load sums, call these, and store sums.

Always: period.reserved = settled + released + held, and held = sum of the held of its leases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tenfold.ledger.budgets.types import Period

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""The start of the one period of a budget in total."""

_PARTS = 4  # one process takes a quarter of what is left at most: near the limit slices shrink, and all get some


@dataclass(slots=True)
class PeriodSums:
    reserved: int = 0
    settled: int = 0
    released: int = 0

    @property
    def held(self) -> int:
        return self.reserved - self.settled - self.released


@dataclass(slots=True)
class LeaseSums:
    granted: int = 0  # net of what was given back
    settled: int = 0
    charged: int = 0
    closed: bool = False

    @property
    def held(self) -> int:
        return self.granted - self.settled - self.charged


def period_of(period: Period, now: datetime) -> tuple[datetime, datetime | None]:
    """The UTC day or month around `now`: its start, and the start of the next one (None: total)."""
    if period == "total":
        return BEGINNING, None
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return day, day + timedelta(days=1)
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


def remaining(limit: int, period: PeriodSums) -> int:
    return limit - period.settled - period.held


def grantable(limit: int, hard: bool, period: PeriodSums, *, wanted: int, at_least: int) -> int:
    """Between `at_least` and `wanted`; 0 when even `at_least` is more than is left."""
    if not hard:
        return wanted
    room = remaining(limit, period)
    if room < at_least or room <= 0:
        return 0
    return min(wanted, max(at_least, room // _PARTS))


def take(period: PeriodSums, lease: LeaseSums, amount: int) -> None:
    """The holder asked, so it lives: what was charged or closed in its absence is its own again."""
    period.settled -= lease.charged
    lease.charged = 0
    lease.closed = False
    lease.granted += amount
    period.reserved += amount


def give_back(period: PeriodSums, lease: LeaseSums, amount: int, *, done: bool) -> None:
    if lease.closed:
        return
    amount = min(amount, lease.held)
    lease.granted -= amount
    period.released += amount
    lease.closed = done and lease.held == 0


def settle(period: PeriodSums, lease: LeaseSums, cost: int) -> None:
    """A receipt. It draws from what was charged for it already, then from what is held; what it costs beyond that was
    reserved by nobody, and is now."""
    drawn = min(cost, lease.charged)
    beyond = max(0, cost - drawn - lease.held)
    lease.charged -= drawn
    lease.settled += cost
    lease.granted += beyond
    period.reserved += beyond
    period.settled += cost - drawn


def close(period: PeriodSums, lease: LeaseSums) -> None:
    """No receipt is still to come: what none has spent is released."""
    period.settled -= lease.charged
    period.released += lease.granted - lease.settled
    lease.granted = lease.settled
    lease.charged = 0
    lease.closed = True


def charge(period: PeriodSums, lease: LeaseSums) -> None:
    """The holder is gone and its receipts may be: what it held counts as spent."""
    period.settled += lease.held
    lease.charged += lease.held
    lease.closed = True


def adjust(period: PeriodSums, delta: int) -> None:
    """A receipt was corrected after it was settled. Leases stay as they are: their holder knows nothing of it."""
    period.settled += delta
    if delta > 0:
        period.reserved += delta
    else:
        period.released -= delta


def reached(alerts: Sequence[int], limit: int, settled: int) -> list[int]:
    """The percentages of the limit that are spent."""
    return [percent for percent in alerts if settled > 0 and settled * 100 >= limit * percent]
