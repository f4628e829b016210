"""A console on fakes: real rules of access and assistant, nothing behind them but memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from tenfold.access.accounts import Accounts
from tenfold.access.fake import FakeAccessRows
from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.keyring import Keyring
from tenfold.app.budgeting import Budgeting
from tenfold.app.upstreams import Unasked
from tenfold.assistant.assistant import Assistant
from tenfold.assistant.fake import FakeCaller, FakeRecorder, FakeSearcher, FakeSwitches
from tenfold.assistant.precompute.fake import FakeQuestionRows
from tenfold.assistant.precompute.handlers import Precompute
from tenfold.assistant.precompute.types import KIND as PRECOMPUTE
from tenfold.assistant.precompute.types import Policy as PrecomputePolicy
from tenfold.assistant.tickets.fake import FakeOutcomes, FakeTicketRows
from tenfold.assistant.tickets.handlers import SupportDesk
from tenfold.assistant.tickets.types import KINDS as SUPPORT_KINDS
from tenfold.assistant.types import CallSummary, FromCache, Hit
from tenfold.cache.semantic.fake import FakeSemanticRows
from tenfold.cache.semantic.handlers import CacheAdmin
from tenfold.console.app import create_console
from tenfold.console.cache_services import CacheServices
from tenfold.console.documentation import MarkdownDocumentation
from tenfold.console.fake import FakeLayers, FakeSlo, FakeTargets, FakeUsage
from tenfold.console.fake_knowledge import FakeKnowledge
from tenfold.console.services import (
    ConsoleServices,
    FlagServices,
    HealthServices,
    JobServices,
    MoneyServices,
    WebhookServices,
)
from tenfold.core.call import CallOptions
from tenfold.core.chat import ChatEvent, ChatRequest, TextDelta
from tenfold.core.clock import Clock, FakeClock
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.inference.ceilings import Ceilings
from tenfold.inference.explanation import Explainer
from tenfold.inference.planner import Planner
from tenfold.inference.policy import Feature, Policy, Rule
from tenfold.inference.route import Route, Router, Target
from tenfold.inference.tickets.handlers import Tickets
from tenfold.inference.tickets.types import KIND
from tenfold.jobs.schedules.fake import FakeScheduleRows
from tenfold.jobs.schedules.handlers import ScheduleAdmin
from tenfold.jobs.submissions import Submissions
from tenfold.ledger.budgets.fake import FakeBudgetRows
from tenfold.ledger.budgets.handlers import BudgetAdmin
from tenfold.ledger.budgets.types import Budget
from tenfold.limits.fake import FakeLimitRows
from tenfold.limits.handlers import LimitAdmin
from tenfold.providers.openai import OpenAIWire
from tenfold.rollout.book import Flags, RolloutBook
from tenfold.rollout.book import Switches as FlagSwitches
from tenfold.rollout.fake import FakeRolloutRows
from tenfold.rollout.handlers import FlagAdmin
from tenfold.webhooks.fake import FakeOutbox, FakeSender, FakeWebhookRows
from tenfold.webhooks.handlers import WebhookAdmin
from tenfold.webhooks.log import WebhookLog
from tenfold.webhooks.types import KIND as WEBHOOK
from tests.jobs.schedules.parts import Sums
from tests.ledger.samples import receipt
from tests.support.jobs import Work
from tests.support.passwords import cheap_passwords
from tests.support.pipeline import FixedPrice

DOCUMENTS = Path(__file__).parent / "console_docs"
HITS = (
    Hit(
        title="Quick start",
        heading="Call it with the OpenAI SDK",
        url="/docs/quickstart#call-it-with-the-openai-sdk",
        text="Set base_url to the address of Tenfold followed by /v1 and api_key to a key made under Keys.",
        relevance=0.9,
        span=(120, 214),
    ),
    Hit(
        title="Keys",
        heading="Make a key",
        url="/docs/guides/keys#make-a-key",
        text="A key is shown once. It is stored as a fingerprint only.",
        relevance=0.6,
        span=(10, 66),
    ),
)
ANSWER = (
    "Set `base_url` to the address of Tenfold followed by `/v1` [1]. ",
    "Then pass a key ",
    "as `api_key` [1][2].",
)


@dataclass(kw_only=True)
class FakeConsole:
    """The application and all that a test may turn a knob on."""

    app: FastAPI
    model: "SwitchedCaller"
    clock: FakeClock
    rows: FakeAccessRows
    keys: ApiKeys
    accounts: Accounts
    tenants: Tenants
    keyring: Keyring
    searcher: FakeSearcher
    knowledge: FakeKnowledge
    support: SupportDesk
    support_rows: FakeTicketRows
    outcomes: FakeOutcomes
    precompute: Precompute
    questions: FakeQuestionRows
    semantic_rows: FakeSemanticRows
    layers: FakeLayers
    usage: FakeUsage
    switches: FakeSwitches
    recorder: FakeRecorder
    slo: FakeSlo
    targets: FakeTargets
    route: Route
    budgets: Budgeting
    limits: LimitAdmin
    flags: FlagAdmin
    flag_book: RolloutBook
    work: Work
    tickets: Tickets
    webhook_rows: FakeWebhookRows
    sender: FakeSender
    webhooks: WebhookServices
    _budget_rows: FakeBudgetRows

    @property
    def caller(self) -> FakeCaller:
        return self.model.caller

    async def spend(self, budget: Budget, subject: str = "", *, settled_nano: int, held_nano: int = 0) -> None:
        """A process has spent so much of a budget, as far as its limit goes or beyond, and holds so much more."""
        rows, tenant_id, holder = self._budget_rows, budget.tenant_id, uuid7()
        grant = await rows.lease(tenant_id, holder, budget.id, subject, wanted=0, at_least=0)
        assert grant is not None
        rows.settle_receipts(tenant_id, [receipt(tenant_id, total_nano=settled_nano, leases=(grant.lease.id,))])
        await rows.lease(tenant_id, holder, budget.id, subject, wanted=held_nano, at_least=held_nano)

    def use_caller(self, caller: FakeCaller) -> None:
        self.model.caller = caller


class SwitchedCaller:
    """Whichever fake model a test has put in."""

    def __init__(self, caller: FakeCaller) -> None:
        self.caller = caller

    def call(
        self, principal: Principal, request: ChatRequest, options: CallOptions
    ) -> AsyncGenerator[ChatEvent | FromCache | CallSummary, None]:
        return self.caller.call(principal, request, options)


class PausingCaller(FakeCaller):
    """Stops after the first piece until told to go on."""

    def __init__(self) -> None:
        super().__init__(ANSWER)
        self.go_on = asyncio.Event()
        self.paused = asyncio.Event()

    async def call(
        self, principal: Principal, request: ChatRequest, options: CallOptions
    ) -> AsyncGenerator[ChatEvent | FromCache | CallSummary, None]:
        async with aclosing(super().call(principal, request, options)) as events:
            async for event in events:
                yield event
                if isinstance(event, TextDelta):
                    self.paused.set()
                    await self.go_on.wait()


def _support_route() -> Route:
    """`support`: fast, then strong; the other way round on the plan pro."""
    fast, strong = (
        Target(provider=Unasked(f"at-{model}", OpenAIWire()), upstream_model=model, prices=FixedPrice())
        for model in ("fast", "strong")
    )
    rules = (Rule(models=("strong", "fast"), plans=frozenset({"pro"})),)
    policy = Policy(models=("fast", "strong"), rules=rules, deadline_s=30.0)
    return Route(model="support", targets=(fast, strong), policy=policy)


@asynccontextmanager
async def fake_console(
    *, sign_up_open: bool = True, secure_cookies: bool = False, clock: Clock | None = None
) -> AsyncIterator[FakeConsole]:
    fake_clock = FakeClock()
    clock = clock or fake_clock
    rows = FakeAccessRows()
    tenants = Tenants(rows, clock)
    keys = ApiKeys(rows, tenants, clock)
    accounts = Accounts(rows, cheap_passwords(), clock)
    searcher, model, usage = FakeSearcher(HITS), SwitchedCaller(FakeCaller(ANSWER)), FakeUsage()
    switches, recorder, slo, targets = FakeSwitches(), FakeRecorder(), FakeSlo(), FakeTargets()
    knowledge = FakeKnowledge()
    semantic_rows, layers = FakeSemanticRows(), FakeLayers()
    route = _support_route()
    budget_rows = FakeBudgetRows(clock)
    budgets, limits = Budgeting(budget_rows, BudgetAdmin(budget_rows, clock)), LimitAdmin(FakeLimitRows(), clock)
    flag_rows = FakeRolloutRows()
    flags, flag_book = FlagAdmin(flag_rows, clock), RolloutBook(flag_rows)
    flag_rows.followers.append(flag_book.forget)
    explainer = Explainer(
        router=Router([route]),
        planner=Planner(switches=FlagSwitches(flag_book)),
        ceilings=Ceilings(),
        features={"helpdesk": Feature(name="helpdesk", steps=("stale", "template"))},
    )
    work = Work({KIND, WEBHOOK, PRECOMPUTE, Sums.kind, *SUPPORT_KINDS}, clock)
    support_rows, outcomes = FakeTicketRows(clock), FakeOutcomes()
    support = SupportDesk(support_rows, work.jobs, outcomes, clock)
    questions = FakeQuestionRows(clock)
    precompute = Precompute(questions, work.jobs, PrecomputePolicy(enabled=True, public=True))
    submissions = Submissions(work.jobs, [Sums()])
    jobs = JobServices(
        jobs=work.jobs, submissions=submissions, schedules=ScheduleAdmin(FakeScheduleRows(clock), submissions)
    )
    tickets = Tickets(work.jobs, FakeOutbox(0))
    webhook_rows, sender = FakeWebhookRows(), FakeSender()
    webhook_admin = WebhookAdmin(webhook_rows, sender, clock)
    webhooks = WebhookServices(admin=webhook_admin, log=WebhookLog(webhook_rows, webhook_admin, work.jobs, clock))
    async with Keyring(rows, clock, poll_s=0.05) as keyring:
        services = ConsoleServices(
            accounts=accounts,
            keys=keys,
            keyring=keyring,
            assistant=Assistant(
                searcher,
                model,
                clock,
                model="offline-extractive",
                floor=0.3,
                switches=switches,
                recorder=recorder,
            ),
            usage=usage,
            documentation=MarkdownDocumentation(DOCUMENTS),
            model="offline-extractive",
            knowledge=knowledge,
            support=support,
            precompute=precompute,
            cache=CacheServices(admin=CacheAdmin(semantic_rows), layers=layers),
            money=MoneyServices(budgets=budgets, limits=limits, alerts=budgets),
            flags=FlagServices(admin=flags, values=Flags(flag_book)),
            tickets=tickets,
            jobs=jobs,
            webhooks=webhooks,
            slo=slo,
            health=HealthServices(targets=targets, routes=explainer),
            version="0.1.0",
            sign_up_open=sign_up_open,
            secure_cookies=secure_cookies,
        )
        yield FakeConsole(
            app=create_console(services),
            model=model,
            clock=fake_clock,
            rows=rows,
            keys=keys,
            accounts=accounts,
            tenants=tenants,
            keyring=keyring,
            searcher=searcher,
            knowledge=knowledge,
            support=support,
            support_rows=support_rows,
            outcomes=outcomes,
            precompute=precompute,
            questions=questions,
            semantic_rows=semantic_rows,
            layers=layers,
            usage=usage,
            switches=switches,
            recorder=recorder,
            slo=slo,
            targets=targets,
            route=route,
            budgets=budgets,
            limits=limits,
            flags=flags,
            flag_book=flag_book,
            work=work,
            tickets=tickets,
            webhook_rows=webhook_rows,
            sender=sender,
            webhooks=webhooks,
            _budget_rows=budget_rows,
        )
