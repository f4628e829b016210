"""Webhooks on fakes: endpoints, the log, who posts, the queue, and jobs that are done one at a time, by hand."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from msgspec.structs import replace

from tenfold.core.clock import FakeClock
from tenfold.core.errors import TenfoldError
from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.core.principal import ALL_SCOPES, Principal
from tenfold.jobs.types import Job, NewJob, Progress, Result, Work
from tenfold.webhooks.delivery import Deliver, GiveUp
from tenfold.webhooks.fake import FakeQueue, FakeSender, FakeWebhookRows
from tenfold.webhooks.handlers import WebhookAdmin
from tenfold.webhooks.log import WebhookLog
from tenfold.webhooks.outbox import WebhookOutbox
from tenfold.webhooks.types import Endpoint, Event

URL = "https://hooks.example/in?a=1"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def a_principal(slug: str = "acme") -> Principal:
    return Principal(tenant_id=TenantId(uuid7()), tenant_slug=slug, key_id=KeyId(uuid7()), scopes=ALL_SCOPES)


class DoneByHand:
    """A JobContext of one attempt; a delivery asks for no more than its work."""

    cancelled = False

    def __init__(self, work: Work) -> None:
        self.work = work

    def key(self, step: str) -> str:
        raise AssertionError(step)

    async def progress(self, stage: str = "", done: int = 0, total: int | None = None) -> None:
        raise AssertionError

    async def emit(self, data: bytes) -> None:
        raise AssertionError

    def spent(self, cost_nano: int) -> None:
        raise AssertionError

    async def flush(self) -> None:
        raise AssertionError


@dataclass(kw_only=True)
class World:
    clock: FakeClock = field(default_factory=FakeClock)
    rows: FakeWebhookRows = field(default_factory=FakeWebhookRows)
    sender: FakeSender = field(default_factory=FakeSender)
    queue: FakeQueue = field(default_factory=FakeQueue)
    who: Principal = field(default_factory=a_principal)
    other: Principal = field(default_factory=lambda: a_principal("other"))
    attempts: dict[UUID, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.admin = WebhookAdmin(self.rows, self.sender, self.clock)
        self.log = WebhookLog(self.rows, self.admin, self.queue, self.clock)
        self.outbox = WebhookOutbox(self.rows, self.clock)
        self.rows.followers.append(self.outbox.forget)
        self.deliver = Deliver(self.rows, self.sender, self.clock)
        self.give_up = GiveUp(self.rows)

    async def endpoint(self, url: str = URL, *events: str) -> Endpoint:
        return await self.admin.create(self.who.tenant_id, url, events=events or ("*",))

    async def job(self, resource: str = "resp_1", event_type: str = "response.completed") -> NewJob:
        """Of an event that one endpoint listens to."""
        (job,) = await self.outbox.jobs_for(self.who, Event(type=event_type, resource=resource))
        return job

    async def attempt(self, new: NewJob) -> Result | TenfoldError:
        """One more try at the job."""
        attempts = self.attempts[new.id] = self.attempts.get(new.id, 0) + 1
        try:
            return await self.deliver.run(DoneByHand(work_of(new, attempts)))
        except TenfoldError as error:
            return error

    async def die(self, new: NewJob) -> None:
        """The job has become a dead letter."""
        assert self.deliver.after_death is not None
        dead = NewJob(kind=self.deliver.after_death, principal=new.principal, input=new.id.hex.encode())
        await self.give_up.run(DoneByHand(work_of(dead, 1)))


def work_of(new: NewJob, attempts: int) -> Work:
    job = Job(
        tenant_id=new.principal.tenant_id,
        id=new.id,
        kind=new.kind,
        state="running",
        subject=new.subject,
        priority=new.priority,
        created_at=AT,
        run_at=AT,
        started_at=AT,
        ended_at=None,
        expires_at=None,
        attempts=attempts,
        max_attempts=new.max_attempts,
        crashes=0,
        progress=Progress(),
        cost_nano=0,
        cancel_requested=False,
        version=1,
    )
    return Work(job=job, principal=new.principal, input=new.input, fence=attempts, new=replace(new, input=b""))
