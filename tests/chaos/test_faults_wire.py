"""Each fault over each dialect, whole and streamed, shows on the wire what its name says."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from msgspec import DecodeError, json

from tenfold.app.chaos.http_client import Answer, post
from tenfold.app.faults import FaultyProvider
from tenfold.app.faults.answers import ABSURD_TOKENS, PIECES
from tenfold.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from tests.chaos.faulty import DIALECTS, READERS, ask, client, fetch, text_of, wired
from tests.support.processes import until

pytestmark = [
    pytest.mark.parametrize("dialect", DIALECTS),
    pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"]),
]

TEXT = "".join(PIECES)
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "kind": {"enum": ["a", "b"]},
        "parts": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["name", "kind", "parts"],
    "additionalProperties": False,
}


@pytest.fixture
async def provider() -> AsyncIterator[FaultyProvider]:
    async with FaultyProvider(seed=1) as running:
        yield running


def is_complete(dialect: str, answer: Answer, *, stream: bool) -> bool:
    """Whether Tenfold would take it for a complete reply."""
    try:
        text_of(dialect, answer.body, stream=stream)
    except (AssertionError, UpstreamError):
        return False
    return answer.status == 200 and answer.complete


# -- well


@pytest.mark.parametrize("model", ["any-model", "fault:none"])
async def test_a_reply_is_correct_and_complete(
    provider: FaultyProvider, dialect: str, model: str, *, stream: bool
) -> None:
    answer = await ask(provider, dialect, model, stream=stream)
    assert (answer.status, answer.complete) == (200, True)
    assert answer.headers["content-type"] == ("text/event-stream" if stream else "application/json")
    assert text_of(dialect, answer.body, stream=stream) == TEXT
    usage = usage_of(dialect, answer, stream=stream)
    assert usage is not None
    assert usage.output_tokens == len(PIECES)
    assert usage.input_tokens > 0


async def test_a_limit_of_tokens_is_kept(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    answer = await ask(provider, dialect, "fault:tokens=900", stream=stream)
    assert text_of(dialect, answer.body, stream=stream) == "word " * 500
    assert b"length" in answer.body or b"max_tokens" in answer.body.lower()


async def test_answers_fit_the_schema_asked_for(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    valid = Draft202012Validator(SCHEMA)
    text = await said(provider, dialect, "m", stream=stream)
    valid.validate(json.decode(text))
    for model in ("fault:off-schema", "fault:off-schema=text", "fault:off-schema=cut"):
        text = await said(provider, dialect, model, stream=stream)
        try:
            fits = valid.is_valid(json.decode(text))
        except DecodeError:
            fits = False
        assert not fits, model


# -- statuses


@pytest.mark.parametrize(
    ("fault", "status", "after"),
    [
        ("status=429", 429, None),
        ("status=429:7s", 429, 7.0),
        ("status=500", 500, None),
        ("status=503:2s", 503, 2.0),
        ("status=401", 401, None),
    ],
)
async def test_statuses(
    provider: FaultyProvider, dialect: str, fault: str, status: int, after: float | None, *, stream: bool
) -> None:
    answer = await ask(provider, dialect, f"fault:{fault}", stream=stream)
    assert (answer.status, answer.complete) == (status, True)
    assert answer.headers.get("retry-after") == (None if after is None else f"{after:.0f}")
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    error = READERS[dialect].decode_error(status, headers, answer.body)
    assert (error.status, error.retry_after_s) == (status, after)
    assert error.message == "The script says so."


async def test_a_page_in_place_of_a_reply(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    answer = await ask(provider, dialect, "fault:html", stream=stream)
    assert (answer.status, answer.complete) == (200, True)
    assert answer.headers["content-type"].startswith("text/html")
    assert b"<!doctype html>" in answer.body


async def test_a_redirect_to_a_private_address(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    own = await ask(provider, dialect, "fault:redirect", stream=stream)
    assert (own.status, own.headers["location"]) == (307, f"{provider.url}/_private")
    other = await ask(provider, dialect, "fault:redirect=http://169.254.169.254/latest", stream=stream)
    assert other.headers["location"] == "http://169.254.169.254/latest"
    assert provider.stats()["followed"] == 0
    await post(provider.port, "/_private", {}, b"", timeout_s=5)
    assert provider.stats()["followed"] == 1


async def test_an_empty_body(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    answer = await ask(provider, dialect, "fault:empty", stream=stream)
    assert (answer.status, answer.complete, answer.body) == (200, True, b"")


# -- silence, resets and cuts


async def test_silence_before_the_head(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    http = client(provider)
    with pytest.raises(UpstreamTimeout):
        await fetch(http, wired(dialect, "fault:hang", stream=stream))
    await http.aclose()
    await until(lambda: provider.stats()["total"]["statuses"] == {"none": 1})


@pytest.mark.parametrize("where", ["after-head", "mid-stream"])
async def test_silence_inside_a_reply(provider: FaultyProvider, dialect: str, where: str, *, stream: bool) -> None:
    http = client(provider)
    request = wired(dialect, f"fault:hang={where}", stream=stream)
    exchange = await http.post(request.path, [], request.body)
    seen = []
    with pytest.raises(UpstreamTimeout):
        async for block in exchange.blocks():
            seen.append(block)  # noqa: PERF401 - what came before the silence is kept
    assert bool(seen) == (where == "mid-stream")
    await http.aclose()
    await until(lambda: provider.stats()["total"]["in_flight"] == 0)
    assert provider.stats()["total"]["unfinished"] == 1


async def test_a_reset_before_the_head(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    with pytest.raises(ConnectionResetError):
        await raw(provider, dialect, "fault:reset", stream=stream)


async def test_a_reset_inside_a_reply(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    seen = bytearray()
    with pytest.raises(ConnectionResetError):
        await raw(provider, dialect, "fault:reset=mid-stream", stream=stream, seen=seen)
    assert seen.startswith(b"HTTP/1.1 200")
    assert not seen.endswith(b"0\r\n\r\n")


async def test_a_connection_that_closes_inside_a_reply(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    """Cleanly, as far as TCP goes; HTTP tells that something is missing."""
    seen = bytearray()
    await raw(provider, dialect, "fault:mid-stream-cut", stream=stream, seen=seen)
    assert not seen.endswith(b"0\r\n\r\n")
    answer = await ask(provider, dialect, "fault:mid-stream-cut", stream=stream)
    assert (answer.status, answer.complete) == (200, False)
    assert answer.body
    http = client(provider)
    with pytest.raises(UpstreamUnavailable):
        await fetch(http, wired(dialect, "fault:mid-stream-cut", stream=stream))
    await http.aclose()


async def test_a_reply_that_ends_for_http_only(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    answer = await ask(provider, dialect, "fault:mid-stream-end", stream=stream)
    assert (answer.status, answer.complete) == (200, True)
    assert b"Every" in answer.body or not stream
    assert not is_complete(dialect, answer, stream=stream)


@pytest.mark.parametrize("frames", [0, 1, 3])
async def test_cuts_come_after_so_many_frames(
    provider: FaultyProvider, dialect: str, frames: int, *, stream: bool
) -> None:
    answer = await ask(provider, dialect, f"fault:mid-stream-end={frames}", stream=stream)
    if stream:
        assert answer.body.replace(b"\r\n", b"\n").count(b"\n\n") == frames
    assert not is_complete(dialect, answer, stream=stream)


# -- bytes that are none


@pytest.mark.parametrize("fault", ["malformed", "malformed=chunk"])
async def test_json_that_is_none(provider: FaultyProvider, dialect: str, fault: str, *, stream: bool) -> None:
    answer = await ask(provider, dialect, f"fault:{fault}", stream=stream)
    assert (answer.status, answer.complete) == (200, True)
    assert not is_complete(dialect, answer, stream=stream)
    if stream:
        spoiled = answer.body.count(b"{,")
        assert spoiled == 1 if fault.endswith("chunk") else spoiled > len(PIECES)


async def test_an_error_in_place_of_the_rest(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    answer = await ask(provider, dialect, "fault:error-event", stream=stream)
    assert (answer.status, answer.complete) == (200, True)
    assert b"The script says so." in answer.body
    assert not is_complete(dialect, answer, stream=stream)


async def test_frames_that_come_twice(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    text = text_of(dialect, (await ask(provider, dialect, "fault:duplicate-frames", stream=stream)).body, stream=stream)
    assert text == ("".join(piece * 2 for piece in PIECES) if stream else TEXT)


@pytest.mark.parametrize(("fault", "tokens"), [("missing", None), ("zero", 0), ("absurd", ABSURD_TOKENS)])
async def test_wrong_usage(
    provider: FaultyProvider, dialect: str, fault: str, tokens: int | None, *, stream: bool
) -> None:
    answer = await ask(provider, dialect, f"fault:usage={fault}", stream=stream)
    assert text_of(dialect, answer.body, stream=stream) == TEXT
    usage = usage_of(dialect, answer, stream=stream)
    assert (None if usage is None else usage.output_tokens) == tokens


# -- too much


async def test_a_head_without_an_end(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    seen = await raw(provider, dialect, "fault:oversize=header", stream=stream, enough=1 << 20)
    assert b"\r\n\r\n" not in seen
    http = client(provider)
    with pytest.raises(UpstreamError):
        await fetch(http, wired(dialect, "fault:oversize=header", stream=stream))
    await http.aclose()


@pytest.mark.parametrize("fault", ["body", "event"])
async def test_a_body_without_an_end(provider: FaultyProvider, dialect: str, fault: str, *, stream: bool) -> None:
    seen = await raw(provider, dialect, f"fault:oversize={fault}", stream=stream, enough=1 << 20)
    assert seen.startswith(b"HTTP/1.1 200")
    events = seen.replace(b"\r\n", b"\n").count(b"\n\n") if stream else 0
    assert events > 1000 if stream and fault == "body" else events <= 2
    http = client(provider)
    with pytest.raises(UpstreamError):
        await fetch(http, wired(dialect, f"fault:oversize={fault}", stream=stream))
    await http.aclose()


async def test_a_bomb(provider: FaultyProvider, dialect: str, *, stream: bool) -> None:
    answer = await ask(provider, dialect, "fault:gzip-bomb", stream=stream)
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.body) < 1_500_000
    opened = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert opened.decompress(answer.body, 8 << 20) == b" " * (8 << 20)  # and on it goes
    assert len(answer.body) - len(opened.unconsumed_tail) < 100_000


# -- pace


async def test_waiting_is_as_long_as_was_ordered(dialect: str, *, stream: bool) -> None:
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    async with FaultyProvider("latency=50ms", pause=pause) as provider:
        await ask(provider, dialect, "m", stream=stream)
        assert waited == [0.05]
        waited.clear()
        answer = await ask(provider, dialect, "fault:pace=10ms", stream=stream)
        assert set(waited) == ({0.01} if stream else set())
        assert len(waited) >= len(PIECES) or not stream
        waited.clear()
        answer = await ask(provider, dialect, "fault:drip=3ms", stream=stream)
        assert text_of(dialect, answer.body, stream=stream) == TEXT
        assert waited.count(0.003) > len(answer.body) / 8


async def test_capacity_refuses_who_comes_beyond_it(dialect: str, *, stream: bool) -> None:
    release = asyncio.Event()

    async def pause(seconds: float) -> None:
        await release.wait()

    async with FaultyProvider("capacity=2:429:3s,latency=1s", pause=pause) as provider:
        first = [asyncio.create_task(ask(provider, dialect, "m", stream=stream)) for _ in range(2)]
        await until(lambda: provider.stats()["total"]["in_flight"] == 2)
        over = await ask(provider, dialect, "m", stream=stream)
        assert (over.status, over.headers["retry-after"]) == (429, "3")
        release.set()
        assert [answer.status for answer in await asyncio.gather(*first)] == [200, 200]
        assert (await ask(provider, dialect, "m", stream=stream)).status == 200
        assert provider.stats()["total"]["max_in_flight"] == 3


async def test_capacity_may_make_wait(dialect: str, *, stream: bool) -> None:
    release, served = asyncio.Event(), []

    async def pause(seconds: float) -> None:
        served.append(seconds)
        await release.wait()

    async with FaultyProvider("capacity=2:slow,latency=1s", pause=pause) as provider:
        asking = [asyncio.create_task(ask(provider, dialect, "m", stream=stream)) for _ in range(5)]
        await until(lambda: provider.stats()["total"]["in_flight"] == 5)
        assert len(served) == 2
        release.set()
        assert [answer.status for answer in await asyncio.gather(*asking)] == [200] * 5


# -- inside


def usage_of(dialect: str, answer: Answer, *, stream: bool) -> Any:
    reader = READERS[dialect]
    return reader.stream_facts(answer.body, answer.body).usage if stream else reader.usage_of_reply(answer.body)


async def said(provider: FaultyProvider, dialect: str, model: str, *, stream: bool) -> str:
    request = wired(dialect, model, stream=stream, schema=SCHEMA)
    answer = await post(provider.port, request.path, {}, request.body, timeout_s=10)
    return text_of(dialect, answer.body, stream=stream)


async def raw(
    provider: FaultyProvider,
    dialect: str,
    model: str,
    *,
    stream: bool,
    enough: int | None = None,
    seen: bytearray | None = None,
) -> bytearray:
    """The bytes as they come, into `seen`, until the connection ends or there are enough of them."""
    seen = bytearray() if seen is None else seen
    request = wired(dialect, model, stream=stream)
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    try:
        head = f"POST {request.path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(request.body)}\r\n\r\n"
        writer.write(head.encode() + request.body)
        while (block := await reader.read(65536)) and (enough is None or len(seen) < enough):
            seen += block
    finally:
        writer.transport.abort()
    return seen
