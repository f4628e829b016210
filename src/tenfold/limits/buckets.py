"""What one process holds of one limit and subject: units it may spend, or calls it may have running. Pure memory."""

import asyncio
from hashlib import blake2b

from tenfold.core.ids import TenantId
from tenfold.limits import gcra
from tenfold.limits.ports import Grant, Slots
from tenfold.limits.types import Limit

HORIZON_NS = 5 * 10**9  # a block is meant to last so long
AHEAD = 10  # all processes together hold at most a tenth of a window's amount ahead of need
RECHECK_NS = 5 * 10**9  # a refusal is believed so long at most: others may have given back what they did not use
_NO_PREFETCH = -1


def bucket_key(limit: Limit, subject: str | None) -> str:
    """The bucket's name in a shared store. Subjects come from anybody, so they are hashed: short, and no secret of a
    person's in a store's key. The window is in it because a backlog is counted in it."""
    digest = "" if subject is None else blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{limit.id.hex}:{limit.window_s or 0}:{digest}"


class Bucket:
    """Of a limit with a window. `available` units are this process's to spend; less than 0 is a debt that has not been
    told yet. `low`: with as few left, more are fetched in the background; -1: not any more, the limit is near."""

    __slots__ = (
        "available",
        "backlog",
        "had",
        "key",
        "limit",
        "local",
        "low",
        "mark",
        "marked_at",
        "most",
        "rate",
        "refused",
        "seen_at",
        "seen_rate",
        "taking",
        "tenant_id",
        "took_at",
        "typical",
        "waiting",
    )

    def __init__(self, tenant_id: TenantId, limit: Limit, subject: str | None) -> None:
        self.tenant_id = tenant_id
        self.limit = limit
        self.rate = self.seen_rate = limit.rate
        self.key = bucket_key(limit, subject)
        self.available = 0
        self.low = _NO_PREFETCH
        self.typical = 1  # what one call takes
        self.most = 0  # held beyond this, units go back
        self.waiting = 0  # units that calls wait for
        self.taking: asyncio.Task[None] | None = None
        # What the store told last: its backlog, at this process's time.
        self.backlog = self.seen_at = 0
        self.refused = self.local = False
        # How fast units are spent: since `took_at`, when there were `had`.
        self.had = self.took_at = 0
        self.mark, self.marked_at = 0, 0  # the units at a time, to see whether anything moves

    def wish(self, now_ns: int, alive: int) -> int:
        """How many units would be good to have: what the pace of late spends within the horizon."""
        spent = max(0, self.had - self.available)
        pace = spent * HORIZON_NS // max(1, now_ns - self.took_at) if self.took_at else 0
        self.most = self.rate.amount // (AHEAD * alive)
        return min(pace, self.most)

    def got(self, grant: Grant, rate: gcra.Rate, now_ns: int, *, alive: int, local: bool) -> None:
        """What a store has answered under this rate: the limit's own, or this process's share of it."""
        self.available += grant.granted
        self.had, self.took_at = self.available, now_ns
        self.backlog, self.seen_at, self.seen_rate = grant.backlog, now_ns, rate
        self.refused, self.local = grant.granted == 0, local
        plenty = gcra.room(rate, grant.backlog) >= gcra.SHARE * alive * self.typical and self.typical <= self.most
        self.low = grant.granted // 4 if grant.granted and plenty else _NO_PREFETCH

    def returned(self, units: int) -> None:
        """They are the store's again; less than 0: a debt is."""
        self.available -= units
        self.backlog = gcra.filled(self.seen_rate, self.backlog, -units)

    def backlog_at(self, now_ns: int) -> int:
        """The bucket's backlog as far as this process knows, without what it holds itself."""
        backlog = gcra.drained(self.seen_rate, self.backlog, now_ns - self.seen_at)
        return gcra.filled(self.seen_rate, backlog, -self.available)

    def still_refused(self, units: int, now_ns: int) -> bool:
        """Whether asking the store again would be in vain."""
        if not self.refused or now_ns - self.seen_at >= RECHECK_NS:
            return False
        return gcra.room(self.seen_rate, self.backlog_at(now_ns)) < units

    def stand(self, now_ns: int) -> tuple[int, int]:
        """Units left, and nanoseconds until all of them are, as far as this process knows."""
        backlog = self.backlog_at(now_ns)
        return max(0, gcra.room(self.seen_rate, backlog)), gcra.reset_ns(self.seen_rate, backlog)

    def wait_ns(self, units: int, now_ns: int) -> int:
        return gcra.wait_ns(self.seen_rate, self.backlog_at(now_ns), units)


class Seats:
    """Of a limit of calls at once. This process may have `held` running and has `in_use`."""

    __slots__ = (
        "held",
        "in_use",
        "key",
        "limit",
        "peak",
        "refused_until",
        "shrinking",
        "taking",
        "tenant_id",
        "tight",
        "waiting",
    )

    def __init__(self, tenant_id: TenantId, limit: Limit, subject: str | None) -> None:
        self.tenant_id = tenant_id
        self.limit = limit
        self.key = bucket_key(limit, subject)
        self.in_use = self.held = self.waiting = 0
        self.peak = 0  # the most in use of late
        self.tight = False  # others may need what this process holds and does not use
        self.shrinking = False
        self.refused_until = 0
        self.taking: asyncio.Task[None] | None = None

    def got(self, slots: Slots, *, tight: bool) -> None:
        self.held, self.tight = slots.held, tight
