"""The batch tiers of the vendors and the fake of them: one contract."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from msgspec import json

from tenfold.core.errors import UpstreamError
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.anthropic.batches import AnthropicBatches
from tenfold.providers.batches.fake import FakeAnswer, FakeTier
from tenfold.providers.batches.http import Channel
from tenfold.providers.batches.ports import BatchTier
from tenfold.providers.batches.types import TierLine, TierResult
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.openai.batches import KEPT_S, OpenAIBatches
from tenfold.providers.ports import Wire
from tenfold.providers.transport.fake import FakeReply, FakeRequest, FakeTransport
from tests.support.upstream_batches import MESSAGE, Answer, AnthropicBatchUpstream, OpenAIBatchUpstream, Vendor

SINCE = datetime.now(UTC) - timedelta(hours=1)
GOOD = FakeAnswer(body=json.encode(MESSAGE))
BAD = FakeAnswer(
    outcome="refused",
    status=400,
    body=b'{"type":"error","error":{"type":"invalid_request_error","message":"no"},"request_id":null}',
)
EXPIRED = FakeAnswer(outcome="expired", status=500)
CANCELLED = FakeAnswer(outcome="cancelled", status=500)


def channel(wire: Wire, script: Callable[[FakeRequest], FakeReply]) -> Channel:
    transport = FakeTransport(script)
    shared = [(b"content-type", b"application/json"), *wire.request_headers("sk-key")]
    return Channel(wire=wire, transport=transport, prepared=transport.prepared(shared))


@dataclass
class Stage:
    """One tier, and who plays its vendor."""

    name: str
    tier: BatchTier
    vendor: Any
    path: str

    def lines(self, *texts: str) -> list[TierLine]:
        return [
            TierLine(number=number, path=self.path, body=json.encode({"model": "m", "text": text}))
            for number, text in enumerate(texts, start=1)
        ]

    def finish(self, batch_id: str, answer: Answer) -> None:
        self.vendor.finish(batch_id, answer)

    async def results(self, batch_id: str) -> dict[int, TierResult]:
        return {result.number: result async for result in self.tier.results(batch_id)}


@pytest.fixture(params=["fake", "openai", "anthropic"])
def stage(request: pytest.FixtureRequest) -> Stage:
    if request.param == "fake":
        fake = FakeTier()
        return Stage("fake", fake, fake, "/chat/completions")
    if request.param == "openai":
        openai = OpenAIBatchUpstream()
        return Stage("openai", OpenAIBatches(channel(OpenAIWire(), openai)), openai, "/chat/completions")
    anthropic = AnthropicBatchUpstream()
    return Stage("anthropic", AnthropicBatches(channel(AnthropicWire(), anthropic)), anthropic, "/v1/messages")


def key() -> str:
    return uuid4().hex


async def test_what_comes_of_each_line(stage: Stage) -> None:
    batch_id = await stage.tier.submit(key(), stage.lines("a", "b\nb", "c", "d", "e"))
    assert not (await stage.tier.state(batch_id)).ended
    said: dict[int, Any] = {}

    def answer(line: TierLine) -> FakeAnswer | None:
        said[line.number] = json.decode(line.body)["text"]
        return {"a": GOOD, "b\nb": BAD, "c": EXPIRED, "d": CANCELLED}.get(said[line.number])

    stage.finish(batch_id, answer)
    assert said == {1: "a", 2: "b\nb", 3: "c", 4: "d", 5: "e"}
    state = await stage.tier.state(batch_id)
    assert (state.ended, state.why) == (True, None)
    assert state.done >= 4
    results = await stage.results(batch_id)
    assert {number: result.outcome for number, result in results.items()} == {
        1: "answered",
        2: "refused",
        3: "expired",
        4: "cancelled",
    }
    assert (results[1].status, json.decode(results[1].body)["usage"]) == (200, MESSAGE["usage"])
    assert (results[2].status, json.decode(results[2].body)["error"]["message"]) == (400, "no")


async def test_it_takes_what_the_vendor_does(stage: Stage) -> None:
    assert stage.tier.takes(stage.path)
    assert not stage.tier.takes("/audio/speech")


async def test_a_batch_is_found_by_its_key(stage: Stage) -> None:
    """Also behind others, on the second page."""
    mine = key()
    batch_id = await stage.tier.submit(mine, stage.lines("a", "b"))
    others = [await stage.tier.submit(key(), stage.lines("c", "d")) for _ in range(3)]
    for one in (batch_id, *others):
        stage.finish(one, lambda line: GOOD)
    assert await stage.tier.find(mine, SINCE, 2) == batch_id
    assert await stage.tier.find(key(), SINCE, 2) is None


async def test_one_whose_reply_was_lost_is_found(stage: Stage) -> None:
    mine = key()
    stage.vendor.loses = 1
    with pytest.raises(UpstreamError):
        await stage.tier.submit(mine, stage.lines("a", "b"))
    if stage.name == "anthropic":
        with pytest.raises(UpstreamError) as raised:  # it may be this one, or somebody else's
            await stage.tier.find(mine, SINCE, 2)
        assert raised.value.retryable
        assert await stage.tier.find(mine, SINCE, 3) is None
        stage.finish("msgbatch_0", lambda line: GOOD)
    found = await stage.tier.find(mine, SINCE, 2)
    assert found is not None
    if stage.name == "anthropic":
        stage.vendor.age(found, timedelta(days=2))
        await stage.tier.submit(key(), stage.lines("a"))
        await stage.tier.submit(key(), stage.lines("a"))
        assert await stage.tier.find(mine, SINCE, 2) is None, "of before it was begun"


async def test_one_is_cancelled(stage: Stage) -> None:
    batch_id = await stage.tier.submit(key(), stage.lines("a", "b"))
    await stage.tier.cancel(batch_id)
    if stage.name != "fake":
        assert stage.vendor.is_cancelling(batch_id)
    stage.finish(batch_id, lambda line: GOOD if line.number == 1 else CANCELLED)
    await stage.tier.cancel(batch_id)
    results = await stage.results(batch_id)
    assert [results[number].outcome for number in (1, 2)] == ["answered", "cancelled"]


async def test_what_is_not_there_is_told(stage: Stage) -> None:
    for asking in (stage.tier.state("batch_x"), stage.tier.cancel("batch_x"), stage.results("batch_x")):
        with pytest.raises(UpstreamError) as raised:
            await asking
        assert raised.value.status == 404


async def test_a_batch_that_failed_as_a_whole_says_why() -> None:
    vendor = OpenAIBatchUpstream()
    tier = OpenAIBatches(channel(OpenAIWire(), vendor))
    lines = [TierLine(number=1, path="/embeddings", body=b"{}")]
    batch_id = await tier.submit(key(), lines)
    vendor.finish(batch_id, lambda line: None, why="Enqueued token limit reached")
    state = await tier.state(batch_id)
    assert (state.ended, state.why) == (True, "Enqueued token limit reached")
    assert [result async for result in tier.results(batch_id)] == []


async def test_files_at_openai_are_gone_in_time() -> None:
    vendor = OpenAIBatchUpstream()
    await OpenAIBatches(channel(OpenAIWire(), vendor)).submit(
        key(), [TierLine(number=1, path="/embeddings", body=b'{\r\n"a":1}')]
    )
    assert set(vendor.expiries.values()) == {str(KEPT_S)}
    assert len(vendor.files["file-0"].splitlines()) == 1


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"custom_id":"x","response":{"status_code":200}}', b"\xff"])
async def test_what_cannot_be_read_is_an_error(body: bytes) -> None:
    def script(request: FakeRequest) -> FakeReply:
        if request.path.endswith("/content") or request.path.endswith("/results"):
            return FakeReply(body=body)
        return FakeReply(body=b'{"id":"b","status":"completed","output_file_id":"f"}')

    for tier in (OpenAIBatches(channel(OpenAIWire(), script)), AnthropicBatches(channel(AnthropicWire(), script))):
        with pytest.raises(UpstreamError) as raised:
            [result async for result in tier.results("b")]
        assert raised.value.kind == "malformed_reply"


def test_the_vendors_are_what_the_stage_says() -> None:
    vendors: list[Vendor] = [OpenAIBatchUpstream(), AnthropicBatchUpstream()]
    assert vendors
