"""The rules of durable work: what may be asked for, how much of it may wait, and what can be done with a job.

It does no job: workers do (`tenfold.jobs.worker`).
"""

import random
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from math import isfinite
from typing import get_args
from uuid import UUID

from tenfold.core.clock import Clock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, Overloaded, RateLimited, StoreUnavailable, TooLarge
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.jobs.backlog import Backlog
from tenfold.jobs.follow import Followers
from tenfold.jobs.names import job_id_of, job_name
from tenfold.jobs.ports import JobRows, Weight
from tenfold.jobs.submits import Submits
from tenfold.jobs.types import MAX_INPUT_BYTES, MAX_PRIORITY, Job, JobEvent, JobPage, NewJob, QueueState, State
from tenfold.jobs.worker import JobWorker

MOST_WAITING = 10_000  # of a tenant
MOST_WAITING_BYTES = 512 * 1024 * 1024
MOST_IN_ALL = 200_000
MAX_PAGE = 100
MAX_NAME = 255
_MAX_KIND = 40
_MAX_DELAY_S = 366 * 86_400.0
_STATES = get_args(State)
_BATCH = 100


def even(_principal: Principal) -> int:
    return 1


class JobService:
    """Implements `ports.Jobs`. `kinds` are those that some worker does. `worker`: the one of this process, which begins
    at once what somebody waits for; it may be told later (`begin_in`), since what it does may ask for jobs itself."""

    def __init__(
        self,
        rows: JobRows,
        kinds: Collection[str],
        *,
        followers: Followers,
        clock: Clock,
        worker: JobWorker | None = None,
        weight: Weight = even,
        most_waiting: int = MOST_WAITING,
        most_waiting_bytes: int = MOST_WAITING_BYTES,
        most_in_all: int = MOST_IN_ALL,
        max_input_bytes: int = MAX_INPUT_BYTES,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._rows = rows
        self._kinds = frozenset(kinds)
        self._followers = followers
        self._worker = worker
        self._most = most_waiting
        self._max_input_bytes = max_input_bytes
        self._submits = Submits(rows, weight=weight, most=most_waiting, most_bytes=most_waiting_bytes)
        self._backlog = Backlog(rows, most=most_in_all, clock=clock, chance=chance)

    def begin_in(self, worker: JobWorker) -> None:
        """From here on this process has a worker: what somebody waits for begins there."""
        self._worker = worker

    async def aclose(self) -> None:
        """What is on its way into the database gets there."""
        await self._submits.aclose()
        await self._backlog.aclose()

    # -- asking for jobs ---------------------------------------------------------------------------

    async def enqueue(self, new: NewJob) -> Job:
        self._check(new)
        return await self._accepted(new, None)

    async def start(self, new: NewJob) -> Job:
        self._check(new)
        worker = self._worker
        if worker is None or new.delay_s > 0 or not worker.reserve(new.kind, new.principal.tenant_id):
            return await self._accepted(new, None)
        try:
            holder = worker.id
            job = await self._accepted(new, holder)
            if job.state == "running":
                await self._begin(worker, job, holder)
            return job
        finally:
            worker.release()

    async def _begin(self, worker: JobWorker, job: Job, holder: UUID) -> None:
        try:
            work = await self._rows.work(job.tenant_id, job.id, holder)
        except StoreUnavailable:
            return  # the worker finds it among what it holds
        if work is not None:  # else it was there before, and is somebody else's
            worker.begin(work, holder)

    async def _accepted(self, new: NewJob, holder: UUID | None) -> Job:
        if await self._backlog.is_full():
            raise Overloaded(
                "As many jobs wait already as may. Try again later.", retry_after_s=self._backlog.retry_after_s()
            )
        job = await self._submits.add(new, holder)
        if job is None:
            raise RateLimited(
                f"As many jobs of this tenant wait already as may ({self._most}, or their bytes). Try again later.",
                retry_after_s=await self._backlog.retry_after_of(new.principal.tenant_id, self._most),
            )
        self._backlog.count()
        return job

    def _check(self, new: NewJob) -> None:
        if new.kind not in self._kinds:
            raise InvalidRequest(f"There is no kind of job '{new.kind[:_MAX_KIND]}'.", param="kind")
        if len(new.input) > self._max_input_bytes:
            raise TooLarge(f"The input of a job has at most {self._max_input_bytes} bytes.")
        if not 0 <= new.priority <= MAX_PRIORITY:
            raise InvalidRequest(f"A priority is 0 to {MAX_PRIORITY}.", param="priority")
        if not (isfinite(new.delay_s) and 0 <= new.delay_s <= _MAX_DELAY_S):
            raise InvalidRequest("A job waits at most 366 days to begin.", param="delay_s")
        if new.max_attempts < 1:
            raise InvalidRequest("A job has at least one attempt.", param="max_attempts")
        for param in ("subject", "dedup", "order_key"):
            text: str | None = getattr(new, param)
            if text is not None and (len(text) > MAX_NAME or "\0" in text):
                raise InvalidRequest(f"It has at most {MAX_NAME} characters, and no NUL.", param=param)

    # -- looking -----------------------------------------------------------------------------------

    async def get(self, tenant_id: TenantId, job_id: UUID) -> Job:
        job = await self._rows.find(tenant_id, job_id)
        if job is None:
            raise _no_such_job()
        return job

    async def result(self, tenant_id: TenantId, job_id: UUID) -> bytes | None:
        return await self._rows.result(tenant_id, job_id)

    async def input(self, tenant_id: TenantId, job_id: UUID) -> bytes | None:
        return await self._rows.input(tenant_id, job_id)

    async def list(
        self,
        tenant_id: TenantId,
        *,
        state: str | None = None,
        kind: str | None = None,
        cursor: str | None = None,
        limit: int = 20,
    ) -> JobPage:
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
        before = None if cursor is None else job_id_of(cursor)
        if cursor is not None and before is None:
            raise InvalidRequest("This is not a cursor.", param="cursor")
        of_state: State | None = next((one for one in _STATES if one == state), None)
        if state is not None and of_state is None:
            raise InvalidRequest(f"A job is {', '.join(_STATES[:-1])} or {_STATES[-1]}.", param="state")
        if kind is not None and "\0" in kind:
            raise InvalidRequest("No kind of job is named so.", param="kind")
        found = await self._rows.page(tenant_id, state=of_state, kind=kind, before=before, limit=limit + 1)
        more = len(found) > limit
        return JobPage(items=found[:limit], cursor=job_name(found[limit - 1].id) if more else None)

    def follow(self, tenant_id: TenantId, job_id: UUID, *, after: int = 0) -> AsyncGenerator[JobEvent, None]:
        return self._followers.follow(tenant_id, job_id, after=after)

    async def wait(self, tenant_id: TenantId, job_id: UUID, timeout_s: float) -> Job:
        return await self._followers.wait(tenant_id, job_id, timeout_s)

    async def state(self, tenant_id: TenantId | None) -> QueueState:
        return await self._rows.state(tenant_id)

    # -- changing ----------------------------------------------------------------------------------

    async def cancel(self, tenant_id: TenantId, job_id: UUID, *, then: Sequence[NewJob] = ()) -> Job:
        for new in then:
            self._check(new)
        job = await self._rows.cancel(tenant_id, job_id, then=then)
        if job is None:
            raise _no_such_job()
        if job.state in ("done", "failed"):
            raise Conflict(f"The job is {job.state} already and cannot be cancelled.")
        if job.state == "running" and self._worker is not None:
            self._worker.want_cancelled(tenant_id, job_id)
        return job

    async def redrive(self, tenant_id: TenantId, job_id: UUID) -> Job:
        job = await self._rows.redrive(tenant_id, job_id)
        if job is None:
            job = await self.get(tenant_id, job_id)
            raise Conflict(f"The job is {job.state}; only one that failed can be redriven.")
        return job

    async def redrive_all(self, tenant_id: TenantId, *, kind: str | None = None) -> int:
        redriven, seen = 0, set[UUID]()
        while fresh := [one for one in await self._dead(tenant_id, kind) if one not in seen]:
            for job_id in fresh:  # one that fails again meanwhile is not redriven again
                redriven += await self._rows.redrive(tenant_id, job_id) is not None
            seen.update(fresh)
        return redriven

    async def discard(self, tenant_id: TenantId, job_id: UUID) -> None:
        if not await self._rows.discard(tenant_id, job_id):
            job = await self.get(tenant_id, job_id)
            raise Conflict(f"The job is {job.state}; it can be discarded when it has ended. Cancel it first.")

    async def discard_all(self, tenant_id: TenantId, *, kind: str | None = None) -> int:
        discarded, seen = 0, set[UUID]()
        while fresh := [one for one in await self._dead(tenant_id, kind) if one not in seen]:
            for job_id in fresh:
                discarded += await self._rows.discard(tenant_id, job_id)
            seen.update(fresh)
        return discarded

    async def _dead(self, tenant_id: TenantId, kind: str | None) -> Sequence[UUID]:
        return await self._rows.failed_ids(tenant_id, kind=kind, limit=_BATCH)


def _no_such_job() -> NotFound:
    return NotFound("There is no such job.")
