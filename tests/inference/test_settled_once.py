"""Whatever upstreams and clients do, every call is recorded once, nothing is left open, and what the client saw, the
status and the cost agree."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.call import DEFAULT_OPTIONS, CallOptions
from tenfold.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.ports import Headers
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import EVENT_STREAM, FRAMES, REPLIES, Client, World, asking, streamed, whole

UPSTREAMS = ("openai", "anthropic", "gemini")
JUNK = (b"", b"{}", b"null", b"<html>", b"data: {}\n\n", b"data: [DONE]\n\n", b"\xff\xfe", b'{"error":{"message":"x"}}')
HEADERS: tuple[Headers, ...] = (EVENT_STREAM, [], [(b"content-type", b"application/json"), (b"retry-after", b"2")])
ERRORS: tuple[UpstreamError | None, ...] = (
    *[None] * 6,
    UpstreamUnavailable("gone"),
    UpstreamTimeout("slow", unanswered=True),
)


@st.composite
def odd_replies(draw: st.DrawFn, upstream: str) -> FakeReply:
    """Anything a server may do."""
    body = draw(st.sampled_from([REPLIES[upstream], b"".join(FRAMES[upstream]), *JUNK]))
    return FakeReply(
        status=draw(st.sampled_from([200, 200, 200, 204, 302, 400, 401, 429, 500, 529])),
        headers=draw(st.sampled_from(HEADERS)),
        body=body,
        cuts=tuple(draw(st.lists(st.integers(0, 900), max_size=4))),
        stop_at=draw(st.none() | st.integers(0, len(body))),
        then=draw(st.sampled_from(["cut", "hang"])),
        silent=draw(st.sampled_from([False] * 9 + [True])),
        error=draw(st.sampled_from(ERRORS)),
    )


def replies(upstream: str) -> st.SearchStrategy[FakeReply]:
    return st.sampled_from([streamed(upstream), whole(upstream)]) | odd_replies(upstream)


@st.composite
def scripts(draw: st.DrawFn) -> dict[str, list[FakeReply]]:
    """One to three upstreams, two replies of each."""
    names = draw(st.lists(st.sampled_from(UPSTREAMS), min_size=1, max_size=3, unique=True))
    return {name: [draw(replies(name)), draw(replies(name))] for name in names}


@st.composite
def bodies(draw: st.DrawFn, client: str) -> bytes:
    good = [asking(client, temperature=t, stream=s) for t in (0, 1) for s in (False, True)]
    return draw(st.sampled_from([*good, *good, asking(client, model="other"), asking(client, temperature=9), b"{"]))


@dataclass(kw_only=True)
class Asker:
    """A call, its client, who may leave the stream, and at which steps it begins and is cancelled."""

    body: bytes
    client: Client
    options: CallOptions
    begins: int
    cancelled: int
    task: "asyncio.Task[Client] | None" = None


OPTIONS = (DEFAULT_OPTIONS, DEFAULT_OPTIONS, CallOptions(cache=frozenset({"exact"})))
KEYED = CallOptions(idempotency_key="k")


@st.composite
def askers(draw: st.DrawFn, name: str, options: Sequence[CallOptions] = OPTIONS) -> Asker:
    begins = draw(st.integers(0, 5) | st.integers(0, 60))
    return Asker(
        body=draw(bodies(name)),
        client=Client(leaves_after=draw(st.none() | st.integers(0, 4))),
        options=draw(st.sampled_from(options)),
        begins=begins,
        cancelled=begins + 1 + draw(st.integers(0, 60) | st.just(150)),
    )


@settings(deadline=None, max_examples=200)
@given(data=st.data(), script=scripts(), name=st.sampled_from(["openai", "anthropic"]))
async def test_every_call_is_recorded_once(data: st.DataObject, script: dict[str, list[FakeReply]], name: str) -> None:
    """One after the other; the second may be answered from memory."""
    world = World(script, max_in_flight=data.draw(st.sampled_from([0, *[1] * 7])))
    for number in (1, 2):
        asker = data.draw(askers(name))
        await run(world, name, [asker])
        assert len(world.outcomes.calls) == number
        world.assert_settled()
        assert_consistent(asker)


@settings(deadline=None, max_examples=300)
@given(data=st.data(), name=st.sampled_from(["openai", "anthropic"]))
async def test_every_call_of_many_at_once_is_recorded_once(data: st.DataObject, name: str) -> None:
    """They share flights, claim the same key, leave, and are cancelled at any step."""
    count = data.draw(st.integers(2, 5))
    world = World(
        {"openai": [data.draw(replies("openai")) for _ in range(count)]},
        max_in_flight=data.draw(st.sampled_from([2, *[10] * 7])),
        max_reply_bytes=data.draw(st.sampled_from([100, *[1 << 16] * 7])),
        max_entry_bytes=data.draw(st.sampled_from([100, *[1 << 16] * 7])),
    )
    world.keys.away = data.draw(st.sampled_from([False] * 7 + [True]))
    world.keys.lose_answer = data.draw(st.sampled_from([False] * 7 + [True]))
    all_askers = [data.draw(askers(name, [*OPTIONS, KEYED, KEYED])) for _ in range(count)]
    await run(world, name, all_askers)
    await world.pipeline.aclose(0)
    world.assert_settled()
    assert len(world.outcomes.calls) == count
    for asker in all_askers:
        assert_consistent(asker)
    assert world.admission.budgets.spent == sum(call.cost_nano or 0 for call in world.outcomes.calls)
    assert "in_flight" not in world.keys.states
    charged = [call for call in world.outcomes.calls if call.cost_nano]
    assert len(charged) <= len(world.sent)
    assert sum(call.options.idempotency_key is not None for call in charged) <= 1


async def run(world: World, name: str, askers: list[Asker]) -> None:
    """All of them, each from its step to its step, and then what goes on without them."""
    for step in range(max(asker.cancelled for asker in askers) + 1):
        for asker in askers:
            if asker.begins == step:
                asking_it = world.ask(asker.body, name, responder=asker.client, options=asker.options)
                asker.task = asyncio.create_task(asking_it)
            elif asker.cancelled == step and asker.task is not None:
                asker.task.cancel()
        await asyncio.sleep(0)
    tasks = [asker.task for asker in askers if asker.task is not None]
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, Client | asyncio.CancelledError)
    world.keys.away = world.keys.lose_answer = False
    for _ in range(100):
        await asyncio.sleep(0)


def assert_consistent(asker: Asker) -> None:
    """What the receipt says is what the client saw, if it stayed to see it."""
    call, client = asker.client.call, asker.client
    assert call is not None
    assert call.finished is not None
    assert call.finished >= call.started
    replayed = "idempotency-replayed" in client.headers
    if call.cache_state in ("hit", "coalesced") or replayed:
        assert call.cost_nano == 0
    elif call.cost_nano:
        assert call.usage is not None
    assert asker.task is not None
    if asker.task.cancelled() or client.left:
        assert client.status in (0, 200)
        return
    assert client.status == call.http_status
    match call.status:
        case "ok":
            assert call.error is None
            assert client.status == 200
            assert client.body
            assert replayed or call.usage is not None or call.cache_state == "hit"
        case "error":
            assert call.error is not None
            assert client.status == call.error.status >= 400
            assert not client.is_stream
            assert b'"error"' in client.body
        case "cut":
            assert call.error is not None
            assert client.is_stream
            assert client.status == 200
            assert b'"error"' in client.pieces[-1]
        case "cancelled":
            raise AssertionError("nobody left")
