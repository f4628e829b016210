"""The least that rows of jobs can be, in memory: no fairness, no order, no expiry. What is asked of it can be made to
fail, to be answered late, or to be done without an answer.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import structs

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.jobs.rules import ended_event, follow_up
from tenfold.jobs.types import (
    MAX_CRASHES,
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

START = datetime(2026, 1, 1, tzinfo=UTC)

_Key = tuple[TenantId, UUID]


class PlainRows:
    """`away`: every call fails. `unheard`: the names of methods that do their work and fail then, once each."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.away = False
        self.unheard: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.jobs: dict[_Key, Job] = {}
        self.news: dict[_Key, NewJob] = {}
        self.results: dict[_Key, Result] = {}
        self.log: dict[_Key, list[JobEvent]] = {}
        self.holders: dict[_Key, tuple[UUID, int]] = {}
        self.fences: Counter[_Key] = Counter()
        self.workers: dict[UUID, float] = {}
        self.on_change: Callable[[str], None] = lambda _payload: None
        self.on_ready: Callable[[], None] = lambda: None
        self.gate: asyncio.Event | None = None  # `add` waits for it
        self.adds: list[int] = []  # how many each time
        self._now_s = now_s

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
        self._reach("add")
        self.adds.append(len(jobs))
        if self.gate is not None:
            await self.gate.wait()
        if any(new.subject == "bad" for new in jobs):
            raise ValueError("bad")
        found = [self._add(tenant_id, new, most, most_bytes, holder) for new in jobs]
        self._answer("add")
        self.on_ready()
        return found

    def _add(self, tenant_id: TenantId, new: NewJob, most: int, most_bytes: int, holder: UUID | None) -> Job | None:
        key = tenant_id, new.id
        if key in self.jobs:
            return self.jobs[key]
        if holder is None and most < 10**6:
            waiting = [one for at, one in self.news.items() if at[0] == tenant_id and self.jobs[at].state == "queued"]
            if len(waiting) >= most or sum(len(one.input) for one in waiting) + len(new.input) > most_bytes:
                return None
        now = self._now()
        self.news[key] = new
        self.log[key] = []
        self.jobs[key] = Job(
            tenant_id=tenant_id,
            id=new.id,
            kind=new.kind,
            state="queued",
            subject=new.subject,
            priority=new.priority,
            created_at=now,
            run_at=now + timedelta(seconds=new.delay_s),
            started_at=None,
            ended_at=None,
            expires_at=None,
            attempts=0,
            max_attempts=new.max_attempts,
            crashes=0,
            progress=Progress(),
            cost_nano=0,
            cancel_requested=False,
            version=1,
        )
        if holder is not None:
            self._hold(key, holder)
        return self.jobs[key]

    async def claim(self, holder: UUID, kinds: Collection[str], *, limit: int, room: Room | None = None) -> list[Work]:
        self._reach("claim")
        await asyncio.sleep(0)
        due = [
            key
            for key, job in self.jobs.items()
            if job.state == "queued" and job.kind in kinds and job.run_at <= self._now()
        ]
        if room is not None:
            due = [key for n, key in enumerate(due) if [at[0] for at in due[:n]].count(key[0]) < room.left(key[0])]
        due = due[:limit]
        for key in due:
            self._hold(key, holder)
        self._answer("claim")
        return [self._work(key) for key in due]

    async def work(self, tenant_id: TenantId, job_id: UUID, holder: UUID) -> Work | None:
        self._reach("work")
        key = tenant_id, job_id
        return self._work(key) if self.holders.get(key, (None, 0))[0] == holder else None

    async def finish(self, work: Work, holder: UUID, state: Ended, result: Result, **error: str) -> bool:
        self._reach("finish")
        if not self._has(work, holder):
            return False
        key = work.job.tenant_id, work.job.id
        self._end(key, state, result, **error)
        self._answer("finish")
        return True

    async def retry(self, work: Work, holder: UUID, delay_s: float, *, cost_nano: int, code: str, message: str) -> bool:
        self._reach("retry")
        if not self._has(work, holder):
            return False
        key = work.job.tenant_id, work.job.id
        self._let_go(key, run_at=self._now() + timedelta(seconds=delay_s), error_code=code, error_message=message)
        self._change(key, cost_nano=self.jobs[key].cost_nano + cost_nano)
        self._answer("retry")
        return True

    async def give_back(self, work: Work, holder: UUID) -> bool:
        self._reach("give_back")
        if not self._has(work, holder):
            return False
        key = work.job.tenant_id, work.job.id
        self._let_go(key, attempts=self.jobs[key].attempts - 1)
        self._answer("give_back")
        return True

    async def tell(
        self, work: Work, holder: UUID, progress: Progress | None, events: Sequence[tuple[str, bytes]], *, after: int
    ) -> bool:
        self._reach("tell")
        if not self._has(work, holder):
            return False
        key = work.job.tenant_id, work.job.id
        if len(self.log[key]) == after:
            self._tell(key, events)
            if progress is not None:
                self._change(key, progress=progress)
        self._answer("tell")
        return True

    async def beat(self, holder: UUID, *, slots: int, busy: int, ended: int) -> QueueState:
        self._reach("beat")
        self.workers[holder] = self._now_s()
        self._answer("beat")
        return await self.state(None)

    async def leave(self, holder: UUID) -> None:
        self._reach("leave")
        self.workers.pop(holder, None)

    async def take_over(self, *, dead_after_s: float, then: Callable[[str], str | None]) -> int:
        self._reach("take_over")
        lost = [
            key
            for key, (holder, _) in self.holders.items()
            if self._now_s() - self.workers.get(holder, float("-inf")) >= dead_after_s
        ]
        for key in lost:
            crashes = self.jobs[key].crashes + 1
            self._change(key, crashes=crashes)
            kind, new = then(self.jobs[key].kind), self.news[key]
            if crashes < MAX_CRASHES:
                self._let_go(key)
            else:
                after = () if kind is None else (follow_up(kind, new.principal, new.id, new.subject),)
                self._end(key, "failed", Result(then=after), code="poison", message="")
        return len(lost)

    async def held(self, holder: UUID) -> list[Held]:
        self._reach("held")
        return [
            Held(tenant_id=key[0], job_id=key[1], fence=fence, cancel_requested=self.jobs[key].cancel_requested)
            for key, (of, fence) in self.holders.items()
            if of == holder
        ]

    async def find(self, tenant_id: TenantId, job_id: UUID) -> Job | None:
        self._reach("find")
        return self.jobs.get((tenant_id, job_id))

    async def result(self, tenant_id: TenantId, job_id: UUID) -> bytes | None:
        self._reach("result")
        found = self.results.get((tenant_id, job_id))
        return None if found is None else found.output

    async def input(self, tenant_id: TenantId, job_id: UUID) -> bytes | None:
        self._reach("input")
        found = self.news.get((tenant_id, job_id))
        return None if found is None else found.input

    async def page(
        self, tenant_id: TenantId, *, state: State | None, kind: str | None, before: UUID | None, limit: int
    ) -> list[Job]:
        self._reach("page")
        found = [
            job
            for key, job in self.jobs.items()
            if key[0] == tenant_id
            and (state is None or job.state == state)
            and (kind is None or job.kind == kind)
            and (before is None or job.id < before)
        ]
        return sorted(found, key=lambda job: job.id, reverse=True)[:limit]

    async def events(self, tenant_id: TenantId, job_id: UUID, *, after: int, limit: int) -> list[JobEvent]:
        self._reach("events")
        return self.log.get((tenant_id, job_id), [])[after : after + limit]

    async def cancel(self, tenant_id: TenantId, job_id: UUID, *, then: Sequence[NewJob] = ()) -> Job | None:
        self._reach("cancel")
        key = tenant_id, job_id
        if key not in self.jobs:
            return None
        if self.jobs[key].state == "queued":
            self._end(key, "cancelled", Result(then=tuple(then)))
        elif self.jobs[key].state == "running":
            self._change(key, cancel_requested=True)
        return self.jobs[key]

    async def redrive(self, tenant_id: TenantId, job_id: UUID) -> Job | None:
        self._reach("redrive")
        key = tenant_id, job_id
        if key not in self.jobs or self.jobs[key].state != "failed":
            return None
        self._change(key, state="queued", attempts=0, crashes=0, ended_at=None)
        self.on_ready()
        return self.jobs[key]

    async def discard(self, tenant_id: TenantId, job_id: UUID) -> bool:
        self._reach("discard")
        key = tenant_id, job_id
        if key not in self.jobs or not self.jobs[key].ended:
            return False
        del self.jobs[key], self.news[key], self.log[key]
        return True

    async def failed_ids(self, tenant_id: TenantId, *, kind: str | None, limit: int) -> list[UUID]:
        self._reach("failed_ids")
        return [
            key[1]
            for key, job in sorted(self.jobs.items())
            if key[0] == tenant_id and job.state == "failed" and (kind is None or job.kind == kind)
        ][:limit]

    async def dead_letters(self, *, older_than_s: float) -> list[DeadLetters]:
        self._reach("dead_letters")
        found: dict[TenantId, list[float]] = {}
        for key, job in self.jobs.items():
            if job.state == "failed" and job.ended_at is not None:
                found.setdefault(key[0], []).append((self._now() - job.ended_at).total_seconds())
        return [
            DeadLetters(tenant_id=tenant_id, count=len(old), oldest_age_s=max(old))
            for tenant_id, ages in found.items()
            if (old := [age_s for age_s in ages if age_s >= older_than_s])
        ]

    async def state(self, tenant_id: TenantId | None) -> QueueState:
        self._reach("state")
        own = [job for key, job in self.jobs.items() if tenant_id in (None, key[0])]
        return QueueState(
            waiting=sum(job.state == "queued" for job in own),
            later=0,
            running=sum(job.state == "running" for job in own),
            workers=len(self.workers),
            slots=0,
            drain_per_s=10.0,
            oldest_wait_s=0.0,
            dead=0,
        )

    async def tenants_expired(self) -> list[TenantId]:
        self._reach("tenants_expired")
        return sorted({key[0] for key, job in self.jobs.items() if job.ended})

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        self._reach("expire")
        old = [key for key, job in self.jobs.items() if key[0] == tenant_id and job.ended][:limit]
        for key in old:
            del self.jobs[key]
        return len(old)

    # -- inside ----------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return START + timedelta(seconds=self._now_s())

    def _reach(self, name: str) -> None:
        self.calls[name] += 1
        if self.away:
            raise StoreUnavailable("away")

    def _answer(self, name: str) -> None:
        if self.unheard[name]:
            self.unheard[name] -= 1
            raise StoreUnavailable("not heard")

    def _has(self, work: Work, holder: UUID) -> bool:
        return self.holders.get((work.job.tenant_id, work.job.id)) == (holder, work.fence)

    def _change(self, key: _Key, **fields: object) -> None:
        job = self.jobs[key]
        self.jobs[key] = structs.replace(job, version=job.version + 1, **fields)
        self.on_change(f"{key[0].hex}:{key[1].hex}")

    def _hold(self, key: _Key, holder: UUID) -> None:
        self.fences[key] += 1
        self.holders[key] = holder, self.fences[key]
        self._change(key, state="running", started_at=self._now(), attempts=self.jobs[key].attempts + 1)

    def _let_go(self, key: _Key, **fields: object) -> None:
        del self.holders[key]
        self._change(key, state="queued", **fields)
        self.on_ready()

    def _tell(self, key: _Key, events: Sequence[tuple[str, bytes]]) -> None:
        log = self.log[key]
        log += [JobEvent(seq=len(log) + n, kind=kind, data=data) for n, (kind, data) in enumerate(events, 1)]
        self._change(key)

    def _end(self, key: _Key, state: Ended, result: Result, **error: str) -> None:
        self.holders.pop(key, None)
        self.results[key] = result
        self._tell(key, [("ended", ended_event(state, error.get("code"), error.get("message")))])
        self._change(
            key,
            state=state,
            ended_at=self._now(),
            cost_nano=self.jobs[key].cost_nano + result.cost_nano,
            error_code=error.get("code"),
            error_message=error.get("message"),
        )
        for new in result.then:
            self._add(key[0], new, 10**9, 10**12, None)
        self.on_ready()

    def _work(self, key: _Key) -> Work:
        new = self.news[key]
        return Work(
            job=self.jobs[key],
            principal=new.principal,
            input=new.input,
            fence=self.holders[key][1],
            new=new,
            events=len(self.log[key]),
        )
