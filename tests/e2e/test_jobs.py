"""Jobs and schedules in a real Tenfold: submitted, followed over the front door, ended, and nobody else's."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tenfold.core.sse import SseDecoder, SseEvent
from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer, eventually

CALL_BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
CALL = {"path": "/v1/chat/completions", "body": CALL_BODY}


def api(tenfold: TenfoldProcess, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    headers.setdefault("Authorization", f"Bearer {tenfold.key}")
    return httpx.request(method, f"{tenfold.url}{path}", json=body, headers=headers, timeout=20)


def submitted(tenfold: TenfoldProcess, **more: Any) -> dict[str, Any]:
    reply = api(tenfold, "POST", "/api/v1/jobs", {"kind": "call", "input": CALL, **more})
    assert reply.status_code == 202, reply.text
    job: dict[str, Any] = reply.json()
    return job


def events_of(tenfold: TenfoldProcess, job: dict[str, Any], **headers: str) -> list[SseEvent]:
    """To the end of the stream."""
    headers["Authorization"] = f"Bearer {tenfold.key}"
    with httpx.stream("GET", f"{tenfold.url}{job['events']}", headers=headers, timeout=20) as reply:
        assert reply.status_code == 200
        decoder = SseDecoder()
        return [event for block in reply.iter_bytes() for event in decoder.feed(block)]


def socket(tenfold: TenfoldProcess, path: str, key: str) -> ClientConnection:
    protocols = [Subprotocol("tenfold.progress.v1"), Subprotocol(f"tenfold.key.{key}")]
    return connect(f"{tenfold.url.replace('http', 'ws')}{path}", subprotocols=protocols, compression=None, proxy=None)


def test_a_call_is_submitted_followed_and_its_reply_read(tenfold: TenfoldProcess) -> None:
    job = submitted(tenfold)
    *_, last = events_of(tenfold, job)
    assert (last.event, json.loads(last.data)) == ("ended", {"state": "done", "error": None})
    found = api(tenfold, "GET", f"/api/v1/jobs/{job['id']}")
    assert (found.json()["state"], found.json()["attempts"], "retry-after" in found.headers) == ("done", 1, False)
    assert float(found.json()["cost_usd"]) > 0
    again = api(tenfold, "GET", f"/api/v1/jobs/{job['id']}", **{"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    reply = api(tenfold, "GET", f"/api/v1/jobs/{job['id']}/result")
    assert reply.json()["choices"][0]["message"]["content"]
    number = len(events_of(tenfold, job))
    over = api(tenfold, "GET", job["events"], **{"Last-Event-ID": str(number)})
    assert (over.status_code, over.content) == (204, b"")
    assert events_of(tenfold, job, **{"Last-Event-ID": str(number - 1)}) == [last]


def test_a_job_is_followed_over_a_websocket(tenfold: TenfoldProcess) -> None:
    job = submitted(tenfold)
    with socket(tenfold, job["events"], tenfold.key) as client:
        assert client.subprotocol == "tenfold.progress.v1"
        told = []
        with pytest.raises(ConnectionClosedOK):
            while True:
                told.append(json.loads(client.recv(timeout=20)))
    assert [each["id"] for each in told] == list(range(1, len(told) + 1))
    assert (told[-1]["event"], told[-1]["data"]["state"]) == ("ended", "done")
    for key in ("tf_nobody", ""):
        with pytest.raises(InvalidStatus) as refused:
            socket(tenfold, job["events"], key)
        assert refused.value.response.status_code == 401


def test_a_call_that_cannot_succeed_is_a_dead_letter(tenfold: TenfoldProcess) -> None:
    broken = {"path": CALL["path"], "body": CALL_BODY | {"model": "no-such-model"}}
    job = submitted(tenfold, input=broken)
    *_, last = events_of(tenfold, job)
    assert json.loads(last.data)["state"] == "failed"
    found = api(tenfold, "GET", f"/api/v1/jobs/{job['id']}").json()
    assert found["error"]["code"] == "model_not_found"
    assert job["id"] in {each["id"] for each in api(tenfold, "GET", "/api/v1/dead-letters").json()["data"]}
    assert api(tenfold, "GET", f"/api/v1/jobs/{job['id']}/input").status_code == 200
    assert job["id"] in tenfold.cli("jobs", "list", "--state", "failed").stdout
    assert api(tenfold, "DELETE", f"/api/v1/jobs/{job['id']}").status_code == 204


def test_another_tenant_sees_nothing_of_it(tenfold: TenfoldProcess) -> None:
    slug = f"t-{uuid.uuid4().hex[:8]}"
    assert tenfold.cli("tenant", "create", slug).returncode == 0
    key = tenfold.cli("key", "create", "--tenant", slug).stdout.strip()
    job, theirs = submitted(tenfold, delay_s=3600), {"Authorization": f"Bearer {key}"}
    for method, path in (
        ("GET", job["events"]),
        ("GET", f"/api/v1/jobs/{job['id']}"),
        ("POST", f"/api/v1/jobs/{job['id']}/cancel"),
    ):
        assert api(tenfold, method, path, **theirs).status_code == 404
    with pytest.raises(InvalidStatus) as refused:
        socket(tenfold, job["events"], key)
    assert refused.value.response.status_code == 404
    assert api(tenfold, "GET", "/api/v1/jobs", **theirs).json()["data"] == []
    assert api(tenfold, "POST", f"/api/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"


async def test_a_schedule_makes_one_job_when_its_time_has_come(tenfold: TenfoldProcess) -> None:
    body = {"name": f"s-{uuid.uuid4().hex[:8]}", "cron": "0 0 1 1 *", "kind": "call", "input": CALL}
    made = api(tenfold, "POST", "/api/v1/schedules", body).json()
    at = f"/api/v1/schedules/{made['id']}"
    connection = await asyncpg.connect(tenfold.dsn())  # nobody waits until New Year
    try:
        for table, column, key in (("schedules", "next_at", "id"), ("schedule_due", "due_at", "schedule_id")):
            await connection.execute(
                f"UPDATE tenfold.{table} SET {column} = date_trunc('year', now()) WHERE {key} = $1",
                uuid.UUID(made["id"].removeprefix("sched_")),
            )
    finally:
        await connection.close()
    eventually(lambda: api(tenfold, "GET", at).json()["last_job"] is not None, "the schedule has made a job")
    told = api(tenfold, "GET", at).json()
    assert (told["error"], told["next_runs"]) == (None, made["next_runs"])
    job = api(tenfold, "GET", f"/api/v1/jobs/{told['last_job']}").json()
    assert job["facts"]["schedule"] == made["id"]
    assert json.loads(events_of(tenfold, job)[-1].data)["state"] == "done"
    assert api(tenfold, "DELETE", at).status_code == 204


@pytest.fixture
def own(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    with TenfoldProcess(tmp_path_factory.mktemp("own"), configuration(upstream)) as process:
        yield process


def test_who_follows_is_sent_away_in_good_order_when_the_process_stops(own: TenfoldProcess) -> None:
    job = submitted(own, delay_s=3600)
    headers = {"Authorization": f"Bearer {own.key}"}
    with (
        socket(own, job["events"], own.key) as client,
        httpx.stream("GET", f"{own.url}{job['events']}", headers=headers, timeout=30) as reply,
    ):
        blocks = reply.iter_bytes()
        assert next(blocks).startswith(b"retry: ")
        own.end()
        assert all(block == b":\n\n" for block in blocks)  # and then its proper end, or httpx would raise
        with pytest.raises(ConnectionClosedOK) as closed:
            client.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
