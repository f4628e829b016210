"""Whatever upstreams and clients do, every call is recorded once, nothing is left open, and what the client saw, the
status and the cost agree."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.call import Call
from tenfold.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.ports import Headers
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import EVENT_STREAM, FRAMES, REPLIES, Client, World, asking, streamed, whole

UPSTREAMS = ("openai", "anthropic", "gemini")
JUNK = (b"", b"{}", b"null", b"<html>", b"data: {}\n\n", b"data: [DONE]\n\n", b"\xff\xfe", b'{"error":{"message":"x"}}')
HEADERS: tuple[Headers, ...] = (EVENT_STREAM, [], [(b"content-type", b"application/json"), (b"retry-after", b"2")])
ERRORS: tuple[UpstreamError | None, ...] = (*[None] * 6, UpstreamUnavailable("gone"), UpstreamTimeout("slow"))


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


@st.composite
def clients(draw: st.DrawFn) -> tuple[Client, int]:
    """One that may leave, and after how many steps its call is cancelled."""
    return Client(leaves_after=draw(st.none() | st.integers(0, 4))), draw(st.integers(0, 60) | st.just(60))


@settings(deadline=None, max_examples=200)
@given(data=st.data(), script=scripts(), name=st.sampled_from(["openai", "anthropic"]))
async def test_every_call_is_recorded_once(data: st.DataObject, script: dict[str, list[FakeReply]], name: str) -> None:
    world = World(script, max_in_flight=data.draw(st.sampled_from([0, *[1] * 7])))
    body = data.draw(bodies(name))
    for number, (client, steps) in enumerate(data.draw(st.tuples(clients(), clients())), 1):
        # The second may be answered from memory.
        task = asyncio.create_task(world.ask(body, name, responder=client))
        await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():
            assert task.exception() is None
        assert len(world.outcomes.calls) == number
        world.assert_settled()
        assert_consistent(world.outcomes.calls[-1], client, was_cancelled=task.cancelled())


def assert_consistent(call: Call, client: Client, *, was_cancelled: bool) -> None:
    assert call.finished is not None
    assert call.finished >= call.started
    if call.cache_state == "hit":
        assert call.cost_nano == 0
    else:
        assert (call.cost_nano is None) == (call.usage is None)
    if was_cancelled:
        assert call.status == "cancelled"
    match call.status:
        case "ok":
            assert call.error is None
            assert client.status == call.http_status == 200
            assert client.body
            assert call.usage is not None
        case "error":
            assert call.error is not None
            assert not call.estimated
            assert client.status == call.http_status == call.error.status >= 400
            assert not client.is_stream
            assert b'"error"' in client.body
        case "cut":
            assert call.error is not None
            assert client.is_stream
            assert client.status == call.http_status == 200
            assert b'"error"' in client.pieces[-1]
        case "cancelled":
            assert client.status in (0, 200)
