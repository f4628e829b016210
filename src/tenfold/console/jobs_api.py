"""The JSON API of background jobs: what they are, how far, what came of them; dead letters; how full the queue is."""

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query
from msgspec import DecodeError, json
from pydantic import BaseModel, Field
from starlette.responses import Response

from tenfold.console.api_parts import CONFLICT, MISSING, PROBLEMS, Body, PageSize, Word, bearer
from tenfold.console.services import ConsoleServices, JobServices
from tenfold.core.errors import Conflict, NotFound
from tenfold.core.headers import still_holds
from tenfold.core.money import format_usd
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.jobs.names import job_id_of, job_name
from tenfold.jobs.types import Job, JobPage

_POLL_AT_MOST_S = 30
_CACHED = {"cache-control": "private, no-cache"}  # kept, and asked each time whether it still holds

State = Literal["queued", "running", "done", "failed", "cancelled"]
KindQuery = Annotated[str | None, Query(max_length=40, description="Of this kind alone.")]


class ProgressBody(BaseModel):
    stage: str
    done: int
    total: int | None


class JobErrorBody(BaseModel):
    code: str
    message: str | None


class JobBody(BaseModel):
    id: str
    kind: str
    state: State = Field(description="failed: a dead letter, until it is redriven or discarded.")
    subject: str | None = Field(description="The id of what it works on.")
    facts: dict[str, str] = Field(description="What its kind tells of it beside.")
    priority: int
    created_at: datetime
    run_at: datetime = Field(description="Queued: not begun before this.")
    started_at: datetime | None = Field(description="The last attempt.")
    ended_at: datetime | None
    expires_at: datetime | None = Field(description="Ended: deleted after this.")
    attempts: int
    max_attempts: int
    crashes: int = Field(description="Attempts that ended with the process they ran in.")
    progress: ProgressBody
    eta_s: float | None = Field(description="What is left at the rate so far; null where no total is known.")
    cost_usd: str = Field(description="Of all attempts so far, decimal USD.")
    cancel_requested: bool
    error: JobErrorBody | None = Field(description="Of the last attempt that failed.")
    events: str = Field(description="Where its progress is told as it happens.")


class JobsPage(BaseModel):
    data: list[JobBody]
    next_cursor: str | None


class NewJobBody(Body):
    kind: Word
    input: Any = Field(description="What the kind asks for.")
    priority: int | None = Field(None, description="0 to 9; the larger goes first, among the tenant's own.")
    delay_s: float = Field(0.0, description="Not before so many seconds from now.")


class OfKindBody(Body):
    kind: Annotated[str, Field(max_length=40)] | None = Field(None, description="Of this kind alone.")


class RedrivenBody(BaseModel):
    redriven: int


class DiscardedBody(BaseModel):
    discarded: int


class QueueBody(BaseModel):
    waiting: int = Field(description="The tenant's jobs that are due and not begun.")
    later: int = Field(description="Those that are not due yet.")
    running: int
    oldest_wait_s: float
    dead: int = Field(description="Dead letters.")
    workers: int = Field(description="Of the installation; so are slots and drain_per_s.")
    slots: int = Field(description="Jobs that all workers together do at once.")
    drain_per_s: float = Field(description="Jobs ended a second, of late.")


def job_api_routes(services: ConsoleServices, given: JobServices) -> APIRouter:
    routes, jobs = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["jobs"]), given.jobs
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.get("/jobs", summary="List the tenant's jobs, the newest first")
    async def list_jobs(
        who: caller, state: State | None = None, kind: KindQuery = None, cursor: str | None = None, limit: PageSize = 20
    ) -> JobsPage:
        who.require(SCOPE_INFERENCE)
        return _page(await jobs.list(who.tenant_id, state=state, kind=kind, cursor=cursor, limit=limit))

    @routes.post("/jobs", status_code=202, summary="Submit a job")
    async def submit_job(
        body: NewJobBody,
        who: caller,
        response: Response,
        key: Annotated[
            str | None, Header(alias="Idempotency-Key", description="Submitted twice, it is there once.")
        ] = None,
    ) -> JobBody:
        who.require(SCOPE_INFERENCE)
        job = await given.submissions.submit(
            who, body.kind, body.input, priority=body.priority, delay_s=body.delay_s, key=key
        )
        response.headers["location"] = f"/api/v1/jobs/{job_name(job.id)}"
        response.headers["retry-after"] = str(poll_after_s(job))
        return job_body(job)

    @routes.get("/jobs/{job}", summary="One job and how far it is", responses=MISSING, response_model=JobBody)
    async def one_job(
        job: str, who: caller, if_none_match: Annotated[str | None, Header(description="An ETag.")] = None
    ) -> Response:
        who.require(SCOPE_INFERENCE)
        found = await jobs.get(who.tenant_id, _id(job))
        headers = {"etag": etag_of(found), **_CACHED}
        if not found.ended:
            headers["retry-after"] = str(poll_after_s(found))
        if still_holds(if_none_match, headers["etag"]):
            return Response(status_code=304, headers=headers)
        return Response(job_body(found).model_dump_json(), media_type="application/json", headers=headers)

    @routes.get("/jobs/{job}/input", summary="What a job was given", responses=MISSING)
    async def job_input(job: str, who: caller) -> Response:
        who.require(SCOPE_INFERENCE)
        data = await jobs.input(who.tenant_id, _id(job))
        if data is None:
            found = await jobs.get(who.tenant_id, _id(job))
            raise NotFound(f"The input is dropped once it is of no more use; the job is {found.state}.")
        return _bytes(data)

    @routes.get("/jobs/{job}/result", summary="What came of a job", responses=MISSING | CONFLICT)
    async def job_result(job: str, who: caller) -> Response:
        who.require(SCOPE_INFERENCE)
        found = await jobs.get(who.tenant_id, _id(job))
        if not found.ended:
            raise Conflict("The job has not ended.", retry_after_s=float(poll_after_s(found)))
        if found.state != "done":
            raise Conflict(f"The job is {found.state}: it has no result.")
        return _bytes(await jobs.result(found.tenant_id, found.id) or b"")

    @routes.post("/jobs/{job}/cancel", summary="Cancel a job", responses=MISSING | CONFLICT)
    async def cancel_job(job: str, who: caller) -> JobBody:
        who.require(SCOPE_INFERENCE)
        return job_body(await jobs.cancel(who.tenant_id, _id(job)))

    @routes.delete("/jobs/{job}", status_code=204, summary="Delete an ended job", responses=MISSING | CONFLICT)
    async def discard_job(job: str, who: caller) -> Response:
        who.require(SCOPE_INFERENCE)
        await jobs.discard(who.tenant_id, _id(job))
        return Response(status_code=204)

    @routes.get("/queue", summary="How full the tenant's queue is")
    async def queue(who: caller) -> QueueBody:
        who.require(SCOPE_INFERENCE)
        state = await jobs.state(who.tenant_id)
        return QueueBody(**{name: getattr(state, name) for name in QueueBody.model_fields})

    return routes


def dead_letter_api_routes(services: ConsoleServices, given: JobServices) -> APIRouter:
    routes, jobs = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["dead letters"]), given.jobs
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.post("/jobs/{job}/redrive", summary="Try a dead letter again", responses=MISSING | CONFLICT)
    async def redrive_job(job: str, who: caller) -> JobBody:
        who.require(SCOPE_INFERENCE)
        return job_body(await jobs.redrive(who.tenant_id, _id(job)))

    @routes.get("/dead-letters", summary="List the jobs that failed for good, the newest first")
    async def list_dead_letters(
        who: caller, kind: KindQuery = None, cursor: str | None = None, limit: PageSize = 20
    ) -> JobsPage:
        who.require(SCOPE_INFERENCE)
        return _page(await jobs.list(who.tenant_id, state="failed", kind=kind, cursor=cursor, limit=limit))

    @routes.post("/dead-letters/redrive", summary="Try all dead letters again")
    async def redrive_all(who: caller, body: OfKindBody | None = None) -> RedrivenBody:
        who.require(SCOPE_INFERENCE)
        return RedrivenBody(redriven=await jobs.redrive_all(who.tenant_id, kind=body.kind if body else None))

    @routes.delete("/dead-letters", summary="Delete all dead letters")
    async def discard_all(who: caller, kind: KindQuery = None) -> DiscardedBody:
        who.require(SCOPE_INFERENCE)
        return DiscardedBody(discarded=await jobs.discard_all(who.tenant_id, kind=kind))

    return routes


def etag_of(job: Job) -> str:
    """Weak: `eta_s` moves with the clock."""
    return f'W/"{job.version}-{job.attempts}-{job.state}"'


def poll_after_s(job: Job) -> int:
    """When to look again, whole seconds: when it is due or may be ready, else less and less often the longer it
    takes."""
    due_for_s = (datetime.now(UTC) - job.run_at).total_seconds()
    if job.eta_s is not None:
        left_s = job.eta_s
    elif due_for_s < 0:
        left_s = -due_for_s
    else:
        left_s = due_for_s / 10
    return min(_POLL_AT_MOST_S, max(1, math.ceil(left_s)))


def _page(page: JobPage) -> JobsPage:
    return JobsPage(data=[job_body(each) for each in page.items], next_cursor=page.cursor)


def job_body(job: Job) -> JobBody:
    name = job_name(job.id)
    return JobBody(
        id=name,
        kind=job.kind,
        state=job.state,
        subject=job.subject,
        facts=job.facts,
        priority=job.priority,
        created_at=job.created_at,
        run_at=job.run_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        expires_at=job.expires_at,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        crashes=job.crashes,
        progress=ProgressBody(stage=job.progress.stage, done=job.progress.done, total=job.progress.total),
        eta_s=job.eta_s,
        cost_usd=format_usd(job.cost_nano),
        cancel_requested=job.cancel_requested,
        error=None if job.error_code is None else JobErrorBody(code=job.error_code, message=job.error_message),
        events=f"/v1/jobs/{name}/events",
    )


def _bytes(data: bytes) -> Response:
    try:
        json.decode(data)
    except (DecodeError, ValueError):
        return Response(data, media_type="application/octet-stream")
    return Response(data, media_type="application/json")


def _id(name: str) -> UUID:
    found = job_id_of(name)
    if found is None:
        raise _no_such_job()
    return found


def _no_such_job() -> NotFound:
    return NotFound("There is no such job.")
