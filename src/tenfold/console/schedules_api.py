"""The JSON API of schedules: jobs at the times that a cron expression names."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from msgspec import json
from pydantic import BaseModel, Field
from starlette.responses import Response

from tenfold.console.api_parts import CONFLICT, MISSING, PROBLEMS, Body, PageSize, Word, bearer
from tenfold.console.jobs_api import JobBody, job_body
from tenfold.console.services import ConsoleServices
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.jobs.names import job_name
from tenfold.jobs.schedules.handlers import ScheduleAdmin, next_runs, schedule_name
from tenfold.jobs.schedules.types import Schedule


class NewScheduleBody(Body):
    name: Word = Field(description="Of the tenant's schedules one has it.")
    cron: Word = Field(description="Minute, hour, day of month, month, day of week; or @daily and its kind.")
    zone: Word = Field("UTC", description="A time zone of the IANA, such as Europe/Berlin.")
    kind: Word = Field(description="Of the jobs.")
    input: Any = Field(description="Of the jobs.")
    missed: Word = Field("last", description="What becomes of ticks that passed while nothing ran: skip, last or all.")
    paused: bool = False


class ScheduleChangeBody(Body):
    name: Word | None = None
    cron: Word | None = None
    zone: Word | None = None
    input: Any = None
    missed: Word | None = None
    paused: bool | None = None


class ScheduleBody(BaseModel):
    id: str
    name: str
    cron: str
    zone: str
    kind: str
    input: Any
    missed: Literal["skip", "last", "all"]
    paused: bool
    next_runs: list[datetime] = Field(description="The next five (UTC); none while it is paused.")
    last_run_at: datetime | None = Field(description="The last tick that became a job, or could not.")
    last_job: str | None = Field(description="The last job that came of it.")
    error: str | None = Field(description="Why the last tick became no job.")
    created_at: datetime
    updated_at: datetime


class SchedulesPage(BaseModel):
    data: list[ScheduleBody]
    next_cursor: str | None


def schedule_api_routes(services: ConsoleServices, schedules: ScheduleAdmin) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["schedules"])
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.get("/schedules", summary="List the tenant's schedules, the newest first")
    async def list_schedules(who: caller, cursor: str | None = None, limit: PageSize = 20) -> SchedulesPage:
        who.require(SCOPE_INFERENCE)
        page = await schedules.list(who.tenant_id, cursor=cursor, limit=limit)
        return SchedulesPage(data=[schedule_body(each) for each in page.items], next_cursor=page.cursor)

    @routes.post("/schedules", status_code=201, summary="Create a schedule", responses=CONFLICT)
    async def create_schedule(body: NewScheduleBody, who: caller) -> ScheduleBody:
        who.require(SCOPE_INFERENCE)
        created = await schedules.create(
            who,
            body.name,
            cron=body.cron,
            zone=body.zone,
            kind=body.kind,
            asked=body.input,
            missed=body.missed,
            paused=body.paused,
        )
        return schedule_body(created)

    @routes.get("/schedules/{schedule}", summary="One schedule and its next runs", responses=MISSING)
    async def one_schedule(schedule: str, who: caller) -> ScheduleBody:
        who.require(SCOPE_INFERENCE)
        return schedule_body(await schedules.find(who.tenant_id, schedule))

    @routes.patch("/schedules/{schedule}", summary="Change, pause or resume a schedule", responses=MISSING | CONFLICT)
    async def change_schedule(schedule: str, body: ScheduleChangeBody, who: caller) -> ScheduleBody:
        who.require(SCOPE_INFERENCE)
        changed = await schedules.change(
            who.tenant_id,
            schedule,
            name=body.name,
            cron=body.cron,
            zone=body.zone,
            asked=body.input,
            missed=body.missed,
            paused=body.paused,
        )
        return schedule_body(changed)

    @routes.delete("/schedules/{schedule}", status_code=204, summary="Remove a schedule", responses=MISSING)
    async def remove_schedule(schedule: str, who: caller) -> Response:
        who.require(SCOPE_INFERENCE)
        await schedules.remove(who.tenant_id, schedule)
        return Response(status_code=204)

    @routes.post("/schedules/{schedule}/run", status_code=202, summary="Run it once now", responses=MISSING)
    async def run_schedule(schedule: str, who: caller, response: Response) -> JobBody:
        who.require(SCOPE_INFERENCE)
        job = await schedules.run(who.tenant_id, schedule)
        response.headers["location"] = f"/api/v1/jobs/{job_name(job.id)}"
        return job_body(job)

    return routes


def schedule_body(schedule: Schedule) -> ScheduleBody:
    return ScheduleBody(
        id=schedule_name(schedule.id),
        name=schedule.name,
        cron=schedule.cron,
        zone=schedule.zone,
        kind=schedule.kind,
        input=json.decode(schedule.asked),
        missed=schedule.missed,
        paused=schedule.paused,
        next_runs=next_runs(schedule),
        last_run_at=schedule.last_at,
        last_job=None if schedule.last_job is None else job_name(schedule.last_job),
        error=schedule.error,
        created_at=schedule.created_at,
        updated_at=schedule.updated_at,
    )
