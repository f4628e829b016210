"""The jobs behind responses of the background: the one that makes it, and those that clear up after it."""

import asyncio
from typing import Any, Protocol
from uuid import UUID

from msgspec import json

from tenfold.core.call import Call, CallOptions, Operation
from tenfold.core.errors import Conflict, NotFound, Overloaded, TenfoldError
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.background import Cancellable, Recorder
from tenfold.inference.ports import ClientDialect, Responder
from tenfold.inference.responses.file_search import Answered, FileSearch, is_wanted
from tenfold.inference.responses.handlers import died_of, echo_of, failed_object
from tenfold.inference.responses.making import Making
from tenfold.inference.responses.ports import Codec, EventRows, ResponseRows
from tenfold.inference.responses.telling import Telling, told_so_far
from tenfold.inference.responses.types import KIND, KIND_DEAD, KIND_FORGET, JsonObject, Status, StoredResponse
from tenfold.jobs.ports import JobCancelled, JobContext, Jobs
from tenfold.jobs.types import NewJob, Result
from tenfold.webhooks.ports import Outbox
from tenfold.webhooks.types import Event

_STEP = "answer"

_decoder: json.Decoder[Any] = json.Decoder()
_options: json.Decoder[CallOptions] = json.Decoder(CallOptions)


class Caller(Protocol):
    """See tenfold.inference.background.BackgroundCaller."""

    async def call(
        self,
        principal: Principal,
        operation: Operation,
        dialect: ClientDialect,
        body: bytes,
        responder: Responder,
        *,
        key: str,
        options: CallOptions,
        job: Cancellable | None,
        waited_s: float,
    ) -> Call: ...


class MakeResponse:
    """Asks the model once, however often it is run; what came of it is stored before anybody is told of it."""

    kind = KIND
    after_death: str | None = KIND_DEAD

    def __init__(
        self,
        rows: ResponseRows,
        making: Making,
        caller: Caller,
        events: EventRows,
        outbox: Outbox,
        *,
        files: FileSearch | None = None,
    ) -> None:
        self._rows = rows
        self._making = making
        self._codec: Codec = making.codec
        self._caller = caller
        self._events = events
        self._outbox = outbox
        self._files = files

    async def run(self, job: JobContext) -> Result:
        work = job.work
        tenant_id, response_id = work.job.tenant_id, work.job.id
        row = await self._rows.begin(tenant_id, response_id)
        cost_nano = 0
        if row is not None and not row.ended:
            cost_nano = await self._make(job, row)
            row = await self._rows.find(tenant_id, response_id)
        if row is None:  # it was deleted
            return Result(cost_nano=cost_nano)
        result = Result(cost_nano=cost_nano, then=await told_of(self._outbox, work.principal, row))
        if row.status == "cancelled":
            raise JobCancelled(result)
        return result

    async def _make(self, job: JobContext, row: StoredResponse) -> int:
        """What it cost. Raises a TenfoldError that may pass."""
        work = job.work
        try:
            body = await self._making.body_of(row.tenant_id, _decoder.decode(row.request))
        except TenfoldError as error:
            if error.retryable:
                raise
            await self._fail(row, error)
            return 0
        telling = None
        if row.stream:
            told = await told_so_far(self._events, row.tenant_id, row.id, work.events) if work.events else []
            telling = Telling(self._codec, echo_of(row), told, job.emit)
        recorder = telling or Recorder()
        try:
            answered = await self._ask(job, row, body, recorder)
        except asyncio.CancelledError:
            if job.cancelled:
                await self._cancelled(row, telling)
                return 0
            raise
        await job.flush()
        await self._end(job, row, answered, recorder, telling)
        return answered.cost_nano

    async def _ask(self, job: JobContext, row: StoredResponse, body: bytes, recorder: Recorder) -> Answered:
        """In one call, or in as many as a search of files needs, each of them once."""
        work = job.work
        options = _options.decode(work.input)

        async def ask(body: bytes, responder: Responder, of_round: CallOptions, name: str) -> Call:
            return await self._caller.call(
                work.principal,
                "chat",
                self._codec.dialect,
                body,
                responder,
                key=job.key(f"{_STEP}:{name}" if name else _STEP),
                options=of_round,
                job=job,
                waited_s=work.job.waited_s,
            )

        echo = echo_of(row)
        if self._files is not None and is_wanted(echo.request):
            return await self._files.answer(work.principal, echo, body, options, recorder, ask)
        call = await ask(body, recorder, options, "")
        return Answered(error=call.error, cost_nano=call.cost_nano or 0)

    async def _end(
        self, job: JobContext, row: StoredResponse, answered: Answered, recorder: Recorder, telling: Telling | None
    ) -> None:
        error = answered.error
        if telling is not None and recorder.is_stream:
            response = telling.response
        elif error is None and recorder.status == 200:
            response = _decoder.decode(self._codec.stamp(echo_of(row)).whole(recorder.body))
        else:
            response = None
        if response is not None:
            await self._finish(row, response, answered.cost_nano)
            return
        if error is None:
            error = TenfoldError("The model's answer did not come to its end.")
        if error.retryable and not recorder.is_stream:
            job.spent(answered.cost_nano)
            raise error
        await self._fail(row, error, cost_nano=answered.cost_nano, output=telling.items if telling else [])

    async def _finish(self, row: StoredResponse, response: JsonObject, cost_nano: int) -> None:
        status: Status = response["status"]
        await self._rows.finish(row.tenant_id, row.id, status, json.encode(response), cost_nano=cost_nano)

    async def _fail(
        self, row: StoredResponse, error: TenfoldError, *, cost_nano: int = 0, output: list[JsonObject] | None = None
    ) -> None:
        failed = self._codec.blank(echo_of(row), "failed", error, output or [])
        await self._finish(row, failed, cost_nano)

    async def _cancelled(self, row: StoredResponse, telling: Telling | None) -> None:
        """What was whole until then stays."""
        output = [] if telling is None else telling.items
        cancelled = json.encode(self._codec.blank(echo_of(row), "cancelled", output=output))
        if not await self._rows.finish(row.tenant_id, row.id, "cancelled", cancelled) and output:
            await self._rows.amend(row.tenant_id, row.id, cancelled, cost_nano=row.cost_nano)


class BuryResponse:
    """Follows the job of a response that died: the response has failed, and whoever listens is told."""

    kind = KIND_DEAD
    after_death: str | None = None

    def __init__(self, rows: ResponseRows, codec: Codec, jobs: Jobs, outbox: Outbox) -> None:
        self._rows = rows
        self._codec = codec
        self._jobs = jobs
        self._outbox = outbox

    async def run(self, job: JobContext) -> Result:
        tenant_id, response_id = job.work.job.tenant_id, UUID(job.work.input.decode())
        try:
            dead = await self._jobs.get(tenant_id, response_id)
        except NotFound:
            return Result()
        row = await self._rows.find(tenant_id, response_id)
        if row is None or dead.state != "failed":
            return Result()
        if not row.ended:
            failed = failed_object(self._codec, row, died_of(dead.error_code, dead.error_message))
            await self._rows.finish(tenant_id, response_id, "failed", failed, died=True)
            row = await self._rows.find(tenant_id, response_id)
        return Result(then=() if row is None else await told_of(self._outbox, job.work.principal, row))


class ForgetResponse:
    """What is left of a deleted one that was still being made: the events of its job."""

    kind = KIND_FORGET
    after_death: str | None = None

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def run(self, job: JobContext) -> Result:
        await forget(self._jobs, job.work.job.tenant_id, UUID(job.work.input.decode()))
        return Result()


async def forget(jobs: Jobs, tenant_id: TenantId, job_id: UUID) -> None:
    """Raises Overloaded (it still runs), StoreUnavailable."""
    try:
        await jobs.discard(tenant_id, job_id)
    except NotFound:
        return
    except Conflict as still:
        raise Overloaded("The job still runs.") from still


async def told_of(outbox: Outbox, principal: Principal, row: StoredResponse) -> tuple[NewJob, ...]:
    """The jobs of the event of its end."""
    return await outbox.jobs_for(principal, Event(type=f"response.{row.status}", resource=row.public_id))
