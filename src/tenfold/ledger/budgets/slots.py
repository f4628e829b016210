"""What one process knows of the budgets it spends from: counters only, no I/O.

A Watch is a budget, a Slot one subject of it, a Slice the lease that the slot spends from now. A call keeps the slices
it was reserved in, also when its slot has gone on to the lease of the next period.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from operator import attrgetter
from typing import Any, Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.ledger.budgets.types import Budget, Grant, Lease, Per, Return, Spender
from tenfold.ledger.types import MAX_TEXT

NEVER = -(2**62)  # below anything that can be free
FOR_EVER = float("inf")
BUSY_S = 1.0  # a slice that lasts shorter is doubled
CALM_S = 3.0  # one that lasts longer is halved

_READ: dict[Per, Callable[[Spender], Any]] = {
    "tenant": lambda _spender: "tenant",
    "key": attrgetter("key_id"),
    "feature": attrgetter("feature"),
    "endpoint": attrgetter("endpoint"),
    "model": attrgetter("model"),
    "run": attrgetter("run"),
}


class Slice:
    """One lease. free = granted - spoken; `spoken` is what its calls have cost, and what those in flight may."""

    __slots__ = (
        "calls",
        "ends",
        "floor",
        "granted",
        "id",
        "look_at",
        "low",
        "owed",
        "returning",
        "slot",
        "spoken",
        "tenant_id",
        "tries",
    )

    def __init__(self, lease_id: UUID | None, tenant_id: TenantId, slot: "Slot | None", spoken: int) -> None:
        self.id = lease_id
        self.tenant_id = tenant_id
        self.slot = slot
        self.granted = spoken  # as the database last said, less `owed`
        self.spoken = spoken
        self.calls = 0  # in flight
        self.ends = NEVER + 0.0  # monotonic
        self.floor = 0  # least that was free since `look_at` was set
        self.low = NEVER  # below it more is fetched in the background
        self.owed = 0  # to be given back, not to be spent any more
        self.returning = False
        self.look_at = 0.0
        self.tries = 0

    @property
    def free(self) -> int:
        return self.granted - self.spoken

    def take(self, bound: int) -> None:
        self.spoken += bound
        self.calls += 1
        self.floor = min(self.floor, self.free)

    def put_back(self, amount: int) -> None:
        """A call has ended that used so much less than its bound (negative: more)."""
        self.spoken -= amount
        self.calls -= 1

    def told(self, lease: Lease) -> None:
        self.granted = lease.granted_nano - self.owed

    def withhold(self) -> None:
        """What is free is to go back, and cannot be spent meanwhile."""
        if self.free > 0:
            self.owed += self.free
            self.granted = self.spoken
            self.floor = 0

    def begin(self, *, ends: float, look_at: float) -> None:
        self.ends, self.look_at = ends, look_at
        self.floor, self.low, self.tries = self.free, NEVER, 0

    def due(self, now: float, idle_s: float, *, retired: bool) -> Return | None:
        """What is to be given back now: what is owed, and what nobody touched for a while, or will any more."""
        if self.id is None or self.returning:
            return None
        amount, done = self.owed, False
        if now >= self.look_at:
            idle = retired or self.floor >= self.free
            amount += max(0, self.free if retired else min(self.floor, self.free))
            done = idle and self.calls == 0 and self.free >= 0
            # The receipts of the last calls may be on their way still: asked again, less and less often.
            self.look_at = now + idle_s * 2.0 ** min(self.tries, 5)
            self.tries = self.tries + 1 if done else 0
            self.floor = self.free
        if amount == 0 and not done:
            return None
        return Return(lease_id=self.id, amount_nano=amount, done=done)

    def sent(self, returned: Return) -> None:
        """The database is being told: gone from here, whatever it answers."""
        self.granted -= returned.amount_nano - self.owed
        self.owed = 0
        self.floor = min(self.floor, self.free)
        self.returning = True


class Slot:
    """One subject of a budget: the slice it spends from, and what the database last said of the rest."""

    __slots__ = (
        "asked_at",
        "gone",
        "hard",
        "period_end",
        "refused",
        "remaining",
        "settled",
        "size",
        "slice",
        "subject",
        "told_until",
        "waiting",
        "watch",
        "working",
    )

    def __init__(self, watch: "Watch", subject: str) -> None:
        self.watch = watch
        self.subject = subject
        self.slice = self.unleased()
        self.waiting: list[int] = []  # bounds of the calls that wait for more
        self.working: asyncio.Task[None] | None = None  # whoever asks the database about this slot: one at a time
        self.size = 0  # how much to ask for
        self.asked_at = NEVER + 0.0
        # As the database last said, and believed so long.
        self.hard = True
        self.remaining = 0
        self.settled = 0
        self.period_end: datetime | None = None
        self.told_until = NEVER + 0.0
        self.refused = False
        self.gone = False  # the budget has ended

    def unleased(self) -> Slice:
        return Slice(None, self.watch.budget.tenant_id, self, 0)

    def told(self, grant: Grant, *, until: float) -> None:
        self.hard, self.remaining, self.settled = grant.hard, grant.remaining_nano, grant.settled_nano
        self.period_end, self.told_until = grant.period_end, until

    def resize(self, amount: int, *, lasted_s: float, enough: bool) -> None:
        """A slice is to last between BUSY_S and CALM_S. Where all that was wanted was had, the next is fetched before
        this one has ended; near the limit nothing is hoarded."""
        self.size = amount * 2 if lasted_s < BUSY_S else amount // 2 if lasted_s > CALM_S else amount
        self.slice.low = self.size // 4 if enough and lasted_s < CALM_S else NEVER

    def shrink(self, amount: int) -> None:
        """So much was idle."""
        self.size = max(0, self.size - amount)
        self.slice.low = min(self.slice.low, self.size // 4)
        self.told_until = NEVER + 0.0

    @property
    def quiet(self) -> bool:
        return self.slice.id is None and self.slice.calls == 0 and not self.waiting and self.working is None


class Watch:
    """A budget and the slots of its subjects, by what a Spender says: the key's id, or the text."""

    __slots__ = ("budget", "only", "read", "slots")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.read = _READ[budget.per]
        self.only: Any = _only(budget)
        self.slots: dict[Any, Slot] = {}

    def slot(self, value: Any) -> Slot | None:
        """None: the budget does not count this call."""
        if not value:
            return None
        if self.only is not None and value != self.only:
            return None
        key = value if isinstance(value, UUID) else text_of(value)
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = Slot(self, "" if self.budget.per == "tenant" else str(key))
        return slot

    def changed(self, budget: Budget) -> None:
        """Limit or kind are others: what is free goes back, so that everybody asks anew."""
        self.budget = budget
        for slot in self.slots.values():
            slot.told_until = NEVER + 0.0
            slot.slice.withhold()

    def take_gone(self) -> list[Slot]:
        """Slots of which the database said that the budget has ended, though it holds."""
        gone = {key: slot for key, slot in self.slots.items() if slot.gone}
        for key in gone:
            del self.slots[key]
        return list(gone.values())

    def drop_quiet(self) -> None:
        for key in [key for key, slot in self.slots.items() if slot.quiet]:
            del self.slots[key]


class Reserved(Protocol):
    """inference.ports.Reservation."""

    @property
    def leases(self) -> tuple[UUID, ...]: ...

    @property
    def remaining_nano(self) -> int | None: ...


class Hold:
    """Reservation: room for one call in every budget it counts towards."""

    __slots__ = ("bound", "leases", "slices")

    def __init__(self, slices: list[Slice], bound: int) -> None:
        self.slices = slices
        self.bound = bound
        self.leases: tuple[UUID, ...] = tuple([slice_.id for slice_ in slices if slice_.id is not None])

    @property
    def remaining_nano(self) -> int | None:
        """Of the tightest budget: what the database last said is left, and what this process holds free of it."""
        left = [slice_.slot.remaining + slice_.free for slice_ in self.slices if slice_.slot is not None]
        return min(left, default=None)


NOTHING_HELD = Hold([], 0)


def text_of(value: str) -> str:
    """A subject as it is stored: Postgres takes no NUL and no lone surrogate, and a row is small."""
    if len(value) <= MAX_TEXT and value.isascii() and "\0" not in value:
        return value
    return value[:MAX_TEXT].replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def slots_of(plan: Iterable[Watch], spender: Spender) -> Iterator[Slot]:
    """Those that a call of this spender counts towards, made when they are new."""
    for watch in plan:
        slot = watch.slot(watch.read(spender))
        if slot is not None:
            yield slot


def _only(budget: Budget) -> Any:
    if budget.per == "tenant" or budget.subject is None:
        return None
    return UUID(budget.subject) if budget.per == "key" else budget.subject
