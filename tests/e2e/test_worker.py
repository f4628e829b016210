"""`tenfold worker`: processes that do jobs and serve nothing, beside those that serve and do none."""

import os
import signal
from pathlib import Path
from typing import Any

import httpx

from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer, eventually

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def accepted(tenfold: TenfoldProcess) -> str:
    headers = {"Authorization": f"Bearer {tenfold.key}", "Prefer": "respond-async"}
    reply = httpx.post(f"{tenfold.url}/v1/chat/completions", json=BODY, headers=headers, timeout=20)
    assert reply.status_code == 202, reply.text
    return str(reply.headers["location"])


def ticket(tenfold: TenfoldProcess, location: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {tenfold.key}"}
    found: dict[str, Any] = httpx.get(f"{tenfold.url}{location}", headers=headers, timeout=20).json()
    return found


def queue(tenfold: TenfoldProcess) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {tenfold.key}"}
    state: dict[str, Any] = httpx.get(f"{tenfold.url}/api/v1/queue", headers=headers, timeout=20).json()
    return state


def test_who_serves_does_no_jobs_and_workers_that_are_killed_are_replaced(
    upstream: UpstreamServer, tmp_path: Path
) -> None:
    config = configuration(upstream, "[jobs]\nin_server = false\n")
    with TenfoldProcess(tmp_path, config) as tenfold:
        first = accepted(tenfold)
        assert queue(tenfold)["workers"] == 0
        assert ticket(tenfold, first)["state"] == "waiting"
        with tenfold.beside("worker", "--processes", "2") as supervisor:
            eventually(lambda: ticket(tenfold, first)["state"] == "done", "a worker has made the call", 60)
            eventually(lambda: queue(tenfold)["workers"] == 2, "both processes are there", 60)
            children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGKILL)
            second = accepted(tenfold)
            eventually(lambda: ticket(tenfold, second)["state"] == "done", "somebody has made the call", 60)
        third = accepted(tenfold)
        assert ticket(tenfold, third)["state"] == "waiting"
