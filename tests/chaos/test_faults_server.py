"""The faulty provider as a server: who decides the fate, what is counted, what it refuses, and how it runs."""

import asyncio
import json as plain_json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from msgspec import json

from tenfold.app.chaos.http_client import post
from tenfold.app.faults import FaultSpecError, FaultyProvider, Rule
from tenfold.app.faults.http import MAX_BODY_BYTES
from tenfold.app.faults.rules import MAX_RULES
from tests.chaos.faulty import DIALECTS, READERS, ask
from tests.support.processes import until


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def provider() -> AsyncIterator[FaultyProvider]:
    async with FaultyProvider() as running:
        yield running


@pytest.fixture
async def http(provider: FaultyProvider) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=provider.url) as client:
        yield client


async def statuses(provider: FaultyProvider, model: str, count: int) -> list[int]:
    return [(await ask(provider, "openai", model, stream=False)).status for _ in range(count)]


# -- who decides


async def test_a_name_says_what_befalls_its_requests_and_nothing_else_does() -> None:
    async with FaultyProvider("status=500") as provider:
        assert await statuses(provider, "m", 1) == [500]
        assert await statuses(provider, "fault:status=503", 1) == [503]
        assert await statuses(provider, "fault:none", 1) == [200]


async def test_a_name_that_orders_no_fault_is_refused(provider: FaultyProvider) -> None:
    answer = await ask(provider, "openai", "fault:statsu=503", stream=False)
    assert answer.status == 400
    assert b"'statsu' is no fault" in answer.body


async def test_rules_add_up_and_may_be_of_one_model(provider: FaultyProvider) -> None:
    provider.set("tokens=2", Rule(fault="status=503", model="b"))
    assert await statuses(provider, "b", 1) == [503]
    answer = await ask(provider, "openai", "a", stream=False)
    assert b"word word " in answer.body
    provider.clear()
    assert await statuses(provider, "b", 1) == [200]


async def test_a_rule_holds_for_its_time() -> None:
    clock = Clock()
    async with FaultyProvider(Rule(fault="status=503", after="2s", for_="5s"), clock=clock) as provider:
        seen = []
        for now in (0.0, 1.9, 2.0, 6.9, 7.0, 100.0):
            clock.now = 1000.0 + now
            seen += await statuses(provider, "m", 1)
        assert seen == [200, 200, 503, 503, 200, 200]


async def test_a_rule_holds_so_many_times(provider: FaultyProvider) -> None:
    provider.set(Rule(fault="status=503", times=2))
    assert await statuses(provider, "m", 4) == [503, 503, 200, 200]


async def test_the_same_seed_brings_the_same_run() -> None:
    runs = []
    for seed in (1, 1, 2):
        async with FaultyProvider(Rule(fault="status=503@0.5,status=500@0.5", probability=0.8), seed=seed) as provider:
            runs.append(await statuses(provider, "m", 30))
    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {200, 500, 503}


@pytest.mark.parametrize(
    "rule",
    [
        {"fault": "bogus"},
        {"fault": "html", "after": "5"},
        {"fault": "html", "times": 0},
        {"fault": "html", "for_": "x"},
    ],
)
def test_rules_that_mean_nothing_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(FaultSpecError):
        Rule(**rule)
    with pytest.raises(FaultSpecError):
        FaultyProvider("bogus")


# -- over HTTP


async def test_faults_are_set_shown_and_cleared_over_http(provider: FaultyProvider, http: httpx.AsyncClient) -> None:
    assert (await http.get("/_faults")).json() == []
    wanted = {"fault": "status=503", "for": "60s", "probability": 1, "model": "m", "times": 3}
    shown = (await http.put("/_faults", json=[wanted, {"fault": "usage=zero"}])).json()
    assert shown == (await http.get("/_faults")).json()
    assert [rule["fault"] for rule in shown] == ["status=503", "usage=zero"]
    assert shown[0].items() >= wanted.items()
    assert (shown[0]["holds"], shown[0]["times_left"]) == (True, 3)
    assert await statuses(provider, "m", 4) == [503, 503, 503, 200]
    assert (await http.get("/_faults")).json()[0]["holds"] is False
    assert (await http.put("/_faults", json={"fault": "html"})).status_code == 200
    assert (await http.delete("/_faults")).json() == []
    assert await statuses(provider, "m", 1) == [200]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "truncated"),
        (b'{"fault": "bogus"}', "is no fault"),
        (b'{"fault": "html", "aftre": "2s"}', "aftre"),
        (b'{"fault": "html", "probability": 2}', "is no probability"),
        (b"[" + b",".join([b'{"fault": "html"}'] * (MAX_RULES + 1)) + b"]", "at most 100 rules"),
        (b"[" * 100_000, ""),
        (b"\xff", ""),
    ],
)
async def test_what_cannot_be_set_changes_nothing(
    provider: FaultyProvider, http: httpx.AsyncClient, body: bytes, said: str
) -> None:
    provider.set("status=503")
    refused = await http.put("/_faults", content=body)
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]
    assert await statuses(provider, "m", 1) == [503]


async def test_requests_are_counted(provider: FaultyProvider, http: httpx.AsyncClient) -> None:
    provider.set(Rule(fault="status=503", model="a"), Rule(fault="reset", model="b"))
    await statuses(provider, "a", 2)
    await statuses(provider, "b", 1)
    await statuses(provider, "c", 1)
    await until(lambda: provider.stats()["total"]["in_flight"] == 0)
    told = (await http.get("/_stats")).json()
    assert told["total"]["requests"] == 4
    assert told["total"]["statuses"] == {"503": 2, "none": 1, "200": 1}
    assert told["models"]["a"]["faults"] == {"status": 2}
    assert told["models"]["b"]["unfinished"] == 1
    assert told["models"]["c"]["max_in_flight"] == 1
    assert (await http.delete("/_stats")).json()["total"]["requests"] == 0


async def test_counting_is_bounded(provider: FaultyProvider) -> None:
    for number in range(300):
        provider._stats.begin(f"m{number}", ()).end(finished=True)
    told = provider.stats()
    assert len(told["models"]) == 257
    assert told["models"]["(others)"]["requests"] == 44
    assert told["total"]["requests"] == 300


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PATCH", "/_faults", 405), ("GET", "/_nothing", 404), ("GET", "/v1/nothing", 404), ("PUT", "/v1/messages", 404)],
)
async def test_what_there_is_not(http: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    assert (await http.request(method, path)).status_code == status


# -- vendors


async def test_embeddings_and_counts_and_models(http: httpx.AsyncClient, provider: FaultyProvider) -> None:
    openai = (await http.post("/v1/embeddings", json={"model": "e", "input": ["a", "b"], "dimensions": 4})).json()
    assert [len(entry["embedding"]) for entry in openai["data"]] == [4, 4]
    assert openai["usage"]["prompt_tokens"] > 0
    tokens = (await http.post("/v1/embeddings", json={"model": "e", "input": [1, 2, 3]})).json()
    assert len(tokens["data"]) == 1
    one = {"content": {"parts": [{"text": "a"}]}}
    batch = await http.post("/v1beta/models/e:batchEmbedContents", json={"requests": [one, one, one]})
    assert len(READERS["gemini"].decode_embeddings(batch.content).vectors) == 3
    single = await http.post("/v1beta/models/e:embedContent", json=one)
    assert len(READERS["gemini"].decode_embeddings(single.content).vectors) == 1
    messages = [{"role": "user", "content": "hello"}]
    counted = await http.post("/v1/messages/count_tokens", json={"model": "m", "messages": messages})
    assert counted.json()["input_tokens"] > 0
    counted = await http.post("/v1beta/models/m:countTokens", json={"contents": []})
    assert counted.json()["totalTokens"] > 0
    assert (await http.get("/v1/models")).json()["object"] == "list"
    assert (await http.get("/v1/models", headers={"anthropic-version": "2023-06-01"})).json()["has_more"] is False
    assert (await http.get("/v1beta/models")).json()["models"]
    assert provider.stats()["total"]["statuses"] == {"200": 9}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": 1}', b'{"model":' + b"[" * 100_000])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1beta/models/m:generateContent"])
async def test_bodies_that_are_no_call_are_refused(provider: FaultyProvider, path: str, body: bytes) -> None:
    answer = await post(provider.port, path, {}, body, timeout_s=5)
    assert answer.status == (200 if "beta" in path and b"model" in body and body.endswith(b"}") else 400)
    assert provider.stats()["total"]["requests"] == (answer.status == 200)


# -- HTTP


async def say(provider: FaultyProvider, *blocks: bytes) -> bytes:
    """Everything that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    for block in blocks:
        writer.write(block)
        await writer.drain()
    answer = await reader.read()
    writer.transport.abort()
    return answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), b"413"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000, b"431"),
    ],
)
async def test_requests_it_will_not_hold_in_memory(
    provider: FaultyProvider, request_bytes: bytes, status: bytes
) -> None:
    assert (await say(provider, request_bytes)).startswith(b"HTTP/1.1 " + status)


async def test_requests_one_after_the_other_and_at_once_on_a_connection(provider: FaultyProvider) -> None:
    one = b"GET /_faults HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /_faults HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert (await say(provider, one + one[:10], one[10:], last)).count(b"HTTP/1.1 200") == 3


async def test_a_client_that_asks_before_it_sends_its_body(provider: FaultyProvider) -> None:
    body = b'{"model": "m", "messages": []}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\nexpect: 100-continue\r\n"
    answer = await say(provider, head + b"content-length: %d\r\n\r\n" % len(body), body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


async def test_who_leaves_frees_its_place(provider: FaultyProvider) -> None:
    provider.set("capacity=1,hang")

    def has_left(times: int) -> Callable[[], bool]:
        return lambda: bool(provider.stats()["total"]["statuses"] == {"none": times})

    for number in range(1, 4):
        assert (await ask(provider, "openai", "m", stream=True, leave_after=0)).status == 0
        await until(has_left(number))
    assert provider.stats()["total"]["in_flight"] == 0


async def test_it_ends_with_requests_open() -> None:
    async with FaultyProvider("hang") as provider:
        asking = [asyncio.create_task(ask(provider, dialect, "m", stream=True)) for dialect in DIALECTS]
        await until(lambda: provider.stats()["total"]["in_flight"] == 3)
    assert [answer.status for answer in await asyncio.gather(*asking)] == [0, 0, 0]


# -- the command


@contextmanager
def command(*words: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tenfold", "chaos", "provider", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_url_and_ends_when_told(number: signal.Signals) -> None:
    with command("--json", "--fault", "status=503", "--fault", "usage=zero", "--seed", "7") as process:
        assert process.stdout is not None
        told = plain_json.loads(process.stdout.readline())
        assert told["openai_url"] == told["url"] + "/v1"
        body = {"model": "m", "messages": []}
        assert httpx.post(f"{told['openai_url']}/chat/completions", json=body).status_code == 503
        process.send_signal(number)
        assert process.wait(30) == 0


def test_the_command_says_what_is_wrong_with_a_fault() -> None:
    with command("--fault", "bogus") as process:
        _, said = process.communicate(timeout=30)
        assert process.returncode == 2
        assert "tenfold: --fault: 'bogus' is no fault" in said


def test_a_port_that_is_taken() -> None:
    with command() as first:
        assert first.stdout is not None
        port = first.stdout.readline().strip().rpartition(":")[2]
        with command("--port", port) as second:
            assert second.wait(30) == 1
        first.terminate()


def test_rules_are_written_as_they_are_read() -> None:
    rule = Rule(fault="html", for_="2s")
    assert json.decode(json.encode(rule), type=Rule) == rule
