"""kill -9 of workers and of the supervisor: what is left ends by itself, and the same home starts again."""

import asyncio
import contextlib
import os
import signal
import uuid
from pathlib import Path

import httpx

from tests.e2e.calls import ask, receipts
from tests.support.raw_client import RawClient, post
from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer, eventually


async def test_a_worker_is_killed(upstream: UpstreamServer, tmp_path: Path) -> None:
    """Another takes its place; what it was calling is cancelled by the kernel, and its receipts on disk are kept."""
    mark = uuid.uuid4().hex
    with TenfoldProcess(tmp_path, configuration(upstream)) as process:
        [worker] = process.workers()
        body = b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "[[hang]] %b"}]}' % mark.encode()
        with RawClient(process.url) as client:
            client.send(post("/v1/chat/completions", body, key=process.key))
            asked = upstream.wait_for(mark)
            os.kill(worker, signal.SIGKILL)
            assert client.reply() is None
        assert asked.closed.wait(2)
        await asyncio.to_thread(
            eventually, lambda: process.workers() not in ([], [worker]) and process.is_ready(), "another worker serves"
        )
        reply = ask(process, "gpt-4o-mini", "hello", headers={"Tenfold-Feature": mark})
        assert reply.status_code == 200
        await receipts(process, mark)


async def test_the_supervisor_is_killed(upstream: UpstreamServer, tmp_path: Path) -> None:
    """Workers and Postgres stop by themselves; everything is there after a new start."""
    mark = uuid.uuid4().hex
    process = TenfoldProcess(tmp_path, configuration(upstream))
    with process:
        for number in range(5):
            ask(process, "gpt-4o-mini", f"Repeat: {number}", headers={"Tenfold-Feature": mark})
        process.kill()
        await asyncio.to_thread(process.await_silence)
    with process:
        rows = await receipts(process, mark, 5)
        assert [row["status"] for row in rows] == ["ok"] * 5
        assert ask(process, "gpt-4o-mini", "hello").status_code == 200


async def test_everything_is_killed_at_once(upstream: UpstreamServer, tmp_path: Path) -> None:
    """As when the power fails. A receipt that was written stays; no process and no lock is in the way."""
    mark = uuid.uuid4().hex
    process = TenfoldProcess(tmp_path, configuration(upstream))
    with process:
        ask(process, "gpt-4o-mini", "hello", headers={"Tenfold-Feature": mark})
        before = await receipts(process, mark)
        for pid in process.processes():
            with contextlib.suppress(ProcessLookupError):  # some end when others do
                os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(process.await_silence)
    with process:
        assert await receipts(process, mark) == before
        assert ask(process, "gpt-4o-mini", "hello").status_code == 200


async def test_a_stop_lets_calls_finish(upstream: UpstreamServer, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    process = TenfoldProcess(tmp_path, configuration(upstream))
    with process:
        body = b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "[[hold stop-%b]] hi"}]}'
        with RawClient(process.url) as client:
            client.send(post("/v1/chat/completions", body % mark.encode(), key=process.key))
            upstream.wait_for(mark)
            os.kill(process.pid, signal.SIGTERM)
            await asyncio.to_thread(eventually, lambda: refuses(process), "no connection is taken that nobody serves")
            upstream.release(f"stop-{mark}")
            reply = await asyncio.to_thread(client.reply)
        assert reply is not None
        assert reply.status == 200
        await asyncio.to_thread(process.await_silence)


def refuses(process: TenfoldProcess) -> bool:
    try:
        RawClient(process.url).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_two_workers(upstream: UpstreamServer, tmp_path: Path) -> None:
    """They share a port, the keys and the ledger; when one dies the other goes on."""
    mark = uuid.uuid4().hex
    with TenfoldProcess(tmp_path, configuration(upstream), workers=2) as process:
        await asyncio.to_thread(eventually, lambda: len(process.workers()) == 2, "two workers")
        for _ in range(20):
            assert ask(process, "gpt-4o-mini", "hello", headers={"Tenfold-Feature": mark}).status_code == 200
        await receipts(process, mark, 20)
        os.kill(process.workers()[0], signal.SIGKILL)
        await asyncio.to_thread(
            eventually, lambda: len(process.workers()) == 2 and process.is_ready(), "two workers again"
        )
        assert ask(process, "gpt-4o-mini", "hello").status_code == 200
        metrics = httpx.get(f"{process.url}/metrics").text
        assert "tenfold_" in metrics


def test_the_same_home_twice(upstream: UpstreamServer, tmp_path: Path) -> None:
    """A second Tenfold on one home attaches to its Postgres, and the first outlives it."""
    with TenfoldProcess(tmp_path, configuration(upstream)) as first:
        second = TenfoldProcess(tmp_path, configuration(upstream))
        second.start()
        assert ask(second, "gpt-4o-mini", "hello").status_code == 200
        assert second.end() == 0
        assert ask(first, "gpt-4o-mini", "hello").status_code == 200


def test_a_port_that_is_taken(upstream: UpstreamServer, tmp_path: Path) -> None:
    with TenfoldProcess(tmp_path, configuration(upstream)) as process:
        port = process.url.rpartition(":")[2]
        again = process.cli("up", "--port", port)
        assert again.returncode == 1
        assert port in again.stderr
        assert process.is_ready()
