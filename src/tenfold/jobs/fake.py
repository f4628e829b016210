"""Jobs in memory, for tests of whatever stands on them; under the contract suite of the real ones."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.jobs.fake_claims import FakeClaims
from tenfold.jobs.fake_table import TurnOf
from tenfold.jobs.rules import begins_at_once, fitting
from tenfold.jobs.types import Ended, Job, JobEvent, NewJob, Progress, Result, Work


class FakeJobRows(FakeClaims):
    """Set `away` to make every call raise StoreUnavailable. `on_ready` and `on_told` are called where Postgres is told
    by NOTIFY: a job is ready to be claimed; something of a job has changed for those that follow it."""

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
        self._turns.setdefault(tenant_id, TurnOf()).weight = weight
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

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        await self._reach()
        late = [one for one in self._of(tenant_id) if self._is_late(one)][:limit]
        for one in late:
            del self._jobs[tenant_id, one.new.id]
        return len(late)
