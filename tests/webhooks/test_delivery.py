"""One attempt after the other: what is posted, what is logged, when it is tried again, and what an endpoint's answers
make of it."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace
from openai import InvalidWebhookSignatureError, OpenAI

from tenfold.core.errors import (
    InvalidRequest,
    Overloaded,
    StoreUnavailable,
    TenfoldError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tenfold.jobs.types import NewJob, Result
from tenfold.webhooks import delivery as deliveries
from tenfold.webhooks.delivery import DISABLE_AFTER_S, MOST_AT_ONCE
from tenfold.webhooks.fake import FakeAnswer, FakeSender
from tenfold.webhooks.names import DELIVERY, ENDPOINT, name_of
from tenfold.webhooks.outbox import MOST_RETRY_S
from tenfold.webhooks.types import MAX_REPLY_BYTES, MIN_FAILURES, Delivery, Endpoint
from tests.webhooks.world import AT, URL, World


@pytest.fixture
def world() -> World:
    return World()


def answers(world: World, *them: FakeAnswer | TenfoldError) -> None:
    world.sender.answers = list(them)


async def logged(world: World, job: NewJob) -> Delivery:
    return await world.log.show(world.who.tenant_id, name_of(DELIVERY, job.id))


async def as_it_is(world: World, endpoint: Endpoint) -> Endpoint:
    return await world.admin.show(world.who.tenant_id, name_of(ENDPOINT, endpoint.id))


def verified_by(secret: str, world: World, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether OpenAI's SDK takes what was posted last, with this secret, now."""
    monkeypatch.setattr("time.time", lambda: world.clock.now().timestamp())
    posted = world.sender.posted[-1]
    headers = {name.decode(): value.decode() for name, value in posted.headers.items()}
    try:
        OpenAI(api_key="-").webhooks.unwrap(posted.body, headers, secret=secret)
    except InvalidWebhookSignatureError:
        return False
    return True


async def test_an_event_is_posted_and_logged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = await world.endpoint()
    answers(world, FakeAnswer(status=204, body=b"thanks"))
    job = await world.job()
    assert await world.attempt(job) == Result()
    (posted,) = world.sender.posted
    assert posted.url == URL
    assert posted.headers[b"content-type"] == b"application/json"
    assert posted.headers[b"webhook-timestamp"] == str(int(AT.timestamp())).encode()
    assert verified_by(endpoint.secret, world, monkeypatch)
    assert not verified_by((await world.endpoint()).secret, world, monkeypatch)
    delivery = await logged(world, job)
    assert posted.headers[b"webhook-id"] == f"evt_{delivery.event_id.hex}".encode()
    assert (delivery.state, delivery.attempts, delivery.body) == ("delivered", 1, posted.body)
    assert (delivery.last.status, delivery.last.reply, delivery.last.error) == (204, "thanks", None)


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (FakeAnswer(status=500, body=b"oh"), 500, None),
        (FakeAnswer(status=404), 404, None),
        (FakeAnswer(status=302, headers=[(b"location", b"http://10.0.0.1/")]), 302, None),
        (UpstreamTimeout("it did not answer"), None, "it did not answer"),
        (UpstreamUnavailable("hooks.example leads to no public address"), None, "leads to no public address"),
        (InvalidRequest("The URL must begin with https://.", param="url"), None, "must begin with https"),
    ],
)
async def test_what_is_not_taken_is_tried_again(
    answer: FakeAnswer | TenfoldError, status: int | None, error: str | None, world: World
) -> None:
    await world.endpoint()
    answers(world, answer, FakeAnswer())
    job = await world.job()
    failed = await world.attempt(job)
    assert isinstance(failed, UpstreamUnavailable)
    assert (failed.retryable, failed.retry_after_s) == (True, None)
    delivery = await logged(world, job)
    assert (delivery.state, delivery.last.status) == ("waiting", status)
    assert (error or "") in (delivery.last.error or "")
    world.clock.advance(5)
    assert await world.attempt(job) == Result()
    assert len({posted.headers[b"webhook-id"] for posted in world.sender.posted}) == 1
    delivery = await logged(world, job)
    assert (delivery.state, delivery.attempts, delivery.created_at) == ("delivered", 2, AT)
    page = await world.log.attempts(world.who.tenant_id, name_of(DELIVERY, job.id))
    assert [attempt.status for attempt in page.items] == [200, status]
    assert [attempt.at for attempt in page.items] == [AT + timedelta(seconds=5), AT]


@pytest.mark.parametrize(
    ("asked", "told"), [(b"7", 7.0), (b"999999999999", 6 * 3600.0), (b"soon", None), (b"-1", None)]
)
async def test_an_endpoint_may_ask_for_time(asked: bytes, told: float | None, world: World) -> None:
    await world.endpoint()
    answers(world, FakeAnswer(status=429, headers=[(b"retry-after", asked)]))
    failed = await world.attempt(await world.job())
    assert isinstance(failed, TenfoldError)
    assert failed.retry_after_s == told


async def test_what_it_answers_is_kept_as_far_as_it_can_be(world: World) -> None:
    await world.endpoint()
    answers(world, FakeAnswer(body=b"\0\xff" + "ü".encode() * MAX_REPLY_BYTES))
    job = await world.job()
    await world.attempt(job)
    reply = (await logged(world, job)).last.reply
    assert reply == "\ufffd\ufffd" + "ü" * (MAX_REPLY_BYTES // 2 - 1)


async def test_both_secrets_sign_for_the_time_of_grace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    old = await world.endpoint()
    new = await world.admin.rotate(world.who.tenant_id, name_of(ENDPOINT, old.id), grace_s=60)
    await world.attempt(await world.job("resp_1"))
    assert [verified_by(each.secret, world, monkeypatch) for each in (old, new)] == [True, True]
    world.clock.advance(60)
    await world.attempt(await world.job("resp_2"))
    assert [verified_by(each.secret, world, monkeypatch) for each in (old, new)] == [False, True]


async def test_a_delivery_whose_job_died_has_failed(world: World) -> None:
    await world.endpoint()
    answers(world, FakeAnswer(status=500))
    job = await world.job()
    await world.attempt(job)
    await world.die(job)
    assert (await logged(world, job)).state == "failed"
    await world.die(job)  # whoever does it twice has done it once
    await world.die(await world.job())  # and one that was never tried is none
    answers(world, FakeAnswer())
    assert await world.attempt(job) == Result()  # redriven
    assert (await logged(world, job)).state == "delivered"


async def test_an_endpoint_that_is_gone_is_disabled(world: World, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = await world.endpoint()
    answers(world, FakeAnswer(status=410))
    job, waits = await world.job("resp_1"), await world.job("resp_2")
    assert await world.attempt(job) == Result()  # nobody can redrive it: it is no dead letter
    assert (await logged(world, job)).state == "failed"
    assert (await as_it_is(world, endpoint)).disabled_by == "gone"
    assert "a webhook endpoint is disabled: gone" in caplog.text
    assert await world.attempt(waits) == Result()
    assert len(world.sender.posted) == 1
    delivery = await logged(world, waits)
    assert (delivery.state, delivery.last.status, delivery.last.error) == ("failed", None, "the endpoint is disabled")


async def test_an_endpoint_that_takes_nothing_for_days_is_disabled(world: World) -> None:
    endpoint = await world.endpoint()
    answers(world, FakeAnswer(status=500))
    for number in range(MIN_FAILURES):
        await world.attempt(await world.job(f"resp_{number}"))
    assert (await as_it_is(world, endpoint)).disabled_by is None
    world.clock.advance(DISABLE_AFTER_S)
    failed = await world.attempt(await world.job())
    assert isinstance(failed, UpstreamUnavailable)
    assert (await as_it_is(world, endpoint)).disabled_by == "failing"


async def test_what_waits_leaves_room_for_other_jobs_of_the_tenant(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_WAITING", 2)
    await world.endpoint()
    answers(world, FakeAnswer(status=500))
    jobs = [await world.job(f"resp_{number}") for number in range(3)]
    tried = [await world.attempt(job) for job in jobs]
    assert [isinstance(each, UpstreamUnavailable) for each in tried] == [True, True, False]
    late = await logged(world, jobs[-1])
    assert (late.state, late.last.status) == ("failed", 500)
    assert late.last.error == "it answered 500; 2 deliveries wait already, so this one is not tried again"
    assert isinstance(await world.attempt(jobs[0]), UpstreamUnavailable)  # what waits goes on
    world.who = world.other  # and so do other tenants
    await world.endpoint()
    assert isinstance(await world.attempt(await world.job()), UpstreamUnavailable)


async def test_what_was_cancelled_takes_no_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MAX_WAITING", 1)
    await world.endpoint()
    answers(world, FakeAnswer(status=500))
    await world.attempt(await world.job())
    world.clock.advance(2 * MOST_RETRY_S + 1)
    assert isinstance(await world.attempt(await world.job()), UpstreamUnavailable)


async def test_of_an_endpoint_that_was_ended_nothing_is_posted(world: World) -> None:
    endpoint = await world.endpoint()
    waits, new = await world.job("resp_1"), await world.job("resp_2")
    answers(world, FakeAnswer(status=500))
    await world.attempt(waits)
    await world.admin.end(world.who.tenant_id, name_of(ENDPOINT, endpoint.id))
    assert [await world.attempt(job) for job in (waits, new)] == [Result(), Result()]
    assert len(world.sender.posted) == 1
    assert (await logged(world, waits)).state == "failed"


async def test_a_job_only_sees_endpoints_of_its_tenant(world: World) -> None:
    await world.endpoint()
    job = replace(await world.job(), principal=world.other)
    assert (await world.attempt(job), world.sender.posted) == (Result(), [])


async def test_the_log_that_cannot_be_written_has_it_posted_again(world: World) -> None:
    await world.endpoint()
    job = await world.job()
    rows = world.rows

    class Failing(FakeSender):
        async def post(self, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> FakeAnswer:
            answer = await super().post(url, headers, body)
            rows.away = len(self.posted) == 1
            return answer

    world.sender = Failing()
    world.__post_init__()
    assert isinstance(await world.attempt(job), StoreUnavailable)
    rows.away = False
    assert await world.attempt(job) == Result()
    assert len({posted.headers[b"webhook-id"] for posted in world.sender.posted}) == 1


async def test_an_endpoint_that_hangs_does_not_take_all_slots(world: World) -> None:
    await world.endpoint()
    hang = asyncio.Event()

    class Hanging(FakeSender):
        async def post(self, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> FakeAnswer:
            await super().post(url, headers, body)
            await hang.wait()
            return FakeAnswer()

    world.sender = Hanging()
    world.__post_init__()
    jobs = [await world.job(f"resp_{number}") for number in range(MOST_AT_ONCE + 1)]
    tasks = [asyncio.create_task(world.attempt(job)) for job in jobs]
    while not tasks[-1].done():
        await asyncio.sleep(0)
    refused = tasks[-1].result()
    assert isinstance(refused, Overloaded)
    assert refused.retryable
    assert refused.retry_after_s is not None
    tasks[0].cancel()  # a slot that was broken off is free, too
    await asyncio.gather(tasks[0], return_exceptions=True)
    again = asyncio.create_task(world.attempt(jobs[-1]))
    hang.set()
    assert await asyncio.gather(*tasks[1:-1], again) == [Result()] * MOST_AT_ONCE
