"""Calls of jobs: a step that was done is never paid again, and one that was interrupted is asked again."""

import asyncio
from datetime import datetime
from uuid import UUID

import pytest

from tenfold.core.call import Call, CallOptions
from tenfold.core.errors import IdempotencyInFlight, IdempotencyInterrupted, NotFound, StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.inference.background import MOST_ROUNDS, BackgroundCaller, Recorder
from tenfold.inference.policy import Policy
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import DIALECTS, FRAMES, REPLIES, World, asking, streamed, whole

BODY = asking("openai")


class Voided:
    def __init__(self, known: bool = True) -> None:
        self.receipts: list[tuple[TenantId, UUID, str]] = []
        self.known = known

    async def void(self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, *, source: str) -> None:
        if not self.known:
            raise NotFound("There is no such receipt.")
        self.receipts.append((tenant_id, receipt_id, source))


class Job:
    """As much of a JobContext as the caller looks at."""

    cancelled = False


async def ask(world: World, caller: BackgroundCaller, recorder: Recorder | None = None, body: bytes = BODY) -> Call:
    return await caller.call(
        world.principal, "chat", DIALECTS["openai"], body, recorder or Recorder(), key="job_1/answer"
    )


def hanging() -> FakeReply:
    return streamed("openai", stop_at=sum(map(len, FRAMES["openai"][:-1])), then="hang")


async def interrupted(world: World, caller: BackgroundCaller) -> None:
    """A call of this step was broken off after the provider was asked."""
    asked = len(world.sent)
    task = asyncio.create_task(ask(world, caller, body=asking("openai", stream=True)))
    while len(world.sent) == asked:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for call in world.pipeline.flights.calls:
        await world.pipeline.flights.stop(call)


async def test_a_step_is_paid_once_whoever_asks() -> None:
    world = World({"openai": [whole("openai")]})
    first, again = Recorder(), Recorder()
    paid = await ask(world, BackgroundCaller(world.pipeline), first)
    free = await ask(world, BackgroundCaller(world.pipeline), again)
    assert first.body == again.body == REPLIES["openai"]
    assert (first.status, again.status) == (200, 200)
    assert paid.cost_nano
    assert free.cost_nano == 0
    assert len(world.sent) == 1


async def test_a_stream_is_handed_on_as_it_comes() -> None:
    world = World({"openai": [streamed("openai")]})
    pieces: list[bytes] = []

    async def take(piece: bytes) -> None:
        pieces.append(piece)

    recorder = Recorder(take)
    call = await ask(world, BackgroundCaller(world.pipeline), recorder, asking("openai", stream=True))
    assert call.status == "ok"
    assert recorder.is_stream
    assert len(pieces) > 1
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")


async def test_what_was_interrupted_is_asked_again_under_the_same_key_at_the_provider() -> None:
    world = World({"openai": [hanging(), streamed("openai")]})
    caller = BackgroundCaller(world.pipeline, voided := Voided(), heeds_keys=lambda model: model == "m")
    await interrupted(world, caller)
    call = await ask(world, caller, body=asking("openai", stream=True))
    assert call.status == "ok"
    sent = [dict(request.headers)[b"idempotency-key"] for request in world.sent]
    assert sent == [b"job_1/answer.0", b"job_1/answer.0"]
    lost = world.outcomes.calls[0]
    assert lost.estimated
    assert voided.receipts == [(world.principal.tenant_id, lost.id, "repeated")]


@pytest.mark.parametrize("known", [True, False])
async def test_the_estimate_stays_where_the_provider_is_not_known_to_heed_keys(known: bool) -> None:
    world = World({"openai": [hanging(), streamed("openai")]})
    caller = BackgroundCaller(world.pipeline, voided := Voided(known), heeds_keys=lambda _model: not known)
    await interrupted(world, caller)
    call = await ask(world, caller, body=asking("openai", stream=True))
    assert call.status == "ok"
    assert voided.receipts == []


async def test_what_is_not_to_be_repeated_ends_in_the_error() -> None:
    world = World({"openai": [hanging()]})
    caller = BackgroundCaller(world.pipeline, repeat=False)
    await interrupted(world, caller)
    call = await ask(world, caller, body=asking("openai", stream=True))
    assert isinstance(call.error, IdempotencyInterrupted)
    assert len(world.sent) == 1


async def test_a_step_is_not_asked_for_ever() -> None:
    world = World({"openai": [hanging() for _ in range(MOST_ROUNDS)]})
    caller = BackgroundCaller(world.pipeline)
    for _ in range(MOST_ROUNDS):
        await interrupted(world, caller)
    call = await ask(world, caller, body=asking("openai", stream=True))
    assert isinstance(call.error, IdempotencyInterrupted)
    assert len(world.sent) == MOST_ROUNDS


async def test_a_reply_that_was_too_large_to_keep_is_not_paid_again() -> None:
    world = World({"openai": [whole("openai")]}, max_reply_bytes=10)
    await ask(world, BackgroundCaller(world.pipeline))
    call = await ask(world, BackgroundCaller(world.pipeline))
    assert isinstance(call.error, IdempotencyInterrupted)
    assert len(world.sent) == 1


async def test_a_call_that_runs_elsewhere_is_waited_for() -> None:
    world = World({"openai": [hanging()]})
    body = asking("openai", stream=True)
    task = asyncio.create_task(ask(world, BackgroundCaller(world.pipeline), body=body))
    while not world.sent:
        await asyncio.sleep(0)
    with pytest.raises(IdempotencyInFlight):
        await ask(world, BackgroundCaller(world.pipeline), body=body)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.pipeline.aclose(0)


async def test_the_database_away_is_a_matter_of_time() -> None:
    world = World({"openai": [whole("openai")]})
    world.keys.away = True
    with pytest.raises(StoreUnavailable):
        await ask(world, BackgroundCaller(world.pipeline))
    world.keys.away = False
    assert (await ask(world, BackgroundCaller(world.pipeline))).status == "ok"


async def test_an_error_of_the_provider_is_told_as_it_is() -> None:
    world = World({"openai": [FakeReply(status=400, body=b'{"error":{"message":"No.","type":"invalid"}}')]})
    recorder = Recorder()
    call = await ask(world, BackgroundCaller(world.pipeline), recorder)
    assert call.error is not None
    assert recorder.status == 400
    assert b"No." in recorder.body


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_cancelled_job_ends_its_call_and_a_stopped_worker_does_not(wanted: bool) -> None:
    world = World({"openai": [hanging()]})
    job = Job()
    job.cancelled = wanted
    caller = BackgroundCaller(world.pipeline)
    running = caller.call(
        world.principal,
        "chat",
        DIALECTS["openai"],
        asking("openai", stream=True),
        Recorder(),
        key="k",
        options=CallOptions(feature="f"),
        job=job,
    )
    task = asyncio.create_task(running)
    while not world.sent:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(world.pipeline.flights) == (0 if wanted else 1)
    await world.pipeline.aclose(0)
    world.assert_settled()


async def test_what_failed_and_was_paid_is_asked_anew_by_the_next_attempt_of_the_job() -> None:
    broken = streamed("openai", stop_at=sum(map(len, FRAMES["openai"][:-2])), then="reset")
    world = World({"openai": [broken, streamed("openai")]})
    body = asking("openai", stream=True)
    first = await ask(world, BackgroundCaller(world.pipeline), body=body)
    again = await ask(world, BackgroundCaller(world.pipeline), body=body)
    third = await ask(world, BackgroundCaller(world.pipeline), body=body)
    assert first.status == "cut"
    assert first.cost_nano
    assert (again.status, third.status) == ("ok", "ok")
    keys = [dict(request.headers)[b"idempotency-key"] for request in world.sent]
    assert keys == [b"job_1/answer.0", b"job_1/answer:1.0"]


async def test_a_question_has_one_key_at_each_target_however_often_it_is_asked() -> None:
    busy = FakeReply(status=503, body=b'{"error":{"message":"Busy.","type":"server_error"}}')
    world = World(
        {"openai": [busy, busy], "other": [busy, whole("openai")]}, route=Policy(retries=1, max_backoff_s=0.001)
    )
    call = await ask(world, BackgroundCaller(world.pipeline))
    assert call.status == "ok"
    keys = {
        name: [dict(request.headers)[b"idempotency-key"] for request in transport.requests]
        for name, transport in world.transports.items()
    }
    assert keys == {"openai": [b"job_1/answer.0"] * 2, "other": [b"job_1/answer.1"] * 2}


async def test_an_estimate_that_could_not_be_taken_back_is_when_the_step_is_asked_again() -> None:
    class AwayOnce(Voided):
        async def void(self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, *, source: str) -> None:
            if self.known:
                self.known = False
                raise StoreUnavailable("Away.")
            self.receipts.append((tenant_id, receipt_id, source))

    world = World({"openai": [hanging(), streamed("openai")]})
    caller = BackgroundCaller(world.pipeline, voided := AwayOnce(), heeds_keys=lambda _model: True)
    await interrupted(world, caller)
    with pytest.raises(StoreUnavailable):
        await ask(world, caller, body=asking("openai", stream=True))
    again = await ask(world, caller, body=asking("openai", stream=True))
    assert (again.status, again.cost_nano) == ("ok", 0)
    assert [receipt for _, receipt, _ in voided.receipts] == [world.outcomes.calls[0].id]
    assert len(world.sent) == 2
