"""Clients that leave: the upstream's connection is closed within a second, and the call is settled as cancelled."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from tests.e2e.calls import PATHS, VENDOR_MODELS, every_dialect, every_vendor, receipts
from tests.support.raw_client import RawClient, post
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_server import UpstreamServer

WITHIN_S = 1.0


class Caller:
    """One request on a connection of its own. `mark` finds it again, upstream and in the ledger."""

    def __init__(self, tenfold: TenfoldProcess, dialect: str, model: str, text: str, **more: Any) -> None:
        self.mark = uuid.uuid4().hex
        content: list[Any] = [{"type": "text", "text": f"{text} {self.mark}"}]
        if picture := more.pop("picture", None):
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}})
        body = {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": content}], **more}
        self.client = RawClient(tenfold.url)
        feature = f"Tenfold-Feature: {self.mark}\r\n".encode()
        self.client.send(post(PATHS[dialect], json.dumps(body).encode(), key=tenfold.key, headers=feature))


class Call(Protocol):
    def __call__(self, dialect: str, model: str, text: str, **more: Any) -> Caller: ...


@pytest.fixture
def call(tenfold: TenfoldProcess) -> Iterator[Call]:
    """Makes Callers; their connections end with the test."""
    with ExitStack() as connections:

        def make(dialect: str, model: str, text: str, **more: Any) -> Caller:
            caller = Caller(tenfold, dialect, model, text, **more)
            connections.callback(caller.client.close)
            return caller

        yield make


@every_vendor
@every_dialect
async def test_while_waiting_for_the_reply(
    tenfold: TenfoldProcess, upstream: UpstreamServer, call: Call, dialect: str, model: str
) -> None:
    caller = call(dialect, model, "[[hang]]")
    asked = upstream.wait_for(caller.mark)
    caller.client.close()
    assert asked.closed.wait(WITHIN_S)
    [told] = await receipts(tenfold, caller.mark)
    assert told["status"] == "cancelled"
    assert told["model_asked"] == model


@every_vendor
@every_dialect
async def test_in_the_middle_of_a_stream(
    tenfold: TenfoldProcess, upstream: UpstreamServer, call: Call, dialect: str, model: str
) -> None:
    caller = call(dialect, model, "Count to 50. [[stall 20]]", stream=True)
    asked = upstream.wait_for(caller.mark)
    caller.client.read_until(b" 7")
    caller.client.close()
    assert asked.closed.wait(WITHIN_S)
    [told] = await receipts(tenfold, caller.mark)
    assert told["status"] == "cancelled"
    assert told["stream"] is True
    assert told["http_status"] == 200
    assert told["estimated"] is True
    assert told["output_tokens"] > 0
    assert told["total_nano"] > 0, "what was produced is billed by the provider, and so by us"


@every_vendor
async def test_in_the_middle_of_a_whole_reply(
    tenfold: TenfoldProcess, upstream: UpstreamServer, call: Call, model: str
) -> None:
    """The upstream has answered and is billed; it is told so, or cancelled where the client was faster."""
    caller = call("openai", model, "[[hold middle]]")
    upstream.wait_for(caller.mark)
    caller.client.close()
    upstream.release("middle")
    [told] = await receipts(tenfold, caller.mark)
    assert told["status"] in ("cancelled", "ok")


async def test_after_a_large_body(tenfold: TenfoldProcess, upstream: UpstreamServer, call: Call) -> None:
    """The body came in many pieces, the last of which may have paused the reading of its connection."""
    for _ in range(10):
        caller = call("openai", "gpt-4o-mini", "[[hang]]", picture="A" * 2_000_000)
        asked = upstream.wait_for(caller.mark)
        caller.client.close()
        assert asked.closed.wait(WITHIN_S)


async def test_many_at_once(tenfold: TenfoldProcess, upstream: UpstreamServer, call: Call) -> None:
    callers = [call("openai", VENDOR_MODELS[number % 3], "[[hang]]") for number in range(60)]
    asked = [upstream.wait_for(caller.mark) for caller in callers]
    for caller in callers:
        caller.client.close()
    assert all(request.closed.wait(WITHIN_S) for request in asked)
    for caller in callers:
        [told] = await receipts(tenfold, caller.mark)
        assert told["status"] == "cancelled"


async def test_a_client_that_reads_nothing(tenfold: TenfoldProcess, upstream: UpstreamServer, call: Call) -> None:
    """A stream to a client that is there and takes nothing is not collected in memory."""
    before = tenfold.memory_bytes()
    caller = call("openai", "gpt-4o-mini", "Count to 500. [[wide 64]]", stream=True)
    asked = upstream.wait_for(caller.mark)
    await asyncio.to_thread(asked.answered.wait, 3)
    assert not asked.answered.is_set(), "the upstream is held back, as the client takes nothing"
    assert tenfold.memory_bytes() - before < 20 << 20
    caller.client.close()
    assert asked.closed.wait(WITHIN_S)
    [told] = await receipts(tenfold, caller.mark)
    assert told["status"] == "cancelled"


async def test_the_upstream_connection_is_used_again_after_a_whole_reply(
    tenfold: TenfoldProcess, upstream: UpstreamServer, call: Call
) -> None:
    """And only then: what was left half way is never continued by the next request."""
    for text in ("[[hang]]", "Count to 30. [[stall 9]]", "hello"):
        caller = call("openai", "gpt-4o-mini", text, stream="stall" in text)
        upstream.wait_for(caller.mark)
        if "[[" in text:
            caller.client.close()
            continue
        reply = caller.client.reply()
        assert reply is not None
        assert reply.json["choices"][0]["message"]["content"].startswith("You said: hello")
