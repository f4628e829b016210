"""A support desk in memory: the real rules, flow and jobs over fakes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tenfold.assistant.assistant import Assistant
from tenfold.assistant.fake import FakeCaller, FakeSearcher, FakeSwitches
from tenfold.assistant.handing_off import HandOffRules
from tenfold.assistant.tickets.answering import AnswerQuestion, DeadQuestion
from tenfold.assistant.tickets.fake import FakeMailer, FakeOutcomes, FakeTicketRows
from tenfold.assistant.tickets.handlers import SupportDesk
from tenfold.assistant.tickets.telling import Notices, SendMail, TellSupport
from tenfold.assistant.tickets.types import KINDS, Opened, Thread
from tenfold.assistant.types import Hit
from tenfold.core.clock import FakeClock
from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.core.principal import ALL_SCOPES, SCOPE_SUPPORT, Principal
from tenfold.jobs.names import job_id_of
from tenfold.jobs.ports import Handler, JobContext
from tenfold.jobs.types import Job, Result
from tenfold.webhooks.fake import FakeOutbox
from tenfold.webhooks.types import KIND as WEBHOOK
from tests.support.jobs import Work

KEYS = Hit(
    title="Keys",
    url="/docs/keys",
    text="A key is reset on the page Keys.",
    relevance=0.9,
    heading="Reset",
    span=(10, 42),
    document="documentation/keys@1a",
)


def owner(slug: str = "acme") -> Principal:
    return Principal(tenant_id=TenantId(uuid7()), tenant_slug=slug, key_id=KeyId(uuid7()), scopes=ALL_SCOPES)


def visitor(of: Principal) -> Principal:
    """A key that stands in a web page of the tenant."""
    return Principal(
        tenant_id=of.tenant_id, tenant_slug=of.tenant_slug, key_id=KeyId(uuid7()), scopes=frozenset({SCOPE_SUPPORT})
    )


@dataclass(kw_only=True)
class Desk:
    clock: FakeClock
    rows: FakeTicketRows
    work: Work
    support: SupportDesk
    searcher: FakeSearcher
    caller: FakeCaller
    switches: FakeSwitches
    outbox: FakeOutbox
    outcomes: FakeOutcomes
    mailer: FakeMailer
    handlers: Sequence[Handler]
    who: Principal
    other: Principal

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with self.work.working(self.handlers):
            yield

    async def ended(self, opened: Opened) -> Job:
        """The job of a question, once it has."""
        assert opened.job is not None
        job_id = job_id_of(opened.job)
        assert job_id is not None
        return await self.work.jobs.wait(self.who.tenant_id, job_id, 10)

    async def answered(self, question: str = "How do I reset a key?", **given: str) -> Thread:
        """A ticket whose question was answered by a worker."""
        async with self.working():
            opened = await self.support.ask(self.who, question, **given)
            assert (await self.ended(opened)).state == "done"
        return await self.support.find(self.who, opened.thread.ticket.name)

    def told(self) -> list[str]:
        return [event.type for _, event in self.outbox.told]


class Swallow:
    """Does the webhook jobs of a fake outbox."""

    kind = WEBHOOK
    after_death: str | None = None

    async def run(self, job: JobContext) -> Result:
        return Result()


def desk(*, rules: HandOffRules | None = None, hits: Sequence[Hit] = (KEYS,), larger: str | None = None) -> Desk:
    clock = FakeClock()
    rows, work = FakeTicketRows(clock), Work({*KINDS, WEBHOOK}, clock)
    searcher, caller, switches = FakeSearcher(hits), FakeCaller(["Use the page Keys [1]."]), FakeSwitches()
    outbox, outcomes, mailer = FakeOutbox(), FakeOutcomes(), FakeMailer()
    notices = Notices(outbox, by_mail=True, link=lambda ticket: f"https://example.com/{ticket.name}")
    assistant = Assistant(
        searcher, caller, clock, model="small", floor=0.3, larger=larger, hand_off=rules, switches=switches
    )
    return Desk(
        clock=clock,
        rows=rows,
        work=work,
        support=SupportDesk(rows, work.jobs, outcomes, clock, rules=rules),
        searcher=searcher,
        caller=caller,
        switches=switches,
        outbox=outbox,
        outcomes=outcomes,
        mailer=mailer,
        handlers=[
            AnswerQuestion(rows, assistant, notices, lambda _job: caller),
            DeadQuestion(rows, notices),
            TellSupport(rows, notices),
            SendMail(mailer),
            Swallow(),
        ],
        who=owner(),
        other=owner("other"),
    )
