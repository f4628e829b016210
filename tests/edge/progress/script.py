"""A job whose events a test tells one by one, behind the server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

from msgspec import json, structs

from tenfold.core.errors import NotFound, StoreUnavailable, TenfoldError
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.edge.http import Request
from tenfold.edge.progress import JobEvents
from tenfold.edge.progress.beats import Beats
from tenfold.jobs.names import job_name
from tenfold.jobs.types import Job, JobEvent, Progress
from tests.support.http_server import Served

TENANT = TenantId(uuid7())
PRINCIPAL = Principal(tenant_id=TENANT, tenant_slug="acme", scopes=frozenset({SCOPE_INFERENCE}))
_AT = datetime(2026, 1, 1, tzinfo=UTC)


class ScriptedJobs:
    """One job of TENANT."""

    def __init__(self) -> None:
        self.job = Job(
            tenant_id=TENANT,
            id=uuid7(),
            kind="test",
            state="running",
            subject=None,
            priority=4,
            created_at=_AT,
            run_at=_AT,
            started_at=_AT,
            ended_at=None,
            expires_at=None,
            attempts=1,
            max_attempts=5,
            crashes=0,
            progress=Progress(),
            cost_nano=0,
            cancel_requested=False,
            version=1,
        )
        self.events: list[JobEvent] = []
        self.following = 0
        self.away = False
        self._news = asyncio.Event()

    @property
    def path(self) -> str:
        return f"/v1/jobs/{job_name(self.job.id)}/events"

    def tell(self, kind: str, data: bytes) -> None:
        self.events.append(JobEvent(seq=len(self.events) + 1, kind=kind, data=data))
        if kind == "ended":
            self.job = structs.replace(self.job, state="done")
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def get(self, tenant_id: TenantId, job_id: UUID) -> Job:
        if self.away:
            raise StoreUnavailable("The database is away.")
        if (tenant_id, job_id) != (TENANT, self.job.id):
            raise NotFound("There is no such job.")
        return self.job

    async def follow(self, tenant_id: TenantId, job_id: UUID, *, after: int = 0) -> AsyncGenerator[JobEvent, None]:
        await self.get(tenant_id, job_id)
        self.following += 1
        try:
            while True:
                news = self._news
                for event in self.events[after:]:
                    yield event
                    after = event.seq
                if self.job.ended:
                    return
                await news.wait()
        finally:
            self.following -= 1


@asynccontextmanager
async def served(
    jobs: ScriptedJobs, principal: Principal = PRINCIPAL, beat_s: float = 3600.0
) -> AsyncIterator[tuple[Served, JobEvents]]:
    """`beat_s`: a test with a short one sees beats; with the usual one none."""
    resource = JobEvents(jobs, Beats(beat_s))

    async def handle(request: Request) -> None:
        try:
            await resource.handle(request, principal)
        except TenfoldError as error:
            body = json.encode({"code": error.code, "message": error.message})
            request.whole(error.status, "content-type: application/json\r\n", body)

    async with Served(handle) as server:
        yield server, resource
    assert (jobs.following, resource.waiting) == (0, 0)
