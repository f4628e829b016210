"""What becomes of ticks, as functions of values; and what the rows of Postgres and those of memory say alike."""

from collections import deque
from datetime import datetime, timedelta

from tenfold.core.errors import Conflict
from tenfold.jobs.schedules.cron import Cron
from tenfold.jobs.schedules.types import GRACE_S, MOST_MISSED, Schedule

_WINDOWS = tuple(timedelta(hours=hours) for hours in (1, 24, 7 * 24, 32 * 24, 366 * 24))
_SECOND = timedelta(seconds=1)


def runs_of(schedule: Schedule, cron: Cron, now: datetime) -> list[datetime]:
    """The ticks, from `next_at` to now, that are to become jobs, in their order."""
    if schedule.next_at is None:
        return []
    ticks = _latest(cron, schedule.next_at, now)
    if schedule.missed == "skip":
        return [tick for tick in ticks if (now - tick).total_seconds() <= GRACE_S]
    return ticks[-1:] if schedule.missed == "last" else ticks


def _latest(cron: Cron, first: datetime, now: datetime) -> list[datetime]:
    """At most MOST_MISSED. After a long time away the many ticks of a frequent schedule are not all walked through."""
    before = first - _SECOND
    for window in _WINDOWS:
        since = max(before, now - window)
        ticks = deque(cron.between(since, now), maxlen=MOST_MISSED)
        if since == before or len(ticks) == MOST_MISSED:
            return list(ticks)
    return list(deque(cron.between(before, now), maxlen=MOST_MISSED))


def name_taken(name: str) -> Conflict:
    return Conflict(f"There is a schedule '{name}' already.", param="name")
