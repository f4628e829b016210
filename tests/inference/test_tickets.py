"""Calls that are answered later: accepted or parked, made by a job, read and deleted by their ticket."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tenfold.core.call import CallOptions
from tenfold.core.clock import SystemClock
from tenfold.core.errors import NotFound, RateLimited, StoreUnavailable, TenfoldError, UpstreamUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.inference.background import BackgroundCaller
from tenfold.inference.offload import Offload
from tenfold.inference.policy import Feature
from tenfold.inference.tickets.handlers import CallJob, DeadCallJob, Tickets
from tenfold.inference.tickets.types import KIND, KIND_DEAD, Ticket
from tenfold.jobs.ports import Handler
from tenfold.providers.transport.fake import FakeReply
from tenfold.webhooks.fake import FakeOutbox
from tests.support.jobs import Work
from tests.support.pipeline import DIALECTS, REPLIES, Client, World, asking, principal, whole

LATER = CallOptions(respond_async=True, end_user="Zoe", feature="support")
BUSY = FakeReply(status=503, body=b'{"error":{"message":"Busy.","type":"server_error"}}')
REFUSED = FakeReply(status=400, body=b'{"error":{"message":"No such thing.","type":"invalid_request_error"}}')


class NoPaces:
    async def expected_s(self, tenant_id: TenantId, model: str, max_tokens: int | None) -> float | None:
        return None


class Paces:
    """`expected`: seconds, or what is raised."""

    def __init__(self, expected: float | TenfoldError | None) -> None:
        self.expected = expected
        self.asked: list[tuple[str, int | None]] = []

    async def expected_s(self, tenant_id: TenantId, model: str, max_tokens: int | None) -> float | None:
        self.asked.append((model, max_tokens))
        if isinstance(self.expected, TenfoldError):
            raise self.expected
        return self.expected


class Later:
    """A world whose calls may leave the path, and the work they become."""

    def __init__(
        self,
        *replies: FakeReply,
        paces: Any = None,
        features: Mapping[str, Feature] | None = None,
        **of_world: Any,
    ) -> None:
        self.work = Work({KIND, KIND_DEAD}, SystemClock())
        self.outbox = FakeOutbox(0)
        self.tickets = Tickets(self.work.jobs, self.outbox)
        self.offload = Offload(self.tickets, paces or NoPaces(), features or {}, dialects=frozenset({"openai"}))
        self.world = World(
            {"openai": replies}, parking=self.tickets, features=features, offload=self.offload, **of_world
        )
        caller = BackgroundCaller(self.world.pipeline)
        self.handlers: list[Handler] = [CallJob(caller, DIALECTS, self.outbox), DeadCallJob(self.outbox)]

    @property
    def events(self) -> list[str]:
        """What was told, by type."""
        return [event.type for _, event in self.outbox.told]

    async def ask(self, options: CallOptions = LATER, body: bytes | None = None, **more: Any) -> Client:
        return await self.world.ask(body or asking("openai"), options=options, **more)

    async def ended(self, told: Client) -> Ticket:
        """The ticket of this reply, once its call has ended."""
        ticket = told.headers["tenfold-ticket"]
        for _ in range(1000):
            found = await self.tickets.find(self.world.principal.tenant_id, ticket)
            if found.ended_at is not None:
                return found
            await asyncio.sleep(0.005)
        raise AssertionError("it has not ended")


async def test_a_call_that_may_be_answered_later_is_accepted_and_made() -> None:
    later = Later(whole("openai"))
    told = await later.ask()
    assert told.status == 202
    ticket = told.headers["tenfold-ticket"]
    assert told.json == {
        "id": ticket,
        "object": "ticket",
        "state": "waiting",
        "location": f"/api/v1/tickets/{ticket}",
    }
    assert told.headers["location"] == f"/api/v1/tickets/{ticket}"
    assert (told.headers["preference-applied"], told.headers["retry-after"]) == ("respond-async", "1")
    assert not later.world.sent
    assert told.call is not None
    waiting = await later.tickets.find(later.world.principal.tenant_id, ticket)
    assert (waiting.state, waiting.call_id, waiting.model, waiting.feature) == (
        "waiting",
        told.call.id,
        "m",
        "support",
    )
    async with later.work.working(later.handlers):
        done = await later.ended(told)
    assert (done.state, done.reply, done.attempts) == ("done", REPLIES["openai"], 1)
    assert later.events == ["job.completed"]
    [(_, event)] = later.outbox.told
    assert (event.resource, event.data) == (f"job_{done.call_id.hex}", {"ticket": ticket})
    assert len(later.world.sent) == 1
    made = later.world.outcomes.calls[-1]
    assert (made.options.end_user, made.options.feature) == ("Zoe", "support")
    assert made.principal == later.world.principal
    assert (await later.work.jobs.get(later.world.principal.tenant_id, done.call_id)).cost_nano == made.cost_nano
    later.world.assert_settled()


async def test_who_waits_for_it_gets_the_reply() -> None:
    later = Later(whole("openai"))
    async with later.work.working(later.handlers) as worker:
        while not worker.beating:
            await asyncio.sleep(0.005)
        told = await later.ask(CallOptions(respond_async=True, wait_s=30.0))
    assert (told.status, told.body) == (200, REPLIES["openai"])
    assert len(later.world.sent) == 1


async def test_who_waits_in_vain_gets_the_ticket() -> None:
    later = Later(whole("openai"))
    told = await later.ask(CallOptions(respond_async=True, wait_s=0.01))
    assert told.status == 202


async def test_an_answer_that_is_known_is_given_at_once() -> None:
    later = Later(whole("openai"), policy="always")
    await later.ask(CallOptions())
    told = await later.ask()
    assert (told.status, told.body) == (200, REPLIES["openai"])


async def test_a_key_gets_the_same_ticket_again() -> None:
    later = Later(whole("openai"))
    options = CallOptions(respond_async=True, idempotency_key="order-1")
    first, again = await later.ask(options), await later.ask(options)
    assert (again.status, again.json) == (202, first.json)
    assert again.headers["location"] == first.headers["location"]
    assert len(later.work.rows) == 1
    other = await later.ask(options, asking("openai", max_tokens=9))
    assert (other.status, other.json["error"]["code"]) == (422, "idempotency_mismatch")
    async with later.work.working(later.handlers):
        await later.ended(first)
    done = await later.ask(CallOptions(respond_async=True, wait_s=1.0, idempotency_key="order-1"))
    assert (done.status, done.body) == (200, REPLIES["openai"])
    assert len(later.world.sent) == 1


async def test_a_provider_that_is_busy_is_asked_again() -> None:
    later = Later(BUSY, whole("openai"))
    told = await later.ask()
    async with later.work.working(later.handlers):
        done = await later.ended(told)
    assert (done.state, done.attempts) == ("done", 2)


async def test_what_the_provider_refuses_ends_the_call_with_the_cause() -> None:
    later = Later(REFUSED)
    told = await later.ask()
    async with later.work.working(later.handlers):
        failed = await later.ended(told)
        while not later.outbox.told:
            await asyncio.sleep(0.005)
    assert (failed.state, failed.attempts, failed.reply) == ("failed", 1, None)
    assert failed.error_message == "No such thing."
    assert later.events == ["job.failed"]


async def test_a_call_nobody_could_answer_is_parked_until_somebody_does() -> None:
    features = {"support": Feature(name="support", steps=("queue",), queued="Ask for {ticket}.")}
    later = Later(FakeReply(error=UpstreamUnavailable("Nobody there")), whole("openai"), features=features)
    told = await later.ask(CallOptions(feature="support"))
    assert told.status == 202
    assert told.headers["tenfold-degraded"] == "queue"
    [job] = (await later.work.jobs.list(later.world.principal.tenant_id)).items
    assert job.max_attempts > 1000
    assert job.run_at > job.created_at  # not at once: nobody is there


async def test_a_jobs_own_call_is_neither_parked_nor_accepted_again() -> None:
    """It would wait for itself."""
    features = {"*": Feature(name="*", steps=("queue",), queued="{ticket}", offload_s=0.1)}
    later = Later(
        FakeReply(error=UpstreamUnavailable("Nobody there")), whole("openai"), features=features, paces=Paces(60.0)
    )
    told = await later.ask(CallOptions())
    assert told.status == 202
    async with later.work.working(later.handlers):
        done = await later.ended(told)
    assert (done.state, done.attempts) == ("done", 2)
    assert len(later.work.rows) == 1


@pytest.mark.parametrize(
    ("expected", "status"),
    [(None, 200), (0.4, 200), (0.6, 202), (StoreUnavailable("Away."), 200)],
)
async def test_a_call_that_will_take_long_leaves_the_path(expected: float | TenfoldError | None, status: int) -> None:
    paces = Paces(expected)
    features = {"reports": Feature(name="reports", offload_s=0.5)}
    later = Later(whole("openai"), features=features, paces=paces)
    told = await later.ask(CallOptions(feature="reports"), asking("openai", max_tokens=7))
    assert told.status == status
    assert paces.asked == [("m", 7)]
    other = await Later(whole("openai"), features=features, paces=paces).ask(CallOptions(feature="chat"))
    assert other.status == 200
    assert len(paces.asked) == 1


async def test_a_full_queue_is_told_to_who_asked_and_nobody_else() -> None:
    class Full(Tickets):
        async def accept(self, call: object, wait_s: float) -> Ticket:
            raise RateLimited("Full.", retry_after_s=7)

    features = {"reports": Feature(name="reports", offload_s=0.5)}
    later = Later(whole("openai"), features=features)
    offload = Offload(Full(later.work.jobs, later.outbox), Paces(60.0), features, dialects=frozenset({"openai"}))
    world = World({"openai": [whole("openai")]}, offload=offload)
    told = await world.ask(asking("openai"), options=LATER)
    assert (told.status, told.headers["retry-after"]) == (429, "7")
    assert (await world.ask(asking("openai"), options=CallOptions(feature="reports"))).status == 200


async def test_a_ticket_is_its_tenants_alone_and_goes_with_all_that_is_kept() -> None:
    later = Later(whole("openai"))
    told = await later.ask()
    ticket, tenant_id = told.headers["tenfold-ticket"], later.world.principal.tenant_id
    other = principal("other")
    for tenant, name in ((other.tenant_id, ticket), (tenant_id, "tkt_1")):
        with pytest.raises(NotFound):
            await later.tickets.find(tenant, name)
    with pytest.raises(NotFound):
        await later.tickets.remove(other, ticket)
    assert [each.id for each in (await later.tickets.list(tenant_id)).items] == [ticket]
    await later.tickets.remove(later.world.principal, ticket)
    assert later.events == ["job.cancelled"]
    assert len(later.work.rows) == 0
    async with later.work.working(later.handlers):
        await asyncio.sleep(0.05)
    assert not later.world.sent


async def test_what_is_kept_names_its_principal() -> None:
    later = Later(whole("openai"))
    other = Principal(tenant_id=TenantId(uuid7()), tenant_slug="other", plan="pro")
    told = await later.ask(principal=other)
    async with later.work.working(later.handlers):
        for _ in range(1000):
            if later.world.sent:
                break
            await asyncio.sleep(0.005)
    assert told.status == 202
    assert later.world.outcomes.calls[-1].principal == other
