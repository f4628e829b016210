"""Jobs in memory: what is kept of them, how it is told, and the steps that change it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import structs

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.jobs.rules import ended_event, eta_s, kept_s
from tenfold.jobs.types import (
    SUSPECT_CRASHES,
    DeadLetters,
    Ended,
    Job,
    JobEvent,
    NewJob,
    Progress,
    QueueState,
    Result,
    State,
    Work,
)


@dataclass(kw_only=True)
class Entry:
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
class Worker:
    slots: int
    ended: int
    ended_per_s: float
    seen_s: float


@dataclass(kw_only=True)
class TurnOf:
    turn: float = 0.0
    weight: int = 1
    claimed: int = 0


class FakeJobTable:
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
        self._jobs: dict[tuple[TenantId, UUID], Entry] = {}
        self._turns: dict[TenantId, TurnOf] = {}
        self._turn_clock = 0.0
        self._workers: dict[UUID, Worker] = {}
        self._orphans: dict[UUID, float] = {}  # holders that never said they live; since when that is known

    def __len__(self) -> int:
        return len(self._jobs)

    # -- reading ---------------------------------------------------------------------------------

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

    async def tenants_expired(self) -> list[TenantId]:
        await self._reach()
        return list({at[0] for at, one in self._jobs.items() if self._is_late(one)})

    # -- steps -----------------------------------------------------------------------------------

    def _insert(self, tenant_id: TenantId, new: NewJob, holder: UUID | None = None) -> Entry:
        if (known := self._known(tenant_id, new)) is not None:
            return known
        now = self._clock.now()
        one = Entry(
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

    def _known(self, tenant_id: TenantId, new: NewJob) -> Entry | None:
        if (tenant_id, new.id) in self._jobs:
            return self._jobs[tenant_id, new.id]
        if new.dedup is None:
            return None
        same = (one for one in self._of(tenant_id) if (one.new.kind, one.new.dedup) == (new.kind, new.dedup))
        return next(same, None)

    def _begin(self, one: Entry, holder: UUID) -> None:
        one.state, one.holder, one.started_at = "running", holder, self._clock.now()
        one.fence += 1
        one.attempts += 1

    def _free(self, one: Entry) -> None:
        """As if it had not been claimed."""
        one.state, one.holder, one.started_at = "queued", None, None
        one.fence += 1
        one.attempts -= 1
        self.on_ready()

    def _end(self, one: Entry, state: Ended, result: Result, code: str | None, message: str | None) -> None:
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

    def _held(self, work: Work, holder: UUID) -> Entry | None:
        one = self._jobs.get((work.job.tenant_id, work.job.id))
        if one is None or one.state != "running" or (one.holder, one.fence) != (holder, work.fence):
            return None
        return one

    # -- inside ----------------------------------------------------------------------------------

    def _of(self, tenant_id: TenantId) -> list[Entry]:
        return [one for at, one in self._jobs.items() if at[0] == tenant_id]

    def _is_late(self, one: Entry) -> bool:
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

    def _work(self, one: Entry) -> Work:
        return Work(
            job=self._told(one),
            principal=one.new.principal,
            input=one.new.input,
            fence=one.fence,
            new=structs.replace(one.new, input=b""),
            events=len(one.events),
        )

    def _told(self, one: Entry) -> Job:
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
