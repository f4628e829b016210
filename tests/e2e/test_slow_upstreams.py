"""Upstreams that take too long, and more calls than one process may have: typed errors in good time."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.calls import PATHS, every_dialect, every_vendor, receipts
from tests.support.tenfold_process import STEADY, TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer

PATIENCE_S = 0.4
FLIGHTS = 6


@pytest.fixture(scope="module")
def hasty(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    """It waits for no upstream longer than a moment, and takes six calls at once."""
    waits = {
        f"TENFOLD_PROVIDERS_{vendor}_{name}": str(PATIENCE_S)
        for vendor in ("OPENAI", "ANTHROPIC", "GEMINI")
        for name in ("FIRST_BYTE_TIMEOUT_S", "IDLE_TIMEOUT_S")
    }
    environment = waits | {"TENFOLD_SERVER_MAX_IN_FLIGHT": str(FLIGHTS), "TENFOLD_SERVER_MAX_WAIT_S": "0.05"}
    folder = tmp_path_factory.mktemp("hasty")
    with TenfoldProcess(folder, configuration(upstream, STEADY), environment=environment) as process:
        yield process


async def ask(process: TenfoldProcess, dialect: str, model: str, text: str, **more: Any) -> httpx.Response:
    mark = more.pop("mark", "")
    body = {"model": model, "max_tokens": 300, "messages": [{"role": "user", "content": text}], **more}
    headers = {"Authorization": f"Bearer {process.key}", "Tenfold-Feature": mark}
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.post(f"{process.url}{PATHS[dialect]}", json=body, headers=headers)


@every_dialect
@every_vendor
@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_that_does_not_begin(
    hasty: TenfoldProcess, upstream: UpstreamServer, dialect: str, model: str, stream: bool
) -> None:
    mark = uuid.uuid4().hex
    reply = await ask(hasty, dialect, model, f"[[hang]] {mark}", mark=mark, stream=stream)
    assert reply.status_code == 504
    assert reply.json()["error"]["type"] == ("timeout_error" if dialect == "anthropic" else "server_error")
    assert upstream.wait_for(mark).closed.wait(1)
    [receipt] = await receipts(hasty, mark)
    assert (receipt["status"], receipt["error_code"]) == ("error", "upstream_timeout")
    assert receipt["total_nano"] > 0, "it has the request and may bill it"
    assert receipt["estimated"] is True


@every_dialect
@every_vendor
async def test_an_upstream_that_falls_silent(
    hasty: TenfoldProcess, upstream: UpstreamServer, dialect: str, model: str
) -> None:
    mark = uuid.uuid4().hex
    reply = await ask(hasty, dialect, model, f"Count to 40. [[stall 12]] {mark}", mark=mark, stream=True)
    assert reply.status_code == 200
    assert '"error"' in reply.text.rstrip().rpartition("\n\n")[2], "the last event tells"
    assert "[DONE]" not in reply.text
    assert upstream.wait_for(mark).closed.wait(1)
    [receipt] = await receipts(hasty, mark)
    assert receipt["status"] == "cut"
    assert receipt["total_nano"] > 0


async def test_more_calls_than_one_process_may_have(hasty: TenfoldProcess, upstream: UpstreamServer) -> None:
    mark = uuid.uuid4().hex
    with upstream.recording() as seen:
        began = time.monotonic()
        replies = await asyncio.gather(
            *(ask(hasty, "openai", "gpt-4o-mini", f"[[hang]] {mark}") for _ in range(FLIGHTS + 14))
        )
    statuses = sorted(reply.status_code for reply in replies)
    assert statuses.count(503) >= 14
    assert statuses.count(504) <= FLIGHTS
    assert len(seen) == statuses.count(504)
    refused = next(reply for reply in replies if reply.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "overloaded"
    assert time.monotonic() - began < 10
    assert (await ask(hasty, "openai", "gpt-4o-mini", "hello")).status_code == 200, "and then there is room again"


async def test_no_upstream_at_all(tenfold: TenfoldProcess) -> None:
    mark = uuid.uuid4().hex
    for dialect, kind in (("openai", "server_error"), ("anthropic", "api_error")):
        reply = await ask(tenfold, dialect, "nobody-there", "hello", mark=mark)
        assert (reply.status_code, reply.json()["error"]["type"]) == (502, kind)
    assert [row["error_code"] for row in await receipts(tenfold, mark, 2)] == ["upstream_unavailable"] * 2
