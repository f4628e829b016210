"""What the tests of schedules share: a kind that may be submitted, and a job service on fakes."""

from datetime import datetime, timedelta
from typing import Any

from msgspec import json

from tenfold.core.clock import Clock, FakeClock
from tenfold.core.errors import InvalidRequest
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.jobs.fake import FakeJobRows
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.schedules.types import Schedule
from tenfold.jobs.submissions import Submissions
from tenfold.jobs.types import Job, NewJob

EPOCH = FakeClock().now()


class Sums:
    """Wants an object with the member `of`."""

    kind = "sum"

    def job(self, principal: Principal, asked: Any) -> NewJob:
        if not isinstance(asked, dict) or "of" not in asked:
            raise InvalidRequest("input.of: is needed.", param="input.of")
        if asked["of"] == "bug":
            raise ValueError("a bug of ours")
        return NewJob(kind=self.kind, principal=principal, input=json.encode(asked))


def principal(tenant_id: TenantId | None = None) -> Principal:
    return Principal(
        tenant_id=tenant_id or TenantId(uuid7()),
        tenant_slug="acme",
        scopes=frozenset({SCOPE_INFERENCE}),
        plan="pro",
    )


class Made:
    """The job service, and what it was given."""

    def __init__(self, clock: Clock, *, most_waiting: int = 10_000) -> None:
        self.rows = FakeJobRows(clock)
        self.jobs = JobService(
            self.rows, {"sum"}, followers=Followers(self.rows), clock=clock, most_waiting=most_waiting
        )
        self.submissions = Submissions(self.jobs, [Sums()])

    async def of(self, tenant_id: TenantId) -> list[Job]:
        return (await self.jobs.list(tenant_id, limit=100)).items

    async def ticks_of(self, tenant_id: TenantId) -> list[str]:
        """In the order of time: of ids made in one millisecond any may be the first."""
        return sorted(job.facts["tick"] for job in await self.of(tenant_id))


def schedule(who: Principal, **given: Any) -> Schedule:
    defaults: dict[str, Any] = {
        "id": uuid7(),
        "name": f"s{uuid7().hex}",
        "cron": "* * * * *",
        "zone": "UTC",
        "kind": "sum",
        "asked": b'{"of":[1,2]}',
        "principal": who,
        "missed": "last",
        "paused": False,
        "next_at": EPOCH,
        "created_at": EPOCH,
        "updated_at": EPOCH,
    }
    return Schedule(tenant_id=who.tenant_id, **{**defaults, **given})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def after(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)
