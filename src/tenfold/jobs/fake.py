"""Jobs in memory, for tests of whatever stands on them; under the contract suite of the real ones."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import structs

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.jobs.rules import (
    Turn,
    aged_among,
    allot,
    begins_at_once,
    ended_event,
    eta_s,
    fitting,
    follow_up,
    kept_s,
)
from tenfold.jobs.types import (
    AGED_S,
    MAX_CRASHES,
    SUSPECT_CRASHES,
    SUSPECT_S,
    DeadLetters,
    Ended,
    Held,
    Job,
    JobEvent,
    NewJob,
    Progress,
    QueueState,
    Result,
    Room,
    State,
    Work,
)


@dataclass(kw_only=True)
class _Entry:
    new: NewJob
    tenant_id: TenantId
    created_at: datetime
    run_at: datetime
    state: State = "queued"
    due: bool = True
    holder: UUID | None = None
    fence: int = 0
    attempts: int = 0
    crashes: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    progress: Progress = field(default_factory=Progress)
    cost_nano: int = 0
    cancel_requested: bool = False
    error: tuple[str | None, str | None] = (None, None)
    result: bytes | None = None
    input_gone: bool = False
    events: list[JobEvent] = field(default_factory=list)
    version: int = 1

    @property
    def waits(self) -> bool:
        return self.state == "queued"

    @property
    def is_suspect(self) -> bool:
        return self.crashes >= SUSPECT_CRASHES


@dataclass(kw_only=True)
class _Worker:
    slots: int
    ended: int
    ended_per_s: float
    seen_s: float


@dataclass(kw_only=True)
class _Turn:
    turn: float = 0.0
    weight: int = 1
    claimed: int = 0


class FakeJobRows:
    """Set `away` to make every call raise StoreUnavailable. `on_ready` and `on_told` are called where Postgres is told
    by NOTIFY: a job is ready to be claimed; something of a job has changed for those that follow it."""

    def __init__(
        self,
        clock: Clock,
        *,
        on_ready: Callable[[], None] = lambda: None,
        on_told: Callable[[TenantId, UUID], None] = lambda _tenant, _job: None,
    ) -> None:
        self.away = False
        self.on_ready = on_ready
        self.on_told = on_told
        self._clock = clock
        self._jobs: dict[tuple[TenantId, UUID], _Entry] = {}
        self._turns: dict[TenantId, _Turn] = {}
        self._turn_clock = 0.0
        self._workers: dict[UUID, _Worker] = {}
        self._orphans: dict[UUID, float] = {}  # holders that never said they live; since when that is known

    def __len__(self) -> int:
        return len(self._jobs)

    # -- adding ------------------------------------------------------------------------------

    async def add(
        self,
        tenant_id: TenantId,
        jobs: Sequence[NewJob],
        *,
        weight: int,
        most: int,
        most_bytes: int,
        holder: UUID | None = None,
    ) -> list[Job | None]:
        await self._reach()
        self._turns.setdefault(tenant_id, _Turn()).weight = weight
        waiting = [one for one in self._of(tenant_id) if one.waits]
        count, size = len(waiting), sum(len(one.new.input) for one in waiting)
        told: list[Job | None] = []
        for new in jobs:
            one = self._known(tenant_id, new)
            if one is None and holder is not None and begins_at_once(new):
                one = self._insert(tenant_id, new, holder)
            elif one is None and fitting([new], waiting=count, waiting_bytes=size, most=most, most_bytes=most_bytes):
                one = self._insert(tenant_id, new)
                count, size = count + 1, size + len(new.input)
            told.append(None if one is None else self._told(one))
        return told

    def _insert(self, tenant_id: TenantId, new: NewJob, holder: UUID | None = None) -> _Entry:
        if (known := self._known(tenant_id, new)) is not None:
            return known
        now = self._clock.now()
        one = _Entry(
            new=new,
            tenant_id=tenant_id,
            created_at=now,
            run_at=now + timedelta(seconds=max(new.delay_s, 0)),
            due=new.delay_s <= 0,
        )
        if holder is not None:
            self._begin(one, holder)
        self._jobs[tenant_id, new.id] = one
        if one.waits:
            self.on_ready()
        return one

    def _known(self, tenant_id: TenantId, new: NewJob) -> _Entry | None:
        if (tenant_id, new.id) in self._jobs:
            return self._jobs[tenant_id, new.id]
        if new.dedup is None:
            return None
        same = (one for one in self._of(tenant_id) if (one.new.kind, one.new.dedup) == (new.kind, new.dedup))
        return next(same, None)

    # -- claims ------------------------------------------------------------------------------

    async def claim(self, holder: UUID, kinds: Collection[str], *, limit: int, room: Room | None = None) -> list[Work]:
        await self._reach()
        ready: dict[TenantId, list[_Entry]] = {}
        suspects = self._suspects(holder, kinds)
        for one in self._jobs.values():
            if one.waits and one.due and one.new.kind in kinds and not self._is_behind(one):
                ready.setdefault(one.tenant_id, []).append(one)
        turns = []
        for tenant_id, waiting in ready.items():
            turn = self._turns.setdefault(tenant_id, _Turn())
            left = limit if room is None else room.left(tenant_id)
            turns.append(
                Turn(tenant_id=tenant_id, turn=turn.turn, weight=turn.weight, ready=min(len(waiting), max(left, 0)))
            )
        before = self._turn_clock
        allotted, self._turn_clock = allot(turns, clock=before, limit=limit - len(suspects))
        taken: list[_Entry] = []
        for tenant_id, count in allotted.items():
            turn = self._turns[tenant_id]
            taken += self._first(ready[tenant_id], count, aged_among(turn.claimed, count))
            turn.turn = max(turn.turn, before) + count / turn.weight
            turn.claimed += count
        taken += suspects
        for one in taken:
            self._begin(one, holder)
        return [self._work(one) for one in sorted(taken, key=lambda one: (-one.new.priority, one.new.id))]

    def _suspects(self, holder: UUID, kinds: Collection[str]) -> list[_Entry]:
        """The one that may begin now."""
        now = self._clock.now()
        mine = [one for one in self._jobs.values() if one.state == "running" and one.holder == holder]
        if any(
            one.is_suspect and one.started_at and one.started_at > now - timedelta(seconds=SUSPECT_S) for one in mine
        ):
            return []
        waiting = [
            one
            for one in self._jobs.values()
            if one.waits and one.is_suspect and one.run_at <= now and one.new.kind in kinds and not self._is_behind(one)
        ]
        return sorted(waiting, key=lambda one: one.run_at)[:1]

    def _first(self, ready: list[_Entry], count: int, most_aged: int) -> list[_Entry]:
        old = self._clock.now() - timedelta(seconds=AGED_S)
        longest = sorted((one for one in ready if one.run_at <= old), key=lambda one: (one.run_at, one.new.id))
        aged = longest[:most_aged]
        usual = sorted((one for one in ready if one not in aged), key=lambda one: (-one.new.priority, one.new.id))
        return aged + usual[: count - len(aged)]

    def _is_behind(self, one: _Entry) -> bool:
        return one.new.order_key is not None and any(
            other.state in ("queued", "running")
            and other.new.order_key == one.new.order_key
            and (other.new.id < one.new.id or other.state == "running")
            for other in self._of(one.tenant_id)
            if other is not one
        )

    def _begin(self, one: _Entry, holder: UUID) -> None:
        one.state, one.holder, one.started_at = "running", holder, self._clock.now()
        one.fence += 1
        one.attempts += 1

    async def work(self, tenant_id: TenantId, job_id: UUID, holder: UUID) -> Work | None:
        await self._reach()
        one = self._jobs.get((tenant_id, job_id))
        return self._work(one) if one is not None and one.state == "running" and one.holder == holder else None

    # -- what a worker writes ----------------------------------------------------------------

    async def finish(self, work: Work, holder: UUID, state: Ended, result: Result, **error: str) -> bool:
        await self._reach()
        one = self._held(work, holder)
        if one is None:
            return False
        self._end(one, state, result, error.get("code"), error.get("message"))
        return True

    async def retry(self, work: Work, holder: UUID, delay_s: float, *, cost_nano: int, code: str, message: str) -> bool:
        await self._reach()
        one = self._held(work, holder)
        if one is None:
            return False
        one.state, one.holder, one.due = "queued", None, delay_s <= 0 and not one.is_suspect
        one.run_at = self._clock.now() + timedelta(seconds=delay_s)
        one.cost_nano += cost_nano
        one.error = code, message
        one.version += 1
        if one.due:
            self.on_ready()
        return True

    async def give_back(self, work: Work, holder: UUID) -> bool:
        await self._reach()
        one = self._held(work, holder)
        if one is not None:
            self._free(one)
        return one is not None

    async def tell(
        self, work: Work, holder: UUID, progress: Progress | None, events: Sequence[tuple[str, bytes]], *, after: int
    ) -> bool:
        await self._reach()
        one = self._held(work, holder)
        if one is None:
            return False
        one.progress = progress or one.progress
        new = [JobEvent(seq=seq, kind=kind, data=data) for seq, (kind, data) in enumerate(events, after + 1)]
        one.events += new[len(one.events) - after :]
        one.version += 1
        self.on_told(one.tenant_id, one.new.id)
        return True

    def _held(self, work: Work, holder: UUID) -> _Entry | None:
        one = self._jobs.get((work.job.tenant_id, work.job.id))
        if one is None or one.state != "running" or (one.holder, one.fence) != (holder, work.fence):
            return None
        return one

    def _free(self, one: _Entry) -> None:
        """As if it had not been claimed."""
        one.state, one.holder, one.started_at = "queued", None, None
        one.fence += 1
        one.attempts -= 1
        self.on_ready()

    def _end(self, one: _Entry, state: Ended, result: Result, code: str | None, message: str | None) -> None:
        one.state, one.holder, one.error = state, None, (code, message)
        one.ended_at = self._clock.now()
        one.expires_at = one.ended_at + timedelta(seconds=kept_s(one.new, state))
        one.cost_nano += result.cost_nano
        one.result = result.output if state == "done" else None
        one.input_gone = state != "failed"
        one.events.append(JobEvent(seq=len(one.events) + 1, kind="ended", data=ended_event(state, code, message)))
        one.version += 1
        for new in result.then:
            self._insert(one.tenant_id, new)
        if one.new.order_key is not None:
            self.on_ready()
        self.on_told(one.tenant_id, one.new.id)

    # -- workers -----------------------------------------------------------------------------

    async def beat(self, holder: UUID, *, slots: int, busy: int, ended: int) -> QueueState:
        await self._reach()
        now_s = self._clock.monotonic_s()
        last = self._workers.get(holder)
        rate = 0.0
        if last is not None:
            rate = last.ended_per_s
            if now_s > last.seen_s:
                rate = max(0, ended - last.ended) / (now_s - last.seen_s)
        self._workers[holder] = _Worker(slots=slots, ended=ended, ended_per_s=rate, seen_s=now_s)
        for one in self._jobs.values():
            if one.waits and not one.due and not one.is_suspect and one.run_at <= self._clock.now():
                one.due = True
                self.on_ready()
        return self._state(None)

    async def leave(self, holder: UUID) -> None:
        await self._reach()
        self._workers.pop(holder, None)
        for one in self._jobs.values():
            if one.state == "running" and one.holder == holder:
                self._free(one)

    async def take_over(self, *, dead_after_s: float, then: Callable[[str], str | None]) -> int:
        await self._reach()
        now_s = self._clock.monotonic_s()
        holders = {one.holder for one in self._jobs.values() if one.state == "running" and one.holder is not None}
        self._orphans = {of: self._orphans.get(of, now_s) for of in holders - self._workers.keys()}
        silent = [of for of, since_s in self._orphans.items() if now_s - since_s >= dead_after_s]
        for worker in [of for of, one in self._workers.items() if now_s - one.seen_s >= dead_after_s]:
            del self._workers[worker]
            silent.append(worker)
        lost = [one for one in self._jobs.values() if one.state == "running" and one.holder in silent]
        for one in lost:
            one.crashes += 1
            if one.crashes >= MAX_CRASHES:
                self._poison(one, then(one.new.kind))
                continue
            one.state, one.holder, one.due = "queued", None, not one.is_suspect
            one.fence += 1
            self.on_ready()
        return len(lost)

    def _poison(self, one: _Entry, then: str | None) -> None:
        after = () if then is None else (follow_up(then, one.new.principal, one.new.id, one.new.subject),)
        message = f"Its worker died {one.crashes} times while it ran. Redrive it once the cause is mended."
        self._end(one, "failed", Result(then=after), "poison", message)

    async def held(self, holder: UUID) -> list[Held]:
        await self._reach()
        return [
            Held(tenant_id=at[0], job_id=at[1], fence=one.fence, cancel_requested=one.cancel_requested)
            for at, one in self._jobs.items()
            if one.state == "running" and one.holder == holder
        ]

    # -- reading -----------------------------------------------------------------------------

    async def find(self, tenant_id: TenantId, job_id: UUID) -> Job | None:
        await self._reach()
        one = self._jobs.get((tenant_id, job_id))
        return None if one is None else self._told(one)

    async def result(self, tenant_id: TenantId, job_id: UUID) -> bytes | None:
        await self._reach()
        one = self._jobs.get((tenant_id, job_id))
        return None if one is None else one.result

    async def input(self, tenant_id: TenantId, job_id: UUID) -> bytes | None:
        await self._reach()
        one = self._jobs.get((tenant_id, job_id))
        return None if one is None or one.input_gone else one.new.input

    async def page(
        self, tenant_id: TenantId, *, state: State | None, kind: str | None, before: UUID | None, limit: int
    ) -> list[Job]:
        await self._reach()
        found = [
            one
            for one in sorted(self._of(tenant_id), key=lambda one: one.new.id, reverse=True)
            if state in (None, one.state) and kind in (None, one.new.kind) and (before is None or one.new.id < before)
        ]
        return [self._told(one) for one in found[:limit]]

    async def events(self, tenant_id: TenantId, job_id: UUID, *, after: int, limit: int) -> list[JobEvent]:
        await self._reach()
        one = self._jobs.get((tenant_id, job_id))
        return [] if one is None else one.events[after : after + limit]

    async def failed_ids(self, tenant_id: TenantId, *, kind: str | None, limit: int) -> list[UUID]:
        await self._reach()
        failed = (one.new for one in self._of(tenant_id) if one.state == "failed" and kind in (None, one.new.kind))
        return sorted(new.id for new in failed)[:limit]

    async def dead_letters(self, *, older_than_s: float) -> list[DeadLetters]:
        await self._reach()
        ages: dict[TenantId, list[float]] = {}
        for one in self._jobs.values():
            if one.state == "failed" and one.ended_at is not None:
                age_s = (self._clock.now() - one.ended_at).total_seconds()
                if age_s >= older_than_s:
                    ages.setdefault(one.tenant_id, []).append(age_s)
        return [DeadLetters(tenant_id=of, count=len(those), oldest_age_s=max(those)) for of, those in ages.items()]

    async def state(self, tenant_id: TenantId | None) -> QueueState:
        await self._reach()
        return self._state(tenant_id)

    # -- what users do -----------------------------------------------------------------------

    async def cancel(self, tenant_id: TenantId, job_id: UUID, *, then: Sequence[NewJob] = ()) -> Job | None:
        await self._reach()
        one = self._jobs.get((tenant_id, job_id))
        if one is None:
            return None
        if one.waits:
            self._end(one, "cancelled", Result(then=tuple(then)), None, None)
        elif one.state == "running" and not one.cancel_requested:
            one.cancel_requested = True
            one.version += 1
            self.on_told(tenant_id, job_id)
        return self._told(one)

    async def redrive(self, tenant_id: TenantId, job_id: UUID) -> Job | None:
        await self._reach()
        one = self._jobs.get((tenant_id, job_id))
        if one is None or one.state != "failed":
            return None
        one.state, one.due, one.run_at = "queued", True, self._clock.now()
        one.attempts = one.crashes = 0
        one.started_at = one.ended_at = one.expires_at = None
        one.cancel_requested = False
        one.version += 1
        self.on_ready()
        self.on_told(tenant_id, job_id)
        return self._told(one)

    async def discard(self, tenant_id: TenantId, job_id: UUID) -> bool:
        await self._reach()
        one = self._jobs.get((tenant_id, job_id))
        if one is None or one.ended_at is None:
            return False
        del self._jobs[tenant_id, job_id]
        return True

    async def tenants_expired(self) -> list[TenantId]:
        await self._reach()
        return list({at[0] for at, one in self._jobs.items() if self._is_late(one)})

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        await self._reach()
        late = [one for one in self._of(tenant_id) if self._is_late(one)][:limit]
        for one in late:
            del self._jobs[tenant_id, one.new.id]
        return len(late)

    # -- inside ------------------------------------------------------------------------------

    def _of(self, tenant_id: TenantId) -> list[_Entry]:
        return [one for at, one in self._jobs.items() if at[0] == tenant_id]

    def _is_late(self, one: _Entry) -> bool:
        return one.expires_at is not None and one.expires_at <= self._clock.now()

    def _state(self, tenant_id: TenantId | None) -> QueueState:
        now, of = self._clock.now(), (one for one in self._jobs.values() if tenant_id in (None, one.tenant_id))
        there = list(of)
        waits = [one for one in there if one.waits]
        oldest = min((one.run_at for one in waits), default=now)
        return QueueState(
            waiting=sum(one.run_at <= now for one in waits),
            later=sum(one.run_at > now for one in waits),
            running=sum(one.state == "running" for one in there),
            workers=len(self._workers),
            slots=sum(worker.slots for worker in self._workers.values()),
            drain_per_s=sum(worker.ended_per_s for worker in self._workers.values()),
            oldest_wait_s=max(0.0, (now - oldest).total_seconds()),
            dead=sum(one.state == "failed" for one in there) if tenant_id is not None else 0,
        )

    def _work(self, one: _Entry) -> Work:
        return Work(
            job=self._told(one),
            principal=one.new.principal,
            input=one.new.input,
            fence=one.fence,
            new=structs.replace(one.new, input=b""),
            events=len(one.events),
        )

    def _told(self, one: _Entry) -> Job:
        running_s = 0.0 if one.started_at is None else (self._clock.now() - one.started_at).total_seconds()
        return Job(
            tenant_id=one.tenant_id,
            id=one.new.id,
            kind=one.new.kind,
            state=one.state,
            subject=one.new.subject,
            priority=one.new.priority,
            created_at=one.created_at,
            run_at=one.run_at,
            started_at=one.started_at,
            ended_at=one.ended_at,
            expires_at=one.expires_at,
            attempts=one.attempts,
            max_attempts=one.new.max_attempts,
            crashes=one.crashes,
            progress=one.progress,
            cost_nano=one.cost_nano,
            cancel_requested=one.cancel_requested,
            version=one.version + one.fence,
            facts=one.new.facts,
            error_code=one.error[0],
            error_message=one.error[1],
            eta_s=eta_s(one.progress, running_s) if one.state == "running" else None,
        )

    async def _reach(self) -> None:
        await asyncio.sleep(0)  # as a database would, let others run
        if self.away:
            raise StoreUnavailable("The database is not reachable at the moment.")
