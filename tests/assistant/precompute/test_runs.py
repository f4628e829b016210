"""Runs: under a budget, once for each question, and worth something to whoever asks next."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from tenfold.assistant.assistant import Assistant
from tenfold.assistant.calling import JobCaller, PathCaller
from tenfold.assistant.fake import FakeCaller, FakeSearcher
from tenfold.assistant.ports import ChatCaller
from tenfold.assistant.precompute.counting import Counting
from tenfold.assistant.precompute.daily import Daily, night_of, run_of
from tenfold.assistant.precompute.fake import FakeQuestionRows
from tenfold.assistant.precompute.running import Run
from tenfold.assistant.precompute.types import KIND, Policy
from tenfold.assistant.types import CallSummary, FromCache
from tenfold.core.call import CallOptions
from tenfold.core.chat import ChatEvent, ChatRequest
from tenfold.core.clock import FakeClock
from tenfold.core.errors import CostCeilingExceeded, NotFound, StoreUnavailable, UpstreamUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.inference.background import BackgroundCaller
from tenfold.jobs.context import Context
from tenfold.jobs.ports import JobContext
from tests.assistant.precompute.test_rows import noted
from tests.assistant.tickets.parts import KEYS, owner
from tests.support.jobs import Work
from tests.support.pipeline import FRAMES, World, streamed

WHO = owner()
QUESTIONS = ("How do I reset a key?", "Where is the page Keys?", "Which page resets a key?")
PRICE = 10
CITED = b"".join(FRAMES["openai"]).replace(b'"content":"lo"', b'"content":"lo [1]."')


class Costly(FakeCaller):
    """Costs PRICE for each call, and may cost as much at most."""

    job: JobContext

    async def call(
        self, principal: Principal, request: ChatRequest, options: CallOptions
    ) -> AsyncGenerator[ChatEvent | FromCache | CallSummary, None]:
        if options.max_cost_nano is not None and options.max_cost_nano < PRICE:
            raise CostCeilingExceeded("too much", param="Tenfold-Max-Cost-Usd")
        async for event in super().call(principal, request, options):
            if isinstance(event, CallSummary):
                self.job.spent(PRICE)
            yield event


class Night:
    """Frequent questions, and one job of a run over them."""

    def __init__(self, *, budget_nano: int = 1000, who: Principal = WHO, most: int = 50) -> None:
        self.clock = FakeClock()
        self.rows = FakeQuestionRows(self.clock)
        self.work = Work({KIND}, self.clock)
        self.who = who
        self.hit = KEYS
        self.policy = Policy(enabled=True, min_askers=2, budget_nano=budget_nano, most_questions=most)
        self.caller = Costly()
        self.caller.summary = CallSummary(model="fake", cost_nano=PRICE, cache="miss")

    async def asked(self, *questions: str) -> None:
        asked = [noted(self.who.tenant_id, text, who) for text in questions for who in ("ana", "ben")]
        await self.rows.note(self.who.tenant_id, asked, min_askers=self.policy.min_askers)

    async def job(self) -> Context:
        await self.work.jobs.enqueue(structs.replace(run_of(self.who), order_key=None))
        worker = uuid7()
        (work,) = await self.work.rows.claim(worker, [KIND], limit=1)
        return Context(work, worker, self.work.rows, clock=self.clock)

    def again(self, job: Context) -> Context:
        """The same job in another process, after the first was killed."""
        return Context(job.work, uuid7(), self.work.rows, clock=self.clock)

    def handler(self, world: World | None = None) -> Run:
        def caller_of(job: JobContext) -> ChatCaller:
            if world is not None:
                return JobCaller(BackgroundCaller(world.pipeline), job)
            self.caller.job = job
            return self.caller

        return Run(self.rows, self.assistant(self.caller), caller_of, self.policy)

    def assistant(self, caller: ChatCaller, listener: Counting | None = None) -> Assistant:
        return Assistant(FakeSearcher([self.hit]), caller, self.clock, model="m", floor=0.3, listener=listener)


async def test_a_run_stops_before_its_budget_would_be_passed_and_the_next_goes_on() -> None:
    it = Night(budget_nano=2 * PRICE + 5)
    await it.asked(*QUESTIONS)
    job = await it.job()
    await it.handler().run(job)
    (run,) = await it.rows.runs(WHO.tenant_id, limit=9)
    assert (run.questions, run.answered, run.cost_nano, run.ended_why) == (2, 2, 20, "budget")
    assert job.cost_nano == 20
    assert [options.max_cost_nano for options in it.caller.options] == [25, 15]
    assert {(options.feature, options.task) for options in it.caller.options} == {
        ("precompute", f"job_{run.id.hex}"),
    }
    assert len(await it.rows.ahead(WHO.tenant_id, limit=9)) == 0  # of a document that is not there any more
    it.rows.current.add((WHO.tenant_id, KEYS.document))
    assert len(await it.rows.ahead(WHO.tenant_id, limit=9)) == 2

    await it.handler().run(it.again(job))  # ended: not begun again
    assert len(it.caller.requests) == 2


async def test_a_run_has_so_many_questions_and_no_more() -> None:
    it = Night(most=2)
    await it.asked(*QUESTIONS)
    await it.handler().run(await it.job())
    (run,) = await it.rows.runs(WHO.tenant_id, limit=9)
    assert (run.questions, run.ended_why) == (2, "done")


async def test_where_no_model_answers_three_times_a_run_ends() -> None:
    it = Night()
    await it.asked(*QUESTIONS, "Who has a key?")
    it.caller.error = UpstreamUnavailable("away")
    await it.handler().run(await it.job())
    (run,) = await it.rows.runs(WHO.tenant_id, limit=9)
    assert (run.questions, run.answered, run.ended_why) == (3, 0, "no_model")


class Killed(BaseException):
    pass


class Mortal(FakeQuestionRows):
    """The process dies before it has written the second answer down."""

    dies = True

    async def answered(self, *args: object, **more: object) -> None:
        if self.dies and self._runs and any(run.questions for run in self._runs.values()):
            self.dies = False
            raise Killed
        await super().answered(*args, **more)  # type: ignore[arg-type]


async def test_a_run_that_was_killed_goes_on_and_pays_nothing_twice() -> None:
    world = World({"openai": [streamed("openai", body=CITED, cuts=()) for _ in QUESTIONS]})
    it = Night(budget_nano=1_000_000_000, who=world.principal)
    it.rows, it.hit = Mortal(it.clock), structs.replace(KEYS, document="")
    await it.asked(*QUESTIONS)
    job = await it.job()
    with pytest.raises(Killed):
        await it.handler(world).run(job)
    await it.handler(world).run(it.again(job))
    (run,) = await it.rows.runs(it.who.tenant_id, limit=9)
    assert (run.questions, run.answered, run.cost_nano, run.ended_why) == (3, 3, 3 * 18_000, "done")
    assert len(world.sent) == 3

    counting = Counting(it.rows, min_askers=2)  # and now somebody asks
    assistant = it.assistant(PathCaller(world.pipeline), counting)
    answer = await assistant.answer(it.who, QUESTIONS[0])
    assert (answer.end.outcome, answer.end.call and answer.end.call.cache, len(world.sent)) == ("answered", "hit", 3)
    await counting.flush()
    earned = await it.rows.earned(it.who.tenant_id)
    assert (earned.questions, earned.answered, earned.hits, earned.paid_nano) == (3, 3, 1, 3 * 18_000)
    assert earned.saved_nano == 18_000  # also of the one whose price its second attempt was not told

    await it.handler(world).run(await it.job())  # the next night: all is cached and current
    last = next(one for one in await it.rows.runs(it.who.tenant_id, limit=9) if one.id != run.id)
    assert (last.questions, last.answered, last.cost_nano, len(world.sent)) == (3, 3, 0, 3)


async def test_a_database_that_is_away_is_waited_for() -> None:
    it = Night()
    await it.asked(*QUESTIONS)
    job = await it.job()
    it.rows.away = True
    with pytest.raises(StoreUnavailable):
        await it.handler().run(job)
    it.rows.away = False
    await it.handler().run(it.again(job))
    assert (await it.rows.runs(WHO.tenant_id, limit=9))[0].ended_why == "done"


# -- every night -------------------------------------------------------------------------------


class Sites:
    """Two processes over the same rows."""

    def __init__(self) -> None:
        self.clock = FakeClock(datetime(2026, 3, 1, 2, 0, tzinfo=UTC))
        self.rows = FakeQuestionRows(self.clock)
        self.work = Work({KIND}, self.clock)
        self.gone: set[TenantId] = set()
        self.processes = [
            Daily(self.rows, self.work.jobs, self._who, self.clock, at=time(3), zone=UTC) for _ in range(2)
        ]

    async def _who(self, tenant_id: TenantId) -> Principal:
        if tenant_id in self.gone:
            raise NotFound("There is no such tenant.")
        return structs.replace(WHO, tenant_id=tenant_id)

    async def look(self) -> None:
        await asyncio.gather(*(process.look() for process in self.processes for _ in range(2)))


async def test_two_processes_make_one_run_a_night_for_each_tenant() -> None:
    it = Sites()
    tenants = [TenantId(uuid7()) for _ in range(3)]
    for tenant_id in tenants:
        asked = [noted(tenant_id, QUESTIONS[0], who) for who in ("ana", "ben")]
        await it.rows.note(tenant_id, asked, min_askers=2 if tenant_id != tenants[2] else 3)
    it.gone.add(tenants[1])
    await it.look()
    assert len(await it.work.rows.page(tenants[0], state=None, kind=KIND, before=None, limit=9)) == 0
    for hours, runs in ((1.5, 1), (1, 1), (22, 1), (1, 2), (30, 2)):
        it.clock.advance(hours * 3600)
        await it.look()
        found = await it.work.rows.page(tenants[0], state=None, kind=KIND, before=None, limit=9)
        assert len(found) == runs, hours
    assert await it.work.rows.page(tenants[1], state=None, kind=KIND, before=None, limit=9) == []
    assert await it.work.rows.page(tenants[2], state=None, kind=KIND, before=None, limit=9) == []


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-03-01T21:59:00+00:00", None),
        ("2026-03-01T22:00:00+00:00", "2026-03-01"),
        ("2026-03-02T00:59:00+00:00", "2026-03-01"),  # past midnight it is the same night
        ("2026-03-02T01:00:00+00:00", None),
        ("2026-03-29T21:00:00+00:00", "2026-03-29"),  # summer time
    ],
)
def test_when_it_is_quiet(now: str, night: str | None) -> None:
    found = night_of(datetime.fromisoformat(now), time(23), ZoneInfo("Europe/Berlin"))
    assert (None if found is None else found.isoformat()) == night
