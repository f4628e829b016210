"""Responses in the background: accepted, made once, followed from anywhere, cancelled, deleted, by the official SDK."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import openai
import pytest

from tenfold.core.errors import RateLimited, StoreUnavailable
from tenfold.inference.responses.types import id_of
from tenfold.jobs.types import MAX_CRASHES, Job
from tenfold.providers.transport.fake import FakeReply
from tests.edge.responses.house import House
from tests.support.openai_schema import assert_valid
from tests.support.pipeline import FRAMES, MODEL, streamed, whole

every_upstream = pytest.mark.parametrize("upstream", ["openai", "anthropic", "gemini"])


def hanging(upstream: str = "openai") -> FakeReply:
    return streamed(upstream, stop_at=sum(map(len, FRAMES[upstream][:3])), then="hang")


def failing(status: int = 503) -> FakeReply:
    return whole("openai", status=status, body=b'{"error":{"message":"Full","type":"server_error"}}')


async def begin(house: House, **more: Any) -> Any:
    return await house.client.responses.create(model=MODEL, input="Hi", background=True, **more)


async def until(find: Callable[[], Awaitable[Any]]) -> Any:
    """What other tasks bring about."""
    async with asyncio.timeout(20):
        while not (found := await find()):
            await asyncio.sleep(0.005)
        return found


async def ended(house: House, response_id: str) -> Any:
    async def look() -> Any:
        found = await house.client.responses.retrieve(response_id)
        return found if found.status not in ("queued", "in_progress") else None

    return await until(look)


def uuid_of(response_id: str) -> UUID:
    found = id_of(response_id)
    assert found is not None
    return found


async def job_of(house: House, response_id: str) -> Job | None:
    return await house.work.rows.find(house.acme.tenant_id, uuid_of(response_id))


async def told(house: House) -> list[str]:
    """The events that webhook jobs were added for."""
    jobs = await house.work.jobs.list(house.acme.tenant_id, kind="webhook", limit=100)
    kinds = []
    for job in jobs.items:
        body = await house.work.jobs.input(house.acme.tenant_id, job.id)
        assert body is not None
        kinds.append(json.loads(body)["type"])
    return kinds


async def numbers_and_types(stream: Any) -> list[tuple[int, str]]:
    return [(event.sequence_number, event.type) async for event in stream]


# -- made and polled -------------------------------------------------------------------------------


@every_upstream
async def test_it_is_made_in_the_background(upstream: str) -> None:
    async with House({upstream: [whole(upstream)]}) as house:
        queued = await begin(house, metadata={"a": "b"})
        assert (queued.status, queued.background, queued.output) == ("queued", True, [])
        assert_valid("Response", queued.model_dump(mode="json", exclude_unset=True))
        assert (await house.client.responses.retrieve(queued.id)).status == "queued"
        async with house.working():
            made = await ended(house, queued.id)
        assert (made.status, made.output_text, made.background) == ("completed", "Hello", True)
        assert (made.id, made.created_at, made.metadata) == (queued.id, queued.created_at, {"a": "b"})
        assert_valid("Response", made.model_dump(mode="json", exclude_unset=True))
        assert await told(house) == ["response.completed"]
        job = await job_of(house, queued.id)
        assert job is not None
        assert (job.state, job.subject) == ("done", queued.id)
        assert job.cost_nano == house.world.outcomes.only.cost_nano
        house.world.assert_settled()


async def test_while_it_waits_a_poll_says_when_to_come_again() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        queued = await begin(house)
        raw = await house.client.responses.with_raw_response.retrieve(queued.id)
        tag, wait = raw.headers["etag"], raw.headers["retry-after"]
        assert int(wait) == 1
        with pytest.raises(openai.APIStatusError) as same:
            await house.client.responses.retrieve(queued.id, extra_headers={"If-None-Match": tag})
        assert same.value.status_code == 304
        assert same.value.response.headers["retry-after"] == wait
        house.world.clock.advance(50)
        raw = await house.client.responses.with_raw_response.retrieve(queued.id)
        assert raw.headers["retry-after"] == "5"
        async with house.working():
            await ended(house, queued.id)
        raw = await house.client.responses.with_raw_response.retrieve(queued.id)
        assert raw.headers["etag"] != tag
        assert "retry-after" not in raw.headers


async def test_it_goes_on_from_another_and_another_from_it() -> None:
    async with House({"openai": [whole("openai") for _ in range(3)]}) as house:
        first = await house.client.responses.create(model=MODEL, input="one")
        second = await begin(house, previous_response_id=first.id)
        with pytest.raises(openai.BadRequestError, match="it is queued"):
            await house.client.responses.create(model=MODEL, input="x", previous_response_id=second.id)
        async with house.working():
            made = await ended(house, second.id)
        assert made.previous_response_id == first.id
        await house.client.responses.create(model=MODEL, input="three", previous_response_id=second.id)
        said = [message["content"] for message in json.loads(house.world.sent[-1].body)["messages"]]
        assert "one" in str(said[0])
        assert "Hi" in str(said[2])
        assert "three" in str(said[4])


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"model": "none"}, openai.NotFoundError),
        ({"input": 5}, openai.BadRequestError),
        ({"input": []}, openai.BadRequestError),
        ({"tools": [{"type": "web_search"}]}, openai.BadRequestError),
        ({"store": False}, openai.BadRequestError),
        ({"previous_response_id": "resp_" + "1" * 32}, openai.BadRequestError),
    ],
)
async def test_what_cannot_be_done_is_refused_at_once(asked: Any, kind: type[openai.APIStatusError]) -> None:
    async with House({"openai": []}) as house:
        with pytest.raises(kind):
            await house.client.post(
                "/responses", body={"model": MODEL, "input": "Hi", "background": True, **asked}, cast_to=object
            )
        assert len(house.rows) == len(house.work.rows) == 0


async def test_when_the_queue_is_full_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_new: Any) -> Any:
        raise RateLimited("As many jobs of this tenant wait already as may.", retry_after_s=7)

    async with House({"openai": []}) as house:
        monkeypatch.setattr(house.work.jobs, "enqueue", full)
        with pytest.raises(openai.RateLimitError) as refused:
            await begin(house)
        assert refused.value.response.headers["retry-after"] == "7"
        assert len(house.rows) == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_under_a_key_there_is_one(stream: bool) -> None:
    async with House({"openai": [streamed("openai") if stream else whole("openai")]}) as house:
        ids = set()
        async with house.working():
            for _ in range(2):
                made = await begin(house, stream=stream, extra_headers={"Idempotency-Key": "k"})
                ids.add([event async for event in made][-1].response.id if stream else made.id)
            made = await ended(house, next(iter(ids)))
        assert len(ids) == len(house.rows) == len(house.world.sent) == 1
        assert made.output_text == "Hello"


async def test_a_client_that_would_take_it_later() -> None:
    """`Prefer: respond-async`, RFC 7240."""
    async with House({"openai": [whole("openai"), whole("openai"), streamed("openai")]}) as house:
        asked: Any = {"model": MODEL, "input": "Hi", "extra_headers": {"Prefer": "respond-async"}}
        raw = await house.client.responses.with_raw_response.create(**asked)
        queued = raw.parse()
        assert (raw.status_code, queued.status, queued.background) == (202, "queued", True)
        assert raw.headers["location"] == f"/v1/responses/{queued.id}"
        assert raw.headers["preference-applied"] == "respond-async"
        assert raw.headers["retry-after"] == "1"
        async with house.working():
            assert (await ended(house, queued.id)).output_text == "Hello"
            raw = await house.client.responses.with_raw_response.create(
                **asked | {"extra_headers": {"Prefer": "respond-async, wait=20"}}
            )
            assert (raw.status_code, raw.parse().output_text) == (200, "Hello")
        events = [event async for event in await house.client.responses.create(**asked, stream=True)]
        assert events[-1].type == "response.completed"
        assert not events[-1].response.background


# -- when it fails ---------------------------------------------------------------------------------


async def test_an_error_that_may_pass_is_tried_again() -> None:
    async with House({"openai": [failing(), failing(), whole("openai")]}) as house:
        queued = await begin(house)
        async with house.working():
            for _ in range(2):
                asked = len(house.world.sent)
                await until(lambda asked=asked: _true(len(house.world.sent) > asked))  # type: ignore[misc]
                await until(lambda: _waits(house, queued.id))
                house.work.clock.advance(10)  # type: ignore[attr-defined]
            made = await ended(house, queued.id)
        assert made.status == "completed"


async def _true(value: bool) -> bool:
    return value


async def _waits(house: House, response_id: str) -> bool:
    job = await job_of(house, response_id)
    return job is not None and (job.state == "queued" or job.ended)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_that_stays_is_told(stream: bool) -> None:
    async with House({"openai": [failing(400)]}) as house:
        async with house.working():
            made = await begin(house, stream=stream)
            if stream:
                events = [event async for event in made]
                assert [event.type for event in events] == ["response.created", "response.queued", "response.failed"]
                assert [event.sequence_number for event in events] == [0, 1, 2]
                made = events[-1].response
            failed = await ended(house, made.id)
        assert failed.status == "failed"
        assert failed.error is not None
        assert "Full" in failed.error.message
        assert await told(house) == ["response.failed"]
        job = await job_of(house, made.id)
        assert job is not None
        assert job.state == "done", "it is no dead letter: trying again would not help"


async def test_a_stream_that_breaks_has_failed_with_what_there_was() -> None:
    broken = streamed("openai", stop_at=sum(map(len, FRAMES["openai"][:3])))
    async with House({"openai": [broken]}) as house, house.working():
        stream = await begin(house, stream=True)
        events = []
        with pytest.raises(openai.APIError):
            events = [event async for event in stream]
        rows = [row async for row in _rows(house)]
        made = await ended(house, rows[0])
        assert made.status == "failed"
        assert events == []


async def _rows(house: House) -> Any:
    for _, response_id in house.rows._rows:
        yield f"resp_{response_id.hex}"


async def test_one_whose_job_was_poison_has_failed_and_can_be_redriven() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        queued = await begin(house)
        rows, tenant_id = house.work.rows, house.acme.tenant_id
        for _ in range(MAX_CRASHES):
            worker = UUID(int=1)
            await rows.beat(worker, slots=1, busy=0, ended=0)
            await rows.claim(worker, ["response"], limit=1)
            house.work.clock.advance(60)  # type: ignore[attr-defined]
            await rows.take_over(dead_after_s=5, then=lambda kind: {"response": "response.dead"}.get(kind))
        job = await job_of(house, queued.id)
        assert job is not None
        assert job.state == "failed"
        failed = await house.client.responses.retrieve(queued.id)
        assert failed.status == "failed", "told before anybody cleared up"
        async with house.working():
            await until(lambda: _told(house))
            assert await told(house) == ["response.failed"]
            assert (await ended(house, queued.id)).error is not None
            await house.work.jobs.redrive(tenant_id, job.id)
            await until(lambda: _completed(house, queued.id))
        made = await house.client.responses.retrieve(queued.id)
        assert (made.status, made.output_text, made.error) == ("completed", "Hello", None)


async def _told(house: House) -> bool:
    return bool(await told(house))


async def _completed(house: House, response_id: str) -> bool:
    return (await house.client.responses.retrieve(response_id)).status == "completed"


async def test_one_whose_job_was_never_added_does_not_wait_for_ever() -> None:
    async with House({"openai": []}) as house:
        queued = await begin(house)
        await house.work.jobs.cancel(house.acme.tenant_id, uuid_of(queued.id))
        await house.work.jobs.discard(house.acme.tenant_id, uuid_of(queued.id))
        assert (await house.client.responses.retrieve(queued.id)).status == "queued"
        house.world.clock.advance(61)
        lost = await house.client.responses.retrieve(queued.id)
        assert lost.status == "failed"
        assert lost.error is not None


async def test_made_twice_it_is_paid_once() -> None:
    """A worker that dies after the answer and before the end: the next one finds it."""
    async with House({"openai": [whole("openai")]}) as house:
        queued = await begin(house)
        rows = house.rows
        finish, rows.finish = rows.finish, _never  # type: ignore[method-assign]
        async with house.working():
            await until(lambda: _true(bool(house.world.outcomes.calls)))
            rows.finish = finish  # type: ignore[method-assign]
            made = await until(lambda: _made(house, queued.id))
        assert made.output_text == "Hello"
        assert len(house.world.sent) == 1
        assert await told(house) == ["response.completed"]


async def _never(*_: Any, **__: Any) -> bool:
    raise StoreUnavailable("away")


async def _made(house: House, response_id: str) -> Any:
    house.work.clock.advance(10)  # type: ignore[attr-defined]
    found = await house.client.responses.retrieve(response_id)
    return found if found.status == "completed" else None


# -- followed --------------------------------------------------------------------------------------


@every_upstream
async def test_it_is_streamed_and_can_be_streamed_again(upstream: str) -> None:
    async with House({upstream: [streamed(upstream)]}) as house, house.working():
        stream = await begin(house, stream=True)
        events = [event async for event in stream]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        kinds = [event.type for event in events]
        assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
        assert kinds[-1] == "response.completed"
        assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello"
        response_id = events[0].response.id
        for after in (None, 0, 1, 2, 5, len(events) - 2, len(events) - 1, len(events) + 5):
            more: Any = {} if after is None else {"starting_after": after}
            again = await house.client.responses.retrieve(response_id, stream=True, **more)
            assert await numbers_and_types(again) == [
                (event.sequence_number, event.type) for event in events[0 if after is None else after + 1 :]
            ]
        async with house.client.responses.stream(response_id=response_id, starting_after=3) as helper:
            final = await helper.get_final_response()
        assert final.output_text == "Hello"
        assert (await house.client.responses.retrieve(response_id)).output_text == "Hello"
        assert await told(house) == ["response.completed"]


async def test_whoever_leaves_can_come_back_while_it_is_made() -> None:
    slow = hanging()
    async with House({"openai": [slow, streamed("openai")]}) as house, house.working():
        stream = await begin(house, stream=True)
        seen = []
        async for event in stream:
            seen.append((event.sequence_number, event.type))
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        first = await anext(aiter(_rows(house)))
        found = await house.client.responses.retrieve(first)
        assert found.status == "in_progress"
        again = await house.client.responses.retrieve(first, stream=True)
        replayed = []
        async for event in again:
            replayed.append((event.sequence_number, event.type))
            if len(replayed) == len(seen):
                break
        await again.close()
        assert replayed == seen
        await house.client.responses.cancel(first)


async def test_another_answer_of_another_worker_begins_anew() -> None:
    """The first worker goes while the provider answers, and what it would have said nobody knows."""
    other = streamed("openai")
    other = replace(other, body=other.body.replace(b'"lo"', b'"p!"'))
    async with House({"openai": [hanging(), other]}) as house:
        async with house.working():
            stream = await begin(house, stream=True)
            events = aiter(stream)
            seen: list[Any] = []
            while not seen or seen[-1].type != "response.output_text.delta":
                seen.append(await anext(events))
        for call in house.world.pipeline.flights.calls:
            await house.world.pipeline.flights.stop(call)
        async with house.working():
            seen += [event async for event in events]
        assert [event.sequence_number for event in seen] == list(range(len(seen)))
        kinds = [event.type for event in seen]
        since = kinds.index("tenfold.restart")
        text = "".join(event.delta for event in seen[since:] if event.type == "response.output_text.delta")
        assert text == seen[-1].response.output_text == "Help!"
        assert (await house.client.responses.retrieve(seen[0].response.id)).output_text == "Help!"
        again = await house.client.responses.retrieve(seen[0].response.id, stream=True)
        assert [event.to_dict() async for event in again] == [event.to_dict() for event in seen]
        assert len(house.world.sent) == 2
        assert await told(house) == ["response.completed"]


async def test_a_quiet_stream_says_that_it_lives() -> None:
    async with House({"openai": []}, quiet_s=0.01) as house:
        async with house.client.responses.with_streaming_response.create(
            model=MODEL, input="Hi", background=True, stream=True
        ) as raw:
            text = b""
            async for piece in raw.iter_bytes():
                text += piece
                if text.count(b": \n\n") > 2:
                    break
        assert text.startswith(b"event: response.created\n")


async def test_a_process_that_stops_lets_its_followers_go() -> None:
    async with House({"openai": []}) as house:
        stream = await begin(house, stream=True)
        events = aiter(stream)
        assert [(await anext(events)).sequence_number for _ in range(2)] == [0, 1]
        house.resource.stop()
        with pytest.raises(httpx2.RemoteProtocolError):
            await anext(events)
        with pytest.raises(openai.InternalServerError, match="stopping"):
            await begin(house, stream=True)
        assert len(house.rows) == 1


async def test_only_what_was_made_as_a_stream_can_be_streamed() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        queued = await begin(house)
        with pytest.raises(openai.BadRequestError, match="stream: true"):
            await house.client.responses.retrieve(queued.id, stream=True)
        for wrong in ("-1", "x", "1.5"):
            with pytest.raises(openai.BadRequestError):
                await house.client.get(f"/responses/{queued.id}?stream=true&starting_after={wrong}", cast_to=object)
        with pytest.raises(openai.BadRequestError):
            await house.client.get(f"/responses/{queued.id}?starting_after=1", cast_to=object)


async def test_a_stream_that_is_kept_no_more() -> None:
    async with House({"openai": [streamed("openai")]}) as house:
        async with house.working():
            events = [event async for event in await begin(house, stream=True)]
        response_id = events[0].response.id
        await house.work.jobs.discard(house.acme.tenant_id, uuid_of(response_id))
        with pytest.raises(openai.BadRequestError, match="no longer kept"):
            await house.client.responses.retrieve(response_id, stream=True)
        assert (await house.client.responses.retrieve(response_id)).output_text == "Hello"


# -- cancelled and deleted -------------------------------------------------------------------------


async def test_one_that_waits_is_cancelled_at_once() -> None:
    async with House({"openai": []}) as house:
        queued = await begin(house)
        for _ in range(2):
            cancelled = await house.client.responses.cancel(queued.id)
            assert cancelled.status == "cancelled"
            assert_valid("Response", cancelled.model_dump(mode="json", exclude_unset=True))
        async with house.working():
            await until(lambda: _told(house))
        assert await told(house) == ["response.cancelled"]
        assert house.world.sent == []


@pytest.mark.parametrize("stream", [False, True])
async def test_one_that_is_made_is_cancelled(stream: bool) -> None:
    async with House({"openai": [hanging()]}) as house, house.working():
        made = await begin(house, stream=stream)
        seen = []
        if stream:
            async for event in made:
                seen.append(event)
                if event.type == "response.output_text.delta":
                    break
            response_id = seen[0].response.id
        else:
            response_id = made.id
            await until(lambda: _true(bool(house.world.sent)))
        cancelled = await house.client.responses.cancel(response_id)
        assert cancelled.status == "cancelled"
        if stream:
            last = [event async for event in made][-1]
            assert (last.type, last.response.status) == ("response.incomplete", "cancelled")
        await until(lambda: _told(house))
        assert await told(house) == ["response.cancelled"]
        job = await job_of(house, response_id)
        assert job is not None
        assert job.state == "cancelled"
        assert (await house.client.responses.cancel(response_id)).status == "cancelled"
        house.world.assert_settled()


async def test_one_that_has_ended_stays_as_it_is() -> None:
    async with House({"openai": [whole("openai")]}) as house, house.working():
        queued = await begin(house)
        made = await ended(house, queued.id)
        assert await house.client.responses.cancel(queued.id) == made
        assert await told(house) == ["response.completed"]


@pytest.mark.parametrize("when", ["waiting", "running", "ended"])
async def test_deleted_nothing_of_it_is_left(when: str) -> None:
    async with House({"openai": [hanging() if when == "running" else streamed("openai")]}) as house:
        if when == "waiting":
            queued = await begin(house)
            await house.client.responses.delete(queued.id)
            assert await job_of(house, queued.id) is None
        else:
            async with house.working():
                stream = await begin(house, stream=True)
                if when == "running":
                    first = await anext(aiter(stream))
                    queued = first.response
                    await until(lambda: _true(bool(house.world.sent)))
                else:
                    queued = [event async for event in stream][-1].response
                    await ended(house, queued.id)
                    await until(lambda: _told(house))
                await house.client.responses.delete(queued.id)

                async def forgotten() -> bool:
                    house.work.clock.advance(5)  # type: ignore[attr-defined]
                    return await job_of(house, queued.id) is None

                await until(forgotten)
                await stream.close()
        with pytest.raises(openai.NotFoundError):
            await house.client.responses.retrieve(queued.id)
        assert len(house.rows) == 0
        assert await house.work.rows.events(house.acme.tenant_id, uuid_of(queued.id), after=0, limit=9) == []


async def test_another_tenant_cannot_follow_or_cancel() -> None:
    async with House({"openai": []}) as house:
        queued = await begin(house)
        for look in (
            house.other.responses.retrieve(queued.id, stream=True),
            house.other.responses.cancel(queued.id),
            house.other.responses.delete(queued.id),
        ):
            with pytest.raises(openai.NotFoundError):
                await look
        assert (await house.client.responses.retrieve(queued.id)).status == "queued"
