"""What the rows of Postgres and those of memory must do alike, as functions of values."""

import hashlib
from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec import Struct

from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.jobs.types import AGED_EVERY, KEEP_DEAD_S, Ended, NewJob, Progress, Room


class Turn(Struct, frozen=True, kw_only=True):
    """A tenant that waits. `turn` is when its next job may begin, in the clock of turns; `ready` how many jobs."""

    tenant_id: TenantId
    turn: float
    weight: int
    ready: int


def allot(turns: Sequence[Turn], *, clock: float, limit: int) -> tuple[dict[TenantId, int], float]:
    """How many jobs of each tenant come next, and the clock after them: start-time fair queueing (Goyal, Vin and Cheng,
    SIGCOMM 1996), each job as long as any other. The first of a tenant begins at its turn, but not before the clock, so
    nobody saves up turns; each further one 1 / weight later; the earliest come first.

    The bound that follows: while a tenant of weight w waits, each other one, of weight v, has at most
    floor(v / w) + 1 jobs claimed before the tenant's next."""
    nexts = {one.tenant_id: max(one.turn, clock) for one in turns}
    allotted: dict[TenantId, int] = {}
    for _ in range(limit):
        waiting = [one for one in turns if allotted.get(one.tenant_id, 0) < one.ready]
        if not waiting:
            break
        first = min(waiting, key=lambda one: (nexts[one.tenant_id], one.tenant_id))
        clock = nexts[first.tenant_id]
        allotted[first.tenant_id] = allotted.get(first.tenant_id, 0) + 1
        nexts[first.tenant_id] = clock + 1 / first.weight
    return allotted, clock


SHARE = 3


def room_left(free: int, running: Mapping[TenantId, int]) -> Room:
    """Of a worker with so many free slots. A tenant has at most SHARE times as many slots as are free, so that there is
    one for whoever has none, however long the others' jobs take: alone it has three of four, of three that want all
    each has three of ten (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
    Rounded up: of fewer than four slots none is kept free."""
    # With n more of a tenant n fewer are free: running + n <= SHARE * (free - n).
    of = {tenant_id: -(-(SHARE * free - has) // (SHARE + 1)) for tenant_id, has in running.items()}
    return Room(of=of, others=-(-SHARE * free // (SHARE + 1)))


def aged_among(claimed: int, more: int) -> int:
    """How many of a tenant's next jobs go to those that were due longest, after so many that were claimed."""
    return (claimed + more) // AGED_EVERY - claimed // AGED_EVERY


def fitting(jobs: Sequence[NewJob], *, waiting: int, waiting_bytes: int, most: int, most_bytes: int) -> list[NewJob]:
    """Those there is room for, in their order."""
    found = []
    for new in jobs:
        if waiting < most and waiting_bytes + len(new.input) <= most_bytes:
            waiting += 1
            waiting_bytes += len(new.input)
            found.append(new)
    return found


def begins_at_once(new: NewJob) -> bool:
    """Of one that is added by a worker. Whether another of its order_key is there, a claim finds out."""
    return new.order_key is None and new.delay_s <= 0


def order_digest(order_key: str | None) -> bytes | None:
    """The queue is no tenant's table: what a tenant calls its things is not written there."""
    return None if order_key is None else hashlib.sha256(order_key.encode()).digest()[:16]


def kept_s(new: NewJob, state: Ended) -> float:
    return max(new.keep_s, KEEP_DEAD_S) if state == "failed" else new.keep_s


def ended_event(state: Ended, code: str | None = None, message: str | None = None) -> bytes:
    """The data of the last event: `{"state": ..., "error": {"code": ..., "message": ...} or null}`."""
    error = None if code is None else {"code": code, "message": message}
    return msgspec.json.encode({"state": state, "error": error})


def follow_up(kind: str, principal: Principal, job_id: UUID, subject: str | None) -> NewJob:
    """What comes after a job that died without its handler, see Handler.after_death."""
    return NewJob(kind=kind, principal=principal, input=job_id.hex.encode(), subject=subject)


def eta_s(progress: Progress, running_s: float) -> float | None:
    if not progress.total or progress.done <= 0:
        return None
    return max(0.0, running_s * (progress.total - progress.done) / progress.done)
