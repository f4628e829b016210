"""Tickets: which calls may be answered later, what became of them, and the job that makes them.

What is kept is a request as it was sent, since it has to be asked later. Nothing is kept but calls whose client, or
whose feature, says that they may wait.
"""

from collections.abc import Mapping
from uuid import UUID

from msgspec import json, structs

from tenfold.core.call import Call, CallOptions
from tenfold.core.errors import Conflict, IdempotencyMismatch, InvalidRequest, NotFound
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.background import BackgroundCaller, Recorder
from tenfold.inference.ports import ClientDialect
from tenfold.inference.tickets.types import (
    KIND,
    KIND_DEAD,
    LaterCall,
    Ticket,
    TicketPage,
    call_id_of,
    job_of,
    request_digest,
    ticket_id,
    ticket_of,
)
from tenfold.jobs.names import job_name
from tenfold.jobs.ports import JobContext, Jobs
from tenfold.jobs.types import Job, NewJob, Result
from tenfold.ledger.idempotency.types import key_digest
from tenfold.webhooks.ports import Outbox
from tenfold.webhooks.types import Event

_PATIENT = 1_000_000  # attempts: until its time is over
_calls = json.Decoder(LaterCall)


class Tickets:
    """Accepts calls, and tells of them. Implements `inference.ports.Parking`."""

    def __init__(self, jobs: Jobs, outbox: Outbox) -> None:
        self._jobs = jobs
        self._outbox = outbox

    async def park(self, call: Call) -> Ticket:
        """A call that nobody could answer: tried until somebody does. The same call twice is one ticket. Raises
        RateLimited, Overloaded, TooLarge, StoreUnavailable."""
        patient = structs.replace(
            _job_of(call), delay_s=5.0, first_retry_s=5.0, most_retry_s=300.0, max_attempts=_PATIENT
        )
        return ticket_of(_of(call, await self._jobs.enqueue(patient)))

    async def accept(self, call: Call, wait_s: float) -> Ticket:
        """A call that may be answered later: it is made soon. `wait_s`: somebody waits that long, and if it ends
        meanwhile the ticket has its reply. Raises as `park` does."""
        if wait_s <= 0:
            return ticket_of(_of(call, await self._jobs.enqueue(_job_of(call))))
        job = _of(call, await self._jobs.start(_job_of(call)))
        return await self._told(await self._jobs.wait(job.tenant_id, job.id, wait_s))

    async def list(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> TicketPage:
        """The newest first, without their replies. Raises InvalidRequest, StoreUnavailable."""
        found = await self._jobs.list(tenant_id, kind=KIND, cursor=cursor, limit=limit)
        return TicketPage(items=[ticket_of(job) for job in found.items], cursor=found.cursor)

    async def find(self, tenant_id: TenantId, ticket: str) -> Ticket:
        """Raises NotFound, for another tenant's too; StoreUnavailable."""
        return await self._told(await self._find(tenant_id, ticket))

    async def remove(self, principal: Principal, ticket: str) -> None:
        """It is not asked any more, and request and reply are deleted; one that is being asked right now ends as
        cancelled first. Raises NotFound, StoreUnavailable."""
        job = await self._find(principal.tenant_id, ticket)
        if not job.ended:
            then = await self._outbox.jobs_for(principal, _event("job.cancelled", job.id))
            try:
                job = await self._jobs.cancel(principal.tenant_id, job.id, then=then)
            except Conflict:  # it has ended meanwhile
                job = await self._jobs.get(principal.tenant_id, job.id)
        if job.ended:
            await self._jobs.discard(principal.tenant_id, job.id)

    async def _find(self, tenant_id: TenantId, ticket: str) -> Job:
        call_id = call_id_of(ticket)
        try:
            job = None if call_id is None else await self._jobs.get(tenant_id, call_id)
        except NotFound:
            job = None
        if job is None or job.kind != KIND:
            raise NotFound("There is no such ticket.")
        return job

    async def _told(self, job: Job) -> Ticket:
        return ticket_of(job, await self._jobs.result(job.tenant_id, job.id) if job.state == "done" else None)


class CallJob:
    """Makes the calls of tickets. Implements `jobs.ports.Handler`."""

    kind = KIND
    after_death: str | None = KIND_DEAD

    def __init__(self, caller: BackgroundCaller, dialects: Mapping[str, ClientDialect], outbox: Outbox) -> None:
        self._caller = caller
        self._dialects = dialects
        self._outbox = outbox

    async def run(self, job: JobContext) -> Result:
        """Raises what went wrong with the call."""
        asked = _calls.decode(job.work.input)
        dialect = self._dialects.get(asked.dialect)
        if dialect is None:
            raise InvalidRequest(f"No dialect '{asked.dialect}' is known here.")
        recorder = Recorder()
        await job.progress("calling")
        call = await self._caller.call(
            job.work.principal,
            asked.operation,
            dialect,
            asked.body,
            recorder,
            key=job.key("call"),
            options=asked.options,
            job=job,
            waited_s=job.work.job.waited_s,
        )
        job.spent(call.cost_nano or 0)
        if call.error is not None:
            raise call.error
        completed = _event("job.completed", job.work.job.id)
        return Result(output=recorder.body, then=await self._outbox.jobs_for(job.work.principal, completed))


class DeadCallJob:
    """Tells of calls that have failed. Implements `jobs.ports.Handler`."""

    kind = KIND_DEAD
    after_death: str | None = None

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def run(self, job: JobContext) -> Result:
        """The input is the id of the job that has failed. Raises StoreUnavailable."""
        failed = _event("job.failed", UUID(job.work.input.decode()))
        return Result(then=await self._outbox.jobs_for(job.work.principal, failed))


def _event(kind: str, job_id: UUID) -> Event:
    return Event(type=kind, resource=job_name(job_id), data={"ticket": ticket_id(job_id)})


def _of(call: Call, job: Job) -> Job:
    """The job that was there already is of another call under the same `Idempotency-Key`: of the same request? Raises
    IdempotencyMismatch."""
    if job.facts.get("request") != request_digest(call.body):
        raise IdempotencyMismatch(
            "This Idempotency-Key was used before with another request. Use one key for each request."
        )
    return job


def _job_of(call: Call) -> NewJob:
    """With an `Idempotency-Key` there is one for it: a process that dies after it has accepted a call leaves the key
    without an answer, and the call comes again."""
    kept = LaterCall(
        operation=call.operation, dialect=call.dialect, options=_that_still_hold(call.options), body=call.body
    )
    key = call.options.idempotency_key
    return structs.replace(
        job_of(call.principal, kept, call.model), id=call.id, dedup=None if key is None else key_digest(key).hex()
    )


def _that_still_hold(options: CallOptions) -> CallOptions:
    """Later there is no client that waits, and no key under which the reply is looked for. What was approved, was for
    this moment."""
    return structs.replace(
        options,
        approved_cost_nano=None,
        idempotency_key=None,
        respond_async=False,
        wait_s=0.0,
        deadline_ms=None,
        client_retry=False,
        tell_budget=False,
        explain=frozenset(),
        traceparent=None,
    )
