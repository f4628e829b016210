"""The routes of batches over a real server, on rows and jobs in memory. No worker runs: the tests do the jobs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from msgspec import json

from tenfold.core.clock import FakeClock
from tenfold.core.errors import TenfoldError
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.edge.batches.resource import BatchesResource
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.edge.http import Request
from tenfold.inference import respond
from tenfold.inference.batches.fake import FakeBatchRows
from tenfold.inference.batches.handlers import Batches
from tenfold.inference.batches.running import DeadBatchHandler
from tenfold.inference.batches.types import KIND, KIND_DEAD, Endpoint, Spec
from tenfold.inference.files.fake import FakeFileRows
from tenfold.inference.files.handlers import Files
from tenfold.inference.files.types import file_name
from tenfold.jobs.fake import FakeJobRows
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.types import MAX_CRASHES
from tenfold.webhooks.fake import FakeOutbox
from tenfold.webhooks.types import KIND as WEBHOOK
from tests.inference.batches.samples import CHAT, FakeJob, line_of, put, result
from tests.support.http_server import Reply, Served, get, post
from tests.support.openai_schema import assert_valid
from tests.support.pipeline import principal


@dataclass(kw_only=True)
class Shop:
    served: Served
    rows: FakeBatchRows
    file_rows: FakeFileRows
    job_rows: FakeJobRows
    jobs: JobService
    outbox: FakeOutbox
    batches: Batches
    clock: FakeClock
    who: Principal

    async def create(self, *headers: str, **how: Any) -> Reply:
        asked = {"endpoint": CHAT, "completion_window": "24h"} | how
        if "input_file_id" not in asked:
            asked["input_file_id"] = await self.file()
        return await self.served.ask(post(json.encode(asked), "/v1/batches", *headers))

    async def file(self) -> str:
        return file_name(await put(self.file_rows, self.who, line_of(1) + line_of(2)))

    async def spec(self, name: str) -> Spec:
        return (await self.batches.find(self.who.tenant_id, name)).spec

    async def begin(self, name: str, total: int = 4) -> Spec:
        spec = await self.spec(name)
        await self.rows.begin(self.who.tenant_id, spec.id, total=total, model="m")
        return spec

    async def queued(self) -> list[tuple[str, str | None]]:
        page = await self.jobs.list(self.who.tenant_id, state="queued", limit=100)
        return sorted((job.kind, job.subject) for job in page.items)

    def dead_job(self, spec: Spec) -> FakeJob:
        return FakeJob(spec, kind=KIND_DEAD, data=spec.job_id.hex.encode())

    def dead_handler(self) -> DeadBatchHandler:
        return DeadBatchHandler(self.rows, Files(self.file_rows), self.outbox, self.jobs)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    clock = FakeClock()
    file_rows, job_rows, outbox = FakeFileRows(clock), FakeJobRows(clock), FakeOutbox()
    rows = FakeBatchRows(clock, file_rows)
    jobs = JobService(job_rows, {KIND, KIND_DEAD, WEBHOOK}, followers=Followers(job_rows), clock=clock)
    dialect = OpenAIDialect()
    endpoints = {
        CHAT: Endpoint(operation="chat", dialect=lambda: dialect),
        "/v1/embeddings": Endpoint(operation="embeddings", dialect=lambda: dialect),
    }
    batches = Batches(rows, Files(file_rows), jobs, outbox, endpoints)
    resource = BatchesResource(batches)

    async def handle(request: Request) -> None:
        try:
            await resource.handle(request, made.who)
        except TenfoldError as error:
            respond.refuse(error, dialect, "req_1", request)

    async with Served(handle) as served:
        made = Shop(
            served=served,
            rows=rows,
            file_rows=file_rows,
            job_rows=job_rows,
            jobs=jobs,
            outbox=outbox,
            batches=batches,
            clock=clock,
            who=principal(),
        )
        yield made
    await jobs.aclose()


def cancel(name: str) -> bytes:
    return post(b"", f"/v1/batches/{name}/cancel")


async def test_a_batch_is_a_job(shop: Shop) -> None:
    reply = await shop.create(metadata={"a": "b"}, output_expires_after={"anchor": "created_at", "seconds": 3600})
    made = reply.json()
    assert reply.status == 200
    assert_valid("Batch", {name: value for name, value in made.items() if value is not None})
    assert (made["status"], made["metadata"], made["errors"]) == ("validating", {"a": "b"}, None)
    assert made["expires_at"] - made["created_at"] == 86_400
    assert await shop.queued() == [(KIND, made["id"])]
    spec = await shop.spec(made["id"])
    asked = await shop.jobs.input(shop.who.tenant_id, spec.job_id)
    assert asked is not None
    assert json.decode(asked, type=Spec) == spec
    assert spec.output_keep_s == 3600
    assert (await shop.served.ask(get(f"/v1/batches/{made['id']}"))).json() == made


async def test_its_lines_have_the_options_of_its_request(shop: Shop) -> None:
    made = (await shop.create("Tenfold-Feature: nightly", "Idempotency-Key: k", "traceparent: 00-x")).json()
    options = (await shop.spec(made["id"])).options
    assert (options.feature, options.idempotency_key, options.traceparent) == ("nightly", None, None)


async def test_a_key_makes_one_batch(shop: Shop) -> None:
    file = await shop.file()
    first = (await shop.create("Idempotency-Key: k", input_file_id=file)).json()
    assert (await shop.create("Idempotency-Key: k", input_file_id=file)).json() == first
    other = await shop.create("Idempotency-Key: k", input_file_id=file, completion_window="48h")
    assert (other.status, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    assert len(await shop.queued()) == 1


@pytest.mark.parametrize(
    ("how", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"completion_window": "0h"}, "completion_window"),
        ({"completion_window": "169h"}, "completion_window"),
        ({"completion_window": 24}, "completion_window"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"n": 1}}, "metadata[...]"),
        ({"metadata": {"n": "\0"}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
        ({"output_expires_after": {"anchor": "now", "seconds": 3600}}, "output_expires_after.anchor"),
        ({"input_file_id": 7}, "input_file_id"),
        ({"more": 7}, None),
    ],
)
async def test_what_cannot_be_meant_is_refused(shop: Shop, how: dict[str, Any], param: str | None) -> None:
    reply = await shop.create(**how)
    assert (reply.status, reply.json()["error"]["param"]) == (400, param)
    assert await shop.queued() == []


async def test_bodies_that_are_none_are_refused(shop: Shop) -> None:
    for body in (b"", b"[]", b"{", b'{"endpoint": "a", "endpoint": "b"}'):
        assert (await shop.served.ask(post(body, "/v1/batches"))).status == 400
    assert (await shop.served.ask(post(b" " * 70_000, "/v1/batches"))).status == 413
    assert (await shop.create(input_file_id=file_name(UUID(int=1)))).status == 404


async def test_polling_is_told_when_to_come_again(shop: Shop) -> None:
    name = (await shop.create()).json()["id"]
    first = await shop.served.ask(get(f"/v1/batches/{name}"))
    assert first.headers["retry-after"] == "1"
    unchanged = get(f"/v1/batches/{name}", f"If-None-Match: {first.headers['etag']}")
    assert (await shop.served.ask(unchanged)).status == 304
    spec = await shop.begin(name, total=100)
    assert (await shop.served.ask(unchanged)).status == 200
    await shop.rows.record(shop.who.tenant_id, spec.id, [result(n) for n in range(1, 11)])
    shop.clock.advance(20)
    slow = await shop.served.ask(get(f"/v1/batches/{name}"))
    assert slow.headers["retry-after"] == "45"  # 2 s a line, 90 lines, a quarter of it
    assert slow.headers["tenfold-cost-usd"] == "0.00000007"
    assert slow.json()["usage"]["total_tokens"] == 130
    await shop.rows.end(shop.who.tenant_id, spec.id, "completed", keep_s=3600)
    done = await shop.served.ask(get(f"/v1/batches/{name}"))
    assert "retry-after" not in done.headers
    assert done.json()["completed_at"] is not None


async def test_cancelling_one_that_waits_ends_it_and_its_job(shop: Shop) -> None:
    name = (await shop.create()).json()["id"]
    reply = await shop.served.ask(cancel(name))
    assert (reply.status, reply.json()["status"]) == (200, "cancelled")
    spec = await shop.spec(name)
    assert (await shop.jobs.get(shop.who.tenant_id, spec.job_id)).state == "cancelled"
    assert await shop.queued() == [(WEBHOOK, name)]
    assert [event.type for _, event in shop.outbox.told] == ["batch.cancelled"]
    assert (await shop.served.ask(cancel(name))).json()["status"] == "cancelled"
    assert await shop.queued() == [(WEBHOOK, name)]


async def test_cancelling_one_under_way_is_a_wish(shop: Shop) -> None:
    name = (await shop.create()).json()["id"]
    spec = await shop.begin(name)
    for _ in range(2):
        reply = await shop.served.ask(cancel(name))
        assert (reply.status, reply.json()["status"]) == (200, "cancelling")
    assert (await shop.jobs.get(shop.who.tenant_id, spec.job_id)).state == "queued"
    await shop.rows.end(shop.who.tenant_id, spec.id, "completed", keep_s=3600)
    ended = await shop.served.ask(cancel(name))
    assert (ended.status, ended.json()["error"]["code"]) == (409, "conflict")


async def test_batches_are_listed_a_page_at_a_time(shop: Shop) -> None:
    made = sorted([(await shop.create()).json()["id"] for _ in range(3)], reverse=True)
    page = (await shop.served.ask(get("/v1/batches?limit=2"))).json()
    assert ([batch["id"] for batch in page["data"]], page["has_more"]) == (made[:2], True)
    rest = (await shop.served.ask(get(f"/v1/batches?limit=2&after={page['last_id']}"))).json()
    assert ([batch["id"] for batch in rest["data"]], rest["has_more"]) == (made[2:], False)
    for query in ("limit=0", "limit=101", "after=batch_1"):
        assert (await shop.served.ask(get(f"/v1/batches?{query}"))).status == 400


async def test_another_tenant_sees_nothing_of_it(shop: Shop) -> None:
    file = await shop.file()
    name = (await shop.create()).json()["id"]
    shop.who = principal("other")
    assert (await shop.served.ask(get(f"/v1/batches/{name}"))).status == 404
    assert (await shop.served.ask(cancel(name))).status == 404
    assert (await shop.served.ask(get("/v1/batches"))).json()["data"] == []
    assert (await shop.create(input_file_id=file)).status == 404


async def test_what_is_not_there_is_not_found(shop: Shop) -> None:
    asks = (get("/v1/batches/x"), get("/v1/batches/x/y"), post(b"", "/v1/batches/x"), cancel("batch_1"))
    for ask in asks:
        assert (await shop.served.ask(ask)).status == 404


async def test_a_batch_whose_job_was_given_up_has_failed(shop: Shop) -> None:
    name = (await shop.create()).json()["id"]
    spec = await shop.begin(name)
    await shop.rows.record(shop.who.tenant_id, spec.id, [result(1), result(2, failed=True)])
    dead = await shop.dead_handler().run(shop.dead_job(spec))
    batch = (await shop.served.ask(get(f"/v1/batches/{name}"))).json()
    assert batch["status"] == "failed"
    assert len(batch["errors"]["data"]) == 1
    assert batch["output_file_id"] is not None  # what was paid for is not lost
    assert batch["error_file_id"] is not None
    assert [event.type for _, event in shop.outbox.told] == ["batch.failed"]
    assert len(dead.then) == 1
    await shop.dead_handler().run(shop.dead_job(spec))
    assert (await shop.served.ask(get(f"/v1/batches/{name}"))).json() == batch


async def test_one_that_was_never_written_down_is_found_by_its_job(shop: Shop) -> None:
    name = (await shop.create()).json()["id"]
    spec = await shop.spec(name)
    shop.rows._kept.clear()
    await shop.dead_handler().run(shop.dead_job(spec))
    assert (await shop.served.ask(get(f"/v1/batches/{name}"))).json()["status"] == "failed"


async def test_one_that_is_overdue_is_ended(shop: Shop) -> None:
    name = (await shop.create()).json()["id"]
    spec = await shop.spec(name)
    shop.clock.advance(86_400 + 3600)
    await shop.batches.expire()
    await shop.batches.expire()
    assert await shop.queued() == [(KIND, name), (KIND_DEAD, name)]
    await shop.dead_handler().run(shop.dead_job(spec))
    batch = (await shop.served.ask(get(f"/v1/batches/{name}"))).json()
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "overdue")
    shop.clock.advance(30 * 86_400)
    assert await shop.batches.expire() == 1
    assert (await shop.served.ask(get(f"/v1/batches/{name}"))).status == 404


async def test_one_whose_job_alone_was_cancelled_is_cancelled(shop: Shop) -> None:
    name = (await shop.create()).json()["id"]
    spec = await shop.spec(name)
    await shop.jobs.cancel(shop.who.tenant_id, spec.job_id)
    for _ in range(2):
        await shop.served.ask(get(f"/v1/batches/{name}"))
    assert await shop.queued() == [(KIND_DEAD, name)]
    await shop.dead_handler().run(shop.dead_job(spec))
    assert (await shop.served.ask(get(f"/v1/batches/{name}"))).json()["status"] == "cancelled"


async def test_a_long_batch_survives_the_deaths_of_workers_if_it_gets_on(shop: Shop) -> None:
    name = (await shop.create()).json()["id"]
    spec = await shop.begin(name, total=100)
    for first in (1, 6):
        await shop.rows.record(shop.who.tenant_id, spec.id, [result(first + n) for n in range(5)])
        await poison(shop, spec.job_id)
        (again,) = (await shop.dead_handler().run(shop.dead_job(spec))).then
        assert (again.kind, again.subject) == (KIND, name)
        spec = json.decode(again.input, type=Spec)
        assert spec.job_id == again.id
        await shop.jobs.enqueue(again)
    await shop.rows.record(shop.who.tenant_id, spec.id, [result(11)])
    await poison(shop, spec.job_id)  # after less than a twentieth of its lines
    await shop.dead_handler().run(shop.dead_job(spec))
    batch = (await shop.served.ask(get(f"/v1/batches/{name}"))).json()
    assert (batch["status"], batch["request_counts"]["completed"]) == ("failed", 11)
    assert batch["errors"]["data"][0]["code"] == "poison"


async def poison(shop: Shop, job_id: UUID) -> None:
    """As if workers had died with it."""
    for _ in range(MAX_CRASHES):
        holder = uuid7()
        shop.clock.advance(3600)
        await shop.job_rows.beat(holder, slots=9, busy=0, ended=0)
        while not any(work.job.id == job_id for work in await shop.job_rows.claim(holder, {KIND}, limit=9)):
            shop.clock.advance(3600)
            await shop.job_rows.beat(holder, slots=9, busy=0, ended=0)
        shop.clock.advance(60)
        await shop.job_rows.beat(uuid7(), slots=9, busy=0, ended=0)
        await shop.job_rows.take_over(dead_after_s=5, then=lambda _kind: None)
    assert (await shop.jobs.get(shop.who.tenant_id, job_id)).state == "failed"


async def test_the_database_away_is_told(shop: Shop) -> None:
    shop.rows.away = True
    assert (await shop.served.ask(get("/v1/batches"))).status == 503
