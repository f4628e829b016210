"""The job of a batch, from the check of its file to its output: "batch", and "batch.dead" where that was given up.

However often and wherever it is begun anew, it goes on from what the rows say.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from uuid import UUID

from msgspec import json, structs

from tenfold.core.errors import Conflict, NotFound
from tenfold.core.ids import TenantId, uuid7
from tenfold.inference.batches.handlers import job_of
from tenfold.inference.batches.lines import Checker, lines_of, requested
from tenfold.inference.batches.ports import BatchRows, Elsewhere, LineCaller, Why
from tenfold.inference.batches.results import lapsed
from tenfold.inference.batches.types import (
    KIND,
    KIND_DEAD,
    Batch,
    Ended,
    Endpoints,
    LineError,
    LineResult,
    Spec,
    batch_id,
)
from tenfold.inference.batches.work import LineWork, WorkLimits
from tenfold.inference.files.handlers import Draft, Files
from tenfold.jobs.ports import JobCancelled, JobContext, JobLost, Jobs
from tenfold.jobs.types import NewJob, Result
from tenfold.webhooks.ports import Outbox
from tenfold.webhooks.types import Event

logger = logging.getLogger(__name__)

POISON = "poison"  # the code of a job that several workers died with
_LAPSED_AT_ONCE = 500  # lines in one transaction
_CLEARED_AT_ONCE = 2000
_MOST_DEATHS = 20  # jobs that die before a batch has failed, each after a twentieth of its lines


class BatchEnd:
    """How a batch ends: its results become files, and whoever listens is told."""

    def __init__(self, rows: BatchRows, files: Files, outbox: Outbox) -> None:
        self._rows = rows
        self._files = files
        self._outbox = outbox

    async def end(self, batch: Batch, status: Ended, errors: Sequence[LineError] = ()) -> Batch:
        """Raises JobLost (somebody else has ended it), StoreUnavailable."""
        tenant_id = batch.tenant_id
        async with AsyncExitStack() as drafts:
            output = await self._written(batch, drafts, failed=False) if batch.completed else None
            refused = await self._written(batch, drafts, failed=True) if batch.failed else None
            ended = await self._rows.end(
                tenant_id,
                batch.id,
                status,
                errors=errors,
                output=None if output is None else output.id,
                refused=None if refused is None else refused.id,
                keep_s=batch.spec.output_keep_s,
            )
            if ended is None:
                raise JobLost  # and the drafts go
        logger.info(
            "a batch has ended",
            extra={"batch": batch.public_id, "status": status, "completed": ended.completed, "failed": ended.failed},
        )
        return ended

    async def told(self, batch: Batch) -> Result:
        """What the job of an ended batch leaves; what it needs no more is deleted. Raises StoreUnavailable."""
        while await self._rows.clear(batch.tenant_id, batch.id, limit=_CLEARED_AT_ONCE):
            pass
        counts = {"total": batch.total, "completed": batch.completed, "failed": batch.failed}
        event = Event(type=f"batch.{batch.status}", resource=batch.public_id, data={})
        output = json.encode({"id": batch.public_id, "status": batch.status, "request_counts": counts})
        return Result(output=output, then=await self._outbox.jobs_for(batch.spec.principal, event))

    async def _written(self, batch: Batch, drafts: AsyncExitStack, *, failed: bool) -> Draft:
        draft = await drafts.enter_async_context(self._files.draft(batch.tenant_id, bounded=False))
        after = 0
        while results := await self._rows.results(batch.tenant_id, batch.id, failed=failed, after=after):
            for result in results:
                await draft.write(result.data)
            after = results[-1].line
        await draft.flush()
        return draft


class BatchHandler:
    """Implements `jobs.ports.Handler`. The input of the job is a `types.Spec`."""

    kind = KIND
    after_death: str | None = KIND_DEAD

    def __init__(
        self,
        rows: BatchRows,
        files: Files,
        caller: LineCaller,
        outbox: Outbox,
        endpoints: Endpoints,
        *,
        elsewhere: Elsewhere | None = None,
        limits: WorkLimits | None = None,
    ) -> None:
        self._rows = rows
        self._files = files
        self._caller = caller
        self._ending = BatchEnd(rows, files, outbox)
        self._endpoints = endpoints
        self._elsewhere = elsewhere
        self._limits = limits or WorkLimits()

    async def run(self, job: JobContext) -> Result:
        """Raises StoreUnavailable, JobLost, JobCancelled."""
        spec = json.decode(job.work.input, type=Spec)
        try:
            batch = await self._rows.add(spec)
            if not batch.ended:
                batch = await self._do(job, batch)
        except asyncio.CancelledError:
            if not job.cancelled:
                raise
            batch = await self._cancelled(spec)
        result = await self._ending.told(batch)
        if job.cancelled and batch.status == "cancelled":
            raise JobCancelled(result)
        return result

    async def _cancelled(self, spec: Spec) -> Batch:
        """Somebody cancelled the job, and not the batch."""
        await self._rows.add(spec)
        batch = _there(await self._rows.cancel(spec.principal.tenant_id, spec.id))
        return batch if batch.ended else await self._ending.end(batch, "cancelled")

    async def _do(self, job: JobContext, batch: Batch) -> Batch:
        try:
            if batch.status == "validating":
                batch = await self._validated(job, batch)
            if batch.status == "in_progress":
                batch = await self._worked(job, batch)
        except (NotFound, Conflict) as gone:
            error = LineError(code="input_file_gone", message=gone.message, param="input_file_id")
            return await self._ending.end(await self._as_it_is(batch), "failed", [error])
        if batch.ended:
            return batch
        if batch.cancelling_at is not None:
            return await self._ending.end(batch, "cancelled")
        return await self._ending.end(batch, "expired" if batch.lapsed else "completed")

    async def _validated(self, job: JobContext, batch: Batch) -> Batch:
        await job.progress("validating")
        checker = Checker(batch.spec.endpoint)
        async for line in lines_of(self._content(batch), self._limits.max_line_bytes):
            if not checker.see(line):
                break
        checker.end()
        if checker.errors:
            return await self._ending.end(batch, "failed", checker.errors)
        begun = await self._rows.begin(batch.tenant_id, batch.id, total=checker.total, model=checker.model)
        return _there(begun)

    async def _worked(self, job: JobContext, batch: Batch) -> Batch:
        endpoint = self._endpoints[batch.spec.endpoint]
        why: Why = "all"
        if self._elsewhere is not None:
            why = await self._elsewhere.run(job, batch, endpoint, lambda: self._content(batch))
        if why == "all":
            work = LineWork(
                job,
                batch,
                endpoint,
                rows=self._rows,
                content=lambda: self._content(batch),
                caller=self._caller,
                limits=self._limits,
            )
            why = await work.run()
        if why == "cancelled":
            return _there(await self._rows.cancel(batch.tenant_id, batch.id))
        if why == "late":
            await self._lapse(batch)
        await job.progress("finalizing")
        return _there(await self._rows.finalize(batch.tenant_id, batch.id, lapsed=why == "late"))

    async def _lapse(self, batch: Batch) -> None:
        """The lines that are left get the result that says so."""
        done = set(await self._rows.done(batch.tenant_id, batch.id))
        found = list[LineResult]()
        async for line in lines_of(self._content(batch), self._limits.max_line_bytes):
            if line.number not in done:
                found.append(lapsed(line.number, requested(line.text).custom_id))
            if len(found) >= _LAPSED_AT_ONCE:
                await self._rows.record(batch.tenant_id, batch.id, found)
                found = []
        await self._rows.record(batch.tenant_id, batch.id, found)

    async def _as_it_is(self, batch: Batch) -> Batch:
        return _there(await self._rows.find(batch.tenant_id, batch.id))

    def _content(self, batch: Batch) -> AsyncGenerator[bytes, None]:
        spec = batch.spec
        return self._files.content(batch.tenant_id, spec.input_file_id, spec.input_bytes)


class DeadBatchHandler:
    """Implements `jobs.ports.Handler`: a batch whose job was given up, or is overdue, has failed. What its lines were
    answered is put together all the same. But a batch may last for a day, in which workers die that it has done nothing
    to: one that got on goes on in another job."""

    kind = KIND_DEAD
    after_death: str | None = None

    def __init__(self, rows: BatchRows, files: Files, outbox: Outbox, jobs: Jobs) -> None:
        self._rows = rows
        self._jobs = jobs
        self._ending = BatchEnd(rows, files, outbox)

    async def run(self, job: JobContext) -> Result:
        """The input of the job is the id of the one that was given up. Raises StoreUnavailable, JobLost."""
        tenant_id, dead_id = job.work.job.tenant_id, UUID(job.work.input.decode())
        batch = await self._batch(tenant_id, job.work.job.subject or "", dead_id)
        if batch is None:
            return Result()
        if not batch.ended:
            why = await self._why(tenant_id, dead_id)
            if why.code == "cancelled":
                batch = _there(await self._rows.cancel(tenant_id, batch.id))
            elif why.code == POISON and (new := await self._another(batch, dead_id)) is not None:
                return Result(then=(new,))
        if not batch.ended:
            cancelled = batch.cancelling_at is not None
            batch = await self._ending.end(batch, "cancelled" if cancelled else "failed", [] if cancelled else [why])
        return await self._ending.told(batch)

    async def _another(self, batch: Batch, dead_id: UUID) -> NewJob | None:
        """None: the dead one did too little to be trusted again."""
        asked = await self._jobs.input(batch.tenant_id, dead_id)
        done = batch.completed + batch.failed
        if asked is None or batch.status != "in_progress":
            return None
        dead = json.decode(asked, type=Spec)
        if done - dead.carried < max(1, batch.total // _MOST_DEATHS):
            return None
        return job_of(structs.replace(dead, job_id=uuid7(), carried=done))

    async def _batch(self, tenant_id: TenantId, name: str, dead_id: UUID) -> Batch | None:
        known = batch_id(name)
        batch = None if known is None else await self._rows.find(tenant_id, known)
        if batch is None:  # its job died before it had written the batch down
            asked = await self._jobs.input(tenant_id, dead_id)
            batch = None if asked is None else await self._rows.add(json.decode(asked, type=Spec))
        return batch

    async def _why(self, tenant_id: TenantId, dead_id: UUID) -> LineError:
        try:
            dead = await self._jobs.get(tenant_id, dead_id)
        except NotFound:
            return _overdue()
        if dead.state not in ("failed", "cancelled"):
            return _overdue()
        told = dead.error_message or "The batch was broken off. Create it again."
        return LineError(code=dead.error_code or dead.state, message=told)


def _overdue() -> LineError:
    return LineError(code="overdue", message="The batch was not done in its window.")


def _there(batch: Batch | None) -> Batch:
    if batch is None:
        raise JobLost  # it was deleted
    return batch
