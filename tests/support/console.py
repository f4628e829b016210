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
from tenfold.assistant.assistant import Assistant
from tenfold.assistant.fake import FakeCaller, FakeSearcher
from tenfold.assistant.types import CallSummary, Hit
from tenfold.console.app import create_console
from tenfold.console.documentation import MarkdownDocumentation
from tenfold.console.fake import FakeAlerts, FakeBudgets, FakeUsage
from tenfold.console.services import ConsoleServices, MoneyServices
from tenfold.core.chat import ChatEvent, ChatRequest, TextDelta
from tenfold.core.clock import Clock, FakeClock
from tenfold.core.principal import Principal
from tenfold.limits.fake import FakeLimitRows
from tenfold.limits.handlers import LimitAdmin
from tests.support.passwords import cheap_passwords

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
    usage: FakeUsage
    budgets: FakeBudgets
    limits: LimitAdmin
    alerts: FakeAlerts

    @property
    def caller(self) -> FakeCaller:
        return self.model.caller

    def use_caller(self, caller: FakeCaller) -> None:
        self.model.caller = caller


class SwitchedCaller:
    """Whichever fake model a test has put in."""

    def __init__(self, caller: FakeCaller) -> None:
        self.caller = caller

    def call(self, principal: Principal, request: ChatRequest) -> AsyncGenerator[ChatEvent | CallSummary, None]:
        return self.caller.call(principal, request)


class PausingCaller(FakeCaller):
    """Stops after the first piece until told to go on."""

    def __init__(self) -> None:
        super().__init__(ANSWER)
        self.go_on = asyncio.Event()
        self.paused = asyncio.Event()

    async def call(self, principal: Principal, request: ChatRequest) -> AsyncGenerator[ChatEvent | CallSummary, None]:
        async with aclosing(super().call(principal, request)) as events:
            async for event in events:
                yield event
                if isinstance(event, TextDelta):
                    self.paused.set()
                    await self.go_on.wait()


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
    budgets, limits, alerts = FakeBudgets(clock), LimitAdmin(FakeLimitRows(), clock), FakeAlerts()
    async with Keyring(rows, clock, poll_s=0.05) as keyring:
        services = ConsoleServices(
            accounts=accounts,
            keys=keys,
            keyring=keyring,
            assistant=Assistant(searcher, model, clock, model="offline-extractive", floor=0.3),
            usage=usage,
            documentation=MarkdownDocumentation(DOCUMENTS),
            model="offline-extractive",
            money=MoneyServices(budgets=budgets, limits=limits, alerts=alerts),
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
            usage=usage,
            budgets=budgets,
            limits=limits,
            alerts=alerts,
        )
