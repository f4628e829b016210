"""Calls from inside go the one path: events instead of bytes, the same settlement, and leaving early cancels."""

import asyncio

import pytest

from tenfold.core.call import CallOptions
from tenfold.core.chat import ChatEvent, ChatRequest, Ended, Failed, Finished, Message, Metered, TextDelta, TextPart
from tenfold.core.errors import (
    BrokenStream,
    ModelNotFound,
    Overloaded,
    TenfoldError,
    UnsupportedParameter,
    UpstreamError,
)
from tenfold.core.usage import Usage
from tenfold.inference.canonical import InsideCaller
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import EVENT_STREAM, FRAMES, World, streamed

UPSTREAMS = ("openai", "anthropic", "gemini")
REQUEST = ChatRequest(model="m", messages=[Message(role="user", parts=[TextPart(text="Hi")])], temperature=0)


async def ask(world: World, request: ChatRequest = REQUEST, options: CallOptions | None = None) -> list[ChatEvent]:
    async with InsideCaller(world.pipeline).stream(world.principal, request, options or CallOptions()) as reply:
        return [event async for event in reply]


def text(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_the_events_of_a_reply(upstream: str) -> None:
    world = World({upstream: [streamed(upstream)]})
    events = await ask(world)
    assert text(events) == "Hello"
    assert [event.reason for event in events if isinstance(event, Finished)] == ["stop"]
    assert [event.usage for event in events if isinstance(event, Metered)] == [Usage(input_tokens=12, output_tokens=3)]
    assert isinstance(events[-1], Ended)
    call = world.outcomes.only
    assert (call.status, call.cost_nano, call.dialect, call.provider) == ("ok", 18_000, "canonical", upstream)
    world.assert_settled()


async def test_the_call_is_settled_when_the_block_ends() -> None:
    world = World({"openai": [streamed("openai")]})
    options = CallOptions(feature="ask")
    async with InsideCaller(world.pipeline).stream(world.principal, REQUEST, options) as reply:
        async for _ in reply:
            pass
    assert reply.call is world.outcomes.only
    assert reply.call.finished is not None
    assert reply.call.options.feature == "ask"


async def test_the_cache_answers_with_the_same_events() -> None:
    world = World({"openai": [streamed("openai")]})
    first, second = await ask(world), await ask(world)
    assert second == first
    assert [call.cache_state for call in world.outcomes.calls] == ["miss", "hit"]


async def test_a_long_reply_is_not_kept_waiting_in_memory() -> None:
    """The inbox is bounded: the upstream is read as the caller reads."""
    frames = [FRAMES["openai"][1]] * 500
    body = FRAMES["openai"][0] + b"".join(frames) + b"".join(FRAMES["openai"][3:])
    edges = [len(FRAMES["openai"][0]) + n * len(frames[0]) for n in range(501)]
    world = World({"openai": [streamed("openai", body=body, cuts=tuple(edges))]})
    async with InsideCaller(world.pipeline).stream(world.principal, REQUEST) as reply:
        for _ in range(400):
            await asyncio.sleep(0)
        assert 0 < reply.call.stream_bytes < len(body) / 2
        events = [event async for event in reply]
    assert text(events) == "Hel" * 500


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_a_refusal_is_raised_at_the_first_step(upstream: str) -> None:
    world = World({upstream: [FakeReply(status=429, headers=[(b"retry-after", b"5")], body=b"{}")]})
    with pytest.raises(UpstreamError) as caught:
        await ask(world)
    assert (caught.value.status, caught.value.retry_after_s) == (429, 5)
    assert world.outcomes.only.status == "error"


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (ChatRequest(model="other", messages=REQUEST.messages), ModelNotFound),
        (ChatRequest(model="m", messages=REQUEST.messages, n=2), UnsupportedParameter),
    ],
)
async def test_what_cannot_be_asked_is_raised(request_: ChatRequest, kind: type[TenfoldError]) -> None:
    world = World({"anthropic": []})
    with pytest.raises(kind):
        await ask(world, request_)


async def test_the_gate_holds_for_callers_inside() -> None:
    world = World({"openai": []}, max_in_flight=0)
    with pytest.raises(Overloaded):
        await ask(world)


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_a_broken_stream_is_raised_after_what_was_said(upstream: str) -> None:
    frames = FRAMES[upstream][:-1]
    world = World({upstream: [streamed(upstream, stop_at=sum(map(len, frames)))]})
    said = ""
    async with InsideCaller(world.pipeline).stream(world.principal, REQUEST) as reply:
        with pytest.raises(BrokenStream):
            async for event in reply:
                assert not isinstance(event, Ended | Failed)
                said += text([event])
    assert said.startswith("Hel")
    assert world.outcomes.only.status == "cut"


async def test_an_error_inside_the_stream_is_raised_in_its_own_words() -> None:
    body = FRAMES["openai"][0] + b'data: {"error":{"message":"The engine fell over","type":"server_error"}}\n\n'
    world = World({"openai": [FakeReply(headers=EVENT_STREAM, body=body)]})
    with pytest.raises(UpstreamError, match="The engine fell over"):
        await ask(world)


@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_leaving_early_cancels_the_call(taken: int) -> None:
    stop_at = sum(map(len, FRAMES["openai"][:-1]))
    world = World({"openai": [streamed("openai", stop_at=stop_at, then="hang")]})
    async with InsideCaller(world.pipeline).stream(world.principal, REQUEST) as reply:
        for _ in range(5):
            await asyncio.sleep(0)  # the upstream has been asked
        async for _ in reply:
            taken -= 1
            if taken <= 0:
                break
    assert world.outcomes.only.status == "cancelled"
    world.assert_settled()


async def test_a_caller_that_is_cancelled_cancels_the_call() -> None:
    world = World({"openai": [FakeReply(silent=True)]})
    task = asyncio.create_task(ask(world))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(world.sent) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.outcomes.only.status == "cancelled"
    world.assert_settled()


async def test_a_bug_on_the_path_reaches_the_caller() -> None:
    """It must not leave it waiting for an end that nobody tells."""

    def fail(_request: object) -> FakeReply:
        raise RuntimeError("a bug")

    world = World({"openai": fail})
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="a bug"):
            await ask(world)
    assert world.outcomes.only.status == "error"


@pytest.mark.parametrize("key", [None, "step-7"])
@pytest.mark.parametrize("silent", [False, True])
async def test_a_process_that_stops_tells_the_caller(key: str | None, silent: bool) -> None:
    """What it had heard by then does not pass as a whole reply."""
    stop_at = sum(map(len, FRAMES["openai"][:3]))
    reply = FakeReply(silent=True) if silent else streamed("openai", stop_at=stop_at, then="hang")
    world = World({"openai": [reply]})
    options = CallOptions(idempotency_key=key)
    task = asyncio.create_task(ask(world, options=options))
    for _ in range(20):
        await asyncio.sleep(0)
    await world.pipeline.aclose(0)
    with pytest.raises(Overloaded):
        await task
    world.assert_settled()
