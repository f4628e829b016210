"""The whole way on a real database: a job ends, its event is posted over HTTP, OpenAI's SDK verifies what arrives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import json
from openai import OpenAI
from openai.types.webhooks import ResponseCompletedWebhookEvent

from tenfold.app.webhooking import GuardedSender, webhook_services
from tenfold.core.clock import SystemClock
from tenfold.core.errors import OutputInvalid
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.ports import Handler, JobContext
from tenfold.jobs.queries import PostgresJobRows
from tenfold.jobs.types import NewJob, Result
from tenfold.jobs.worker import JobWorker
from tenfold.providers.transport.egress import EgressGuard, GuardedClient
from tenfold.store import Store
from tenfold.webhooks import outbox as outboxes
from tenfold.webhooks.delivery import Deliver, GiveUp
from tenfold.webhooks.names import ENDPOINT, name_of
from tenfold.webhooks.outbox import WebhookOutbox
from tenfold.webhooks.ports import Outbox
from tenfold.webhooks.queries import PostgresWebhookRows
from tenfold.webhooks.types import KIND, KIND_DEAD, Delivery, DeliveryState, Event
from tests.jobs.parts import running
from tests.ledger.samples import add_tenant
from tests.support.raw_server import Peer, RawRequest, RawServer, whole

WHO = Principal(tenant_id=TenantId(uuid7()), tenant_slug="acme")
CLOCK = SystemClock()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "FIRST_RETRY_S", 0.001)
    monkeypatch.setattr(outboxes, "MOST_RETRY_S", 0.001)
    monkeypatch.setattr(outboxes, "MAX_ATTEMPTS", 4)


class Telling:
    """Ends with an event of the resource that its input names; "bad" fails after its event was asked for."""

    kind = "tell"
    after_death: str | None = None

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def run(self, job: JobContext) -> Result:
        resource = job.work.input.decode()
        jobs = await self._outbox.jobs_for(job.work.principal, Event(type="response.completed", resource=resource))
        if resource == "bad":
            raise OutputInvalid("it came to nothing", status=400)
        return Result(then=jobs)


class Receiver:
    """Answers with these statuses in turn, and with 200 from then on."""

    def __init__(self, *statuses: bytes) -> None:
        self.statuses = list(statuses)
        self.got: list[RawRequest] = []

    async def __call__(self, peer: Peer) -> None:
        self.got.append(await peer.request())
        await peer.send(whole(b"thanks", status=self.statuses.pop(0) if self.statuses else b"200 OK"))

    @property
    def resources(self) -> list[str]:
        return [json.decode(request.body)["data"]["id"] for request in self.got]


class Way:
    def __init__(self, store: Store, *, allow: tuple[str, ...] = ("127.0.0.0/8",)) -> None:
        job_rows, self.rows = PostgresJobRows(store), PostgresWebhookRows(store)
        sender = GuardedSender(GuardedClient(EgressGuard(allow=allow)))
        outbox = WebhookOutbox(self.rows, CLOCK)
        handlers: list[Handler] = [Telling(outbox), Deliver(self.rows, sender, CLOCK), GiveUp(self.rows)]
        self.jobs = JobService(job_rows, {"tell", KIND, KIND_DEAD}, followers=Followers(job_rows), clock=CLOCK)
        self.worker = JobWorker(job_rows, handlers, clock=CLOCK, hints=store, poll_s=0.02)
        services = webhook_services(store, sender, self.jobs, CLOCK)
        self.admin, self.log = services.admin, services.log

    async def tell(self, *resources: str) -> None:
        for resource in resources:
            await self.jobs.enqueue(NewJob(kind="tell", principal=WHO, input=resource.encode()))

    async def ended(self, endpoint: str, state: DeliveryState, count: int = 1) -> list[Delivery]:
        """Deliveries, the oldest first, once there are so many."""
        async with asyncio.timeout(60):
            while True:
                page = await self.log.list(WHO.tenant_id, endpoint, state=state)
                if len(page.items) == count:
                    return page.items[::-1]
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def open(self, store: Store) -> AsyncIterator["Way"]:
        await add_tenant(store, WHO.tenant_id)
        async with running(self.worker):
            yield self
            await self.worker.stop(5)
        await self.jobs.aclose()


async def test_an_event_arrives_and_is_verified_by_the_sdk(store: Store) -> None:
    receiver = Receiver()
    async with RawServer(receiver) as server, Way(store).open(store) as way:
        endpoint = await way.admin.create(WHO.tenant_id, f"{server.url}/in?a=1")
        await way.tell("bad", "resp_1")
        (delivery,) = await way.ended(name_of(ENDPOINT, endpoint.id), "delivered")
    (request,) = receiver.got  # what failed is not told of
    assert request.line == b"POST /in?a=1 HTTP/1.1"
    assert request.header(b"host") == f"127.0.0.1:{server.port}".encode()
    headers = {name.decode(): value.decode() for name, value in request.headers}
    event = OpenAI(api_key="-", webhook_secret=endpoint.secret).webhooks.unwrap(request.body, headers)
    assert isinstance(event, ResponseCompletedWebhookEvent)
    assert (event.data.id, event.object, event.id) == ("resp_1", "event", headers["webhook-id"])
    assert (delivery.attempts, delivery.last.status, delivery.last.reply) == (1, 200, "thanks")


async def test_of_one_resource_events_arrive_in_order_though_the_first_is_refused(store: Store) -> None:
    receiver = Receiver(b"503 Later", b"500 Oh")
    async with RawServer(receiver) as server, Way(store).open(store) as way:
        endpoint = await way.admin.create(WHO.tenant_id, server.url)
        jobs = [
            outboxes.new_job(WHO, endpoint.id, Event(type=f"batch.{how}", resource="batch_1"), CLOCK.now())
            for how in ("completed", "failed", "expired")
        ]
        for job in sorted(jobs, key=lambda each: each.id):
            await way.jobs.enqueue(job)
        ended = await way.ended(name_of(ENDPOINT, endpoint.id), "delivered", 3)
    told = [json.decode(request.body)["id"] for request in receiver.got]
    assert list(dict.fromkeys(told)) == [f"evt_{delivery.event_id.hex}" for delivery in ended]
    assert [delivery.attempts for delivery in ended] == [3, 1, 1]
    assert told == sorted(told, key=[f"evt_{delivery.event_id.hex}" for delivery in ended].index)


async def test_what_is_given_up_is_a_dead_letter_until_it_is_redelivered(store: Store) -> None:
    receiver = Receiver(*[b"500 Oh"] * 4)
    async with RawServer(receiver) as server, Way(store).open(store) as way:
        endpoint = name_of(ENDPOINT, (await way.admin.create(WHO.tenant_id, server.url)).id)
        await way.tell("resp_1")
        (failed,) = await way.ended(endpoint, "failed")
        assert failed.attempts == 4
        (dead,) = (await way.jobs.list(WHO.tenant_id, state="failed")).items
        assert (dead.id, dead.kind, dead.subject) == (failed.job_id, KIND, "resp_1")
        assert dead.error_message == "The endpoint did not take the event: it answered 500."
        assert (await way.log.redeliver_failed(WHO, endpoint, failed.created_at)).count == 1
        (delivered,) = await way.ended(endpoint, "delivered")
        assert (delivered.id, delivered.attempts) == (failed.id, 5)
        assert (await way.jobs.list(WHO.tenant_id, state="failed")).items == []
    assert len({request.header(b"webhook-id") for request in receiver.got}) == 1
    assert receiver.resources == ["resp_1"] * 5


async def test_an_address_of_the_inside_is_not_called_whoever_allowed_it_once(store: Store) -> None:
    receiver = Receiver()
    async with RawServer(receiver) as server, Way(store, allow=()).open(store) as way:
        endpoint = await Way(store).admin.create(WHO.tenant_id, server.url)
        await way.tell("resp_1")
        (failed,) = await way.ended(name_of(ENDPOINT, endpoint.id), "failed")
    assert failed.last.error == "The URL must begin with https://."
    assert receiver.got == []
