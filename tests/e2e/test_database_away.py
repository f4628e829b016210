"""Postgres goes away and comes back: not ready, a typed 503 for new calls, nothing lost, no restart of Tenfold."""

import asyncio
import json
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.e2e.calls import PATHS, ask, receipts
from tests.support.postgres import PostgresServer
from tests.support.processes import postmaster, signal_all
from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer, eventually


@pytest.fixture(scope="module")
def own(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    """A Tenfold whose Postgres may be mistreated."""
    with TenfoldProcess(tmp_path_factory.mktemp("own"), configuration(upstream)) as process:
        yield process


def data(process: TenfoldProcess) -> Path:
    return process.home / "postgres" / "data"


async def test_a_database_that_hangs(own: TenfoldProcess, upstream: UpstreamServer) -> None:
    mark = uuid.uuid4().hex
    with ThreadPoolExecutor() as pool:
        in_flight = pool.submit(
            ask, own, "claude-haiku-4-5", "Count to 9. [[hold away 3]]", headers={"Tenfold-Feature": mark}, stream=True
        )
        await asyncio.to_thread(upstream.wait_for, "hold away 3")
        signal_all(data(own), signal.SIGSTOP)
        try:
            await asyncio.to_thread(eventually, lambda: not own.is_ready(), "/readyz is red", 10)
            ready = httpx.get(f"{own.url}/readyz")
            assert ready.json()["checks"]["database"] == "away"
            assert httpx.get(f"{own.url}/livez").status_code == 200
            with upstream.recording() as seen:
                for dialect, kind in (("openai", "server_error"), ("anthropic", "overloaded_error")):
                    refused = ask(own, "gpt-4o-mini", "hello", dialect=dialect)
                    assert refused.status_code == 503
                    assert refused.headers["retry-after"] == "1"
                    assert refused.json()["error"]["type"] == kind
            assert seen == []
            upstream.release("away")
            finished = await asyncio.to_thread(in_flight.result, 10)
            assert finished.text.endswith("data: [DONE]\n\n"), "what had begun was finished"
        finally:
            signal_all(data(own), signal.SIGCONT)
    await asyncio.to_thread(eventually, own.is_ready, "/readyz is green again", 15)
    assert ask(own, "gpt-4o-mini", "hello").status_code == 200
    [receipt] = await receipts(own, mark)
    assert receipt["status"] == "ok"
    assert receipt["total_nano"] > 0


async def test_a_database_that_is_killed(own: TenfoldProcess, upstream: UpstreamServer) -> None:
    """kill -9 while calls come in: each is answered or refused in order, and each answer has its receipt."""
    mark = uuid.uuid4().hex

    def call(number: int) -> httpx.Response:
        return ask(own, "gpt-4o-mini", f"Repeat: {number}", headers={"Tenfold-Feature": mark})

    with ThreadPoolExecutor(8) as pool:
        first = [pool.submit(call, number) for number in range(20)]
        own_postmaster = postmaster(data(own))
        signal_all(data(own), signal.SIGKILL)
        replies = [future.result() for future in first]
        assert {reply.status_code for reply in replies} <= {200, 503}
    await asyncio.to_thread(eventually, lambda: postmaster_or_none(own) not in (None, own_postmaster), "a new Postgres")
    await asyncio.to_thread(eventually, own.is_ready, "/readyz is green again", 20)
    replies += [call(number) for number in range(20, 25)]
    answered = [reply for reply in replies if reply.status_code == 200]
    assert len(answered) >= 5
    rows = await receipts(own, mark, len(answered), status="ok")
    told = {f"req_{row['id'].hex}" for row in rows}
    assert told == {reply.headers["x-request-id"] for reply in answered}


def postmaster_or_none(process: TenfoldProcess) -> int | None:
    try:
        return postmaster(data(process))
    except (AssertionError, OSError):
        return None


def test_a_revoked_key_stays_refused_while_the_database_is_away(own: TenfoldProcess) -> None:
    made = json.loads(own.cli("key", "create", "--json").stdout)
    eventually(lambda: ask(own, "gpt-4o-mini", "hello", key=made["secret"]).status_code == 200, "the key works")
    assert own.cli("key", "revoke", made["key"]["id"]).returncode == 0
    eventually(lambda: ask(own, "gpt-4o-mini", "hello", key=made["secret"]).status_code == 401, "it is refused", 1.0)
    signal_all(data(own), signal.SIGSTOP)
    try:
        eventually(lambda: not own.is_ready(), "/readyz is red", 10)
        assert ask(own, "gpt-4o-mini", "hello", key=made["secret"]).status_code in (401, 503)
    finally:
        signal_all(data(own), signal.SIGCONT)
    eventually(own.is_ready, "/readyz is green again", 15)


async def test_a_database_of_ones_own(
    upstream: UpstreamServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """`database.url`: migrated at start, and no embedded Postgres beside it."""
    dsn = await postgres_server.create(migrated=False)
    process = TenfoldProcess(tmp_path, configuration(upstream), environment={"TENFOLD_DATABASE_URL": dsn})
    with process:
        assert httpx.post(f"{process.url}{PATHS['openai']}", json={}).status_code == 401
        assert ask(process, "gpt-4o-mini", "hello").status_code == 200
        assert not (process.home / "postgres").exists()
    await postgres_server.drop(dsn)
