"""Calls for embeddings that wait a moment for each other: who goes together, who gets what, and who stands for what."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from tenfold.core.chat import EmbeddingsRequest
from tenfold.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.facts import DEADLINE, REQUEST_ID
from tenfold.providers.http import HttpProvider
from tenfold.providers.micro_batching import MAX_BYTES, MicroBatching, Window
from tenfold.providers.openai import OpenAIMerge, OpenAIWire
from tenfold.providers.ports import Exchange, Headers, WireRequest, was_sent
from tenfold.providers.transport.fake import FakeReply, FakeRequest, FakeTransport

SOON = Window(seconds=0.001, inputs=8)
LATE = Window(seconds=60, inputs=8)  # nobody in a test waits for it to pass


def embedded(request: FakeRequest) -> FakeReply:
    """A vector that tells its text, three tokens each."""
    texts = json.decode(request.body)["input"]
    data = [{"index": number, "embedding": [float(text)]} for number, text in enumerate(texts)]
    usage = {"prompt_tokens": 3 * len(texts), "total_tokens": 3 * len(texts)}
    return FakeReply(
        headers=[(b"content-type", b"application/json"), (b"x-request-id", b"up-1"), (b"content-length", b"9")],
        body=json.encode({"object": "list", "data": data, "model": "m", "usage": usage}),
    )


def picky(bad: str, status: int = 400, body: bytes = b'{"error":{"message":"bad input"}}') -> Any:
    """An upstream that refuses whatever has `bad` in it."""

    def answer(request: FakeRequest) -> FakeReply:
        return FakeReply(status=status, body=body) if bad in inputs_of(request) else embedded(request)

    return answer


class Stage:
    def __init__(self, script: Iterable[FakeReply] | Callable[[FakeRequest], FakeReply], window: Window) -> None:
        self.transport = FakeTransport(script)
        http = HttpProvider("up", OpenAIWire(), self.transport, None, "/models")
        self.provider = MicroBatching(http, OpenAIMerge(), {"m": window})
        self._calls = 0

    async def ask(self, *texts: str, headers: Headers | None = None, **more: Any) -> list[float]:
        """Raises the UpstreamError of a status."""
        wire = self.provider.wire
        exchange = await self.provider.send(asking(*texts, **more), self.call() if headers is None else headers)
        body = await exchange.read()
        if exchange.status >= 300:
            raise wire.decode_error(exchange.status, exchange.headers, body)
        return [vector[0] for vector in wire.decode_embeddings(body).vectors]

    def call(self) -> Headers:
        self._calls += 1
        return [(REQUEST_ID, b"req_%d" % self._calls)]

    @property
    def asked(self) -> list[list[str]]:
        return [inputs_of(request) for request in self.transport.requests]


def asking(*texts: str, model: str = "m", **more: Any) -> WireRequest:
    return OpenAIWire().encode_embeddings(EmbeddingsRequest(model=model, inputs=list(texts), **more), model)


def inputs_of(request: FakeRequest) -> list[str]:
    inputs: list[str] = json.decode(request.body)["input"]
    return inputs


async def outcomes(*calls: Awaitable[list[float]]) -> list[Any]:
    """What each got: its vectors, or the status and message of its error."""
    told = await asyncio.gather(*calls, return_exceptions=True)
    return [(one.status, one.message) if isinstance(one, UpstreamError) else one for one in told]


async def test_calls_at_once_are_one_request() -> None:
    stage = Stage(embedded, SOON)
    assert await outcomes(stage.ask("1"), stage.ask("2", "3"), stage.ask("4")) == [[1], [2, 3], [4]]
    assert stage.asked == [["1", "2", "3", "4"]]
    assert (stage.provider.counts.requests, stage.provider.counts.joined) == (1, 3)


async def test_a_call_that_nobody_joined_passes_as_it_is() -> None:
    stage = Stage(embedded, SOON)
    headers: Headers = [(REQUEST_ID, b"req_1"), (b"openai-beta", b"x")]
    assert await stage.ask("1", headers=headers) == [1]
    sent = stage.transport.requests[0]
    assert (sent.body, sent.headers[-2:]) == (asking("1").body, headers)
    assert stage.provider.counts.joined == 0


async def test_a_full_request_goes_at_once_and_the_next_one_begins() -> None:
    stage = Stage(embedded, LATE)
    eight = [stage.ask(str(number)) for number in range(8)]
    assert await outcomes(*eight) == [[number] for number in range(8)]
    first = asyncio.create_task(stage.ask(*"12345"))
    second = asyncio.create_task(stage.ask(*"6789"))  # does not fit: the first goes
    third = asyncio.create_task(stage.ask(*"1234"))
    assert await outcomes(first, second, third) == [[1, 2, 3, 4, 5], [6, 7, 8, 9], [1, 2, 3, 4]]
    assert [len(asked) for asked in stage.asked] == [8, 5, 8]


async def test_what_does_not_go_with_others_goes_alone() -> None:
    stage = Stage(embedded, LATE)
    alone = [
        asyncio.create_task(stage.ask("1", model="another")),
        asyncio.create_task(stage.ask(*"12345678")),
        asyncio.create_task(stage.ask("1" * MAX_BYTES)),
        asyncio.create_task(stage.ask("1", headers=[*stage.call(), (b"idempotency-key", b"k")])),
    ]
    await asyncio.wait(alone)
    assert len(stage.asked) == 4


async def test_only_those_alike_go_together() -> None:
    stage = Stage(embedded, SOON)
    beta: Headers = [(b"openai-beta", b"x")]
    told = await outcomes(
        stage.ask("1"),
        stage.ask("2", dimensions=4),
        stage.ask("3", dimensions=4),
        stage.ask("4", headers=[*stage.call(), *beta]),
        stage.ask("5", headers=[*stage.call(), *beta]),
        stage.ask("6"),
    )
    assert told == [[1], [2], [3], [4], [5], [6]]
    assert sorted(stage.asked) == [["1", "6"], ["2", "3"], ["4", "5"]]


async def test_a_joined_request_has_an_id_of_its_own_and_the_latest_deadline() -> None:
    stage = Stage(embedded, SOON)
    await outcomes(*(stage.ask("1", headers=[*stage.call(), (DEADLINE, b"%d" % left)]) for left in (500, 70, 900)))
    await outcomes(stage.ask("1", headers=[*stage.call(), (DEADLINE, b"500")]), stage.ask("2"))
    first, second = (dict(request.headers) for request in stage.transport.requests)
    assert first[DEADLINE] == b"900"
    assert DEADLINE not in second
    assert first[REQUEST_ID] != second[REQUEST_ID]
    assert first[REQUEST_ID].startswith(b"joined_")


async def test_each_reply_has_the_head_that_came_but_for_its_length() -> None:
    stage = Stage(embedded, SOON)
    both = await asyncio.gather(*(stage.provider.send(asking("1"), stage.call()) for _ in range(2)))
    assert all(exchange.header(b"x-request-id") == b"up-1" for exchange in both)
    assert all(exchange.header(b"content-length") is None for exchange in both)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_refused_of_many_is_asked_of_each_alone(status: int) -> None:
    stage = Stage(picky("3", status), SOON)
    told = await outcomes(stage.ask("1"), stage.ask("2", "3"), stage.ask("4"))
    assert told == [[1], (status, "bad input"), [4]]
    assert sorted(stage.asked) == [["1"], ["1", "2", "3", "4"], ["2", "3"], ["4"]]
    assert stage.provider.counts.refused == 1


async def test_so_is_what_is_refused_with_a_good_status() -> None:
    body = b'{"error":{"message":"bad input","type":"invalid_request_error"}}'
    stage = Stage(picky("3", 200, body), SOON)
    assert (await outcomes(stage.ask("1"), stage.ask("3")))[0] == [1]
    assert len(stage.asked) == 3


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
async def test_what_is_no_ones_fault_is_told_to_each(status: int) -> None:
    reply = FakeReply(status=status, headers=[(b"retry-after", b"9")], body=b'{"error":{"message":"no"}}')
    stage = Stage([reply], SOON)
    assert await outcomes(stage.ask("1"), stage.ask("2")) == [(status, "no")] * 2
    assert len(stage.asked) == 1


@pytest.mark.parametrize("error", [UpstreamUnavailable("gone"), UpstreamTimeout("late", unanswered=True)])
async def test_each_gets_an_error_of_its_own(error: UpstreamError) -> None:
    stage = Stage([FakeReply(error=error)], SOON)
    one, two = await asyncio.gather(stage.ask("1"), stage.ask("2"), return_exceptions=True)
    assert isinstance(one, type(error))
    assert isinstance(two, type(error))
    assert one is not two
    assert (one.message, one.unanswered) == (two.message, two.unanswered) == (error.message, error.unanswered)


@pytest.mark.parametrize(
    "reply",
    [
        FakeReply(body=b'{"data":[]}', stop_at=5),
        FakeReply(body=b'{"data":[{"index":0,"embedding":[1]}]}'),
        FakeReply(body=b"<html>"),
    ],
)
async def test_a_reply_that_broke_fails_when_it_is_read(reply: FakeReply) -> None:
    """Its head was good, so it may be billed: that is told by where it fails."""
    stage = Stage([reply], SOON)
    both = await asyncio.gather(*(stage.provider.send(asking("1"), stage.call()) for _ in range(2)))
    for exchange in both:
        assert exchange.status == 200
        with pytest.raises(UpstreamError):
            await exchange.read()


async def test_who_failed_in_company_is_asked_alone_the_next_time() -> None:
    stage = Stage(picky("3", 500), SOON)
    calls = [stage.call() for _ in range(3)]
    assert (
        await outcomes(*(stage.ask(text, headers=call) for text, call in zip("123", calls, strict=True)))
        == [(500, "bad input")] * 3
    )
    again = [[(REQUEST_ID, call[0][1] + b"-1")] for call in calls]
    told = await outcomes(*(stage.ask(text, headers=call) for text, call in zip("123", again, strict=True)))
    assert told == [[1], [2], (500, "bad input")]
    assert stage.asked == [["1", "2", "3"], ["1"], ["2"], ["3"]]
    assert await outcomes(stage.ask("1", headers=calls[0]), stage.ask("2")) == [[1], [2]]
    assert stage.asked[-1] == ["1", "2"], "that was for once"


async def test_one_that_leaves_before_the_window_is_over_was_never_sent() -> None:
    stage = Stage(embedded, LATE)
    leaves = asyncio.create_task(stage.ask("1"))
    await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError) as left:
        await leaves
    assert not was_sent(left.value)
    eight = [stage.ask(str(number)) for number in range(8)]
    assert await outcomes(*eight) == [[number] for number in range(8)]
    assert stage.asked == [list("01234567")]


async def test_one_that_leaves_later_takes_nobody_with_it() -> None:
    stage = Stage(lambda request: FakeReply(silent=True), Window(seconds=60, inputs=2))
    one, two = (asyncio.create_task(stage.ask(text)) for text in "12")
    while not stage.asked:
        await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError) as left:
        await one
    assert was_sent(left.value)
    assert not two.done()
    two.cancel()
    await asyncio.wait([two])
    assert not await settled(stage), "with the last of them the request was given up"


async def settled(stage: Stage) -> int:
    """Requests still under way after those that were given up have ended."""
    for _ in range(5):
        await asyncio.sleep(0)
    return sum(task.get_name().startswith("providers.micro_batching") for task in asyncio.all_tasks())


async def test_who_waits_is_told_when_it_is_closed() -> None:
    stage = Stage(lambda request: FakeReply(silent=True), Window(seconds=60, inputs=2))
    sent = [asyncio.create_task(stage.ask(text)) for text in "12"]
    while not stage.asked:
        await asyncio.sleep(0)
    waits = asyncio.create_task(stage.ask("3"))
    await asyncio.sleep(0)
    await stage.provider.aclose()
    assert [status for status, _ in await outcomes(*sent, waits)] == [502] * 3
    assert stage.transport.closed


asked_at_once = st.lists(
    st.tuples(st.lists(st.integers(0, 99).map(str), min_size=1, max_size=4), st.sampled_from([None, 4, 8])),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=150)
@given(calls=asked_at_once, bad=st.sets(st.integers(0, 99).map(str), max_size=3), inputs=st.integers(1, 9))
def test_each_gets_what_it_would_get_alone(
    calls: list[tuple[list[str], int | None]], bad: set[str], inputs: int
) -> None:
    def answer(request: FakeRequest) -> FakeReply:
        refused = sorted(bad.intersection(inputs_of(request)))
        return FakeReply(status=400, body=b"{}") if refused else embedded(request)

    async def run() -> tuple[list[Any], Stage, list[Exchange]]:
        stage = Stage(
            answer, Window(seconds=0, inputs=inputs) if inputs == 9 else Window(seconds=0.0005, inputs=inputs)
        )
        told = await outcomes(*(stage.ask(*texts, dimensions=dimensions) for texts, dimensions in calls))
        await stage.provider.aclose()
        return told, stage, list(stage.transport.exchanges)

    told, stage, exchanges = asyncio.run(run())
    for (texts, _), got in zip(calls, told, strict=True):
        if bad.intersection(texts):
            assert got[0] == 400
        else:
            assert got == [float(text) for text in texts]
    assert all(len(asked) <= max(inputs, 4) for asked in stage.asked)
    assert all(exchange.complete or exchange.aborted for exchange in exchanges)  # type: ignore[attr-defined]
