"""The scripted provider: what it answers, what it bills, and that the bill is there before the answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from tenfold.app.chaos.bill import Bill, Line, Mark, mark_in, read_bill, total
from tenfold.app.chaos.http_client import Answer, post
from tenfold.app.chaos.processes import ProviderProcess
from tenfold.app.chaos.provider import ScriptedProvider
from tenfold.app.chaos.script import Asked, Plan, plan
from tenfold.app.chaos.wires import ANTHROPIC, OPENAI, body_of, read_request
from tenfold.core.usage import Usage
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.http import HttpProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import Wire
from tenfold.providers.transport import HttpClient, Origin
from tests.support.processes import until

WIRES = {"openai": OPENAI, "anthropic": ANTHROPIC}
READERS: dict[str, Wire] = {"openai": OpenAIWire(), "anthropic": AnthropicWire()}
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}

every_dialect = pytest.mark.parametrize("dialect", list(WIRES))


def asking(operation: str = "op-1", **more: Any) -> bytes:
    mark = Mark(tenant="acme", operation=operation)
    return json.encode({"model": "m", "messages": [{"role": "user", "content": f"{mark.text} hello"}], **more})


def asked(operation: str = "op-1", **more: Any) -> Asked:
    return read_request(asking(operation, max_tokens=50, **more))


@asynccontextmanager
async def serving(file: Path, *, seed: int = 1) -> AsyncIterator[tuple[int, Bill]]:
    bill = Bill(file)
    server = await ScriptedProvider(bill, seed=seed, stall_s=0.01).start()
    try:
        yield server.sockets[0].getsockname()[1], bill
    finally:
        server.close()
        await server.wait_closed()
        bill.close()


async def ask(port: int, dialect: str, body: bytes, request_id: str, **how: Any) -> Answer:
    return await post(port, PATHS[dialect], {"x-client-request-id": request_id}, body, timeout_s=10, **how)


# -- the script


def test_the_same_request_meets_the_same_fate() -> None:
    fates = [[plan(seed, asked(f"op-{n}"), 1, 1.0) for n in range(50)] for seed in (1, 1, 2)]
    assert fates[0] == fates[1] != fates[2]


def test_every_fate_occurs_and_most_calls_are_well() -> None:
    outcomes = Counter(plan(1, asked(f"op-{n}"), 1, 1.0).outcome for n in range(2000))
    assert set(outcomes) == {"ok", "slow", "cut", "error", "dead", "stall", "malformed", "no_usage"}
    assert outcomes["ok"] > 1000


def test_no_more_is_billed_than_was_allowed() -> None:
    for number in range(500):
        request = asked(f"op-{number}")
        fate = plan(7, request, 1, 1.0)
        assert fate.usage.output_tokens <= 50
        assert fate.usage.cache_read_tokens <= fate.usage.input_tokens <= request.text_bytes
        assert fate.outcome != "error" or fate.usage == Usage()


# -- the wires


@every_dialect
def test_replies_are_read_by_tenfold_as_what_is_billed(dialect: str) -> None:
    fate = Plan(outcome="ok", usage=Usage(input_tokens=20, output_tokens=3, cache_read_tokens=5), shown_tokens=3)
    wire, reader = WIRES[dialect], READERS[dialect]
    assert reader.usage_of_reply(body_of(wire, asked(), fate)) == fate.usage
    stream = body_of(wire, asked(stream=True, stream_options={"include_usage": True}), fate)
    facts = reader.stream_facts(stream, stream)
    assert (facts.complete, facts.usage) == (True, fate.usage)


@every_dialect
def test_a_reply_may_lack_its_usage(dialect: str) -> None:
    fate = Plan(outcome="no_usage", usage=Usage(input_tokens=20, output_tokens=3), shown_tokens=3)
    assert READERS[dialect].usage_of_reply(body_of(WIRES[dialect], asked(), fate)) is None


def test_usage_frames_come_when_they_are_asked_for() -> None:
    fate = Plan(outcome="ok", usage=Usage(input_tokens=20, output_tokens=3), shown_tokens=3)
    assert b'"usage"' not in body_of(OPENAI, asked(stream=True), fate)


def test_a_mark_is_found_in_any_body() -> None:
    assert mark_in(asking("keyed-1a-7")) == Mark(tenant="acme", operation="keyed-1a-7")
    assert mark_in(b'{"messages": []}') is None


# -- the bill


async def test_the_bill_is_on_disk_before_the_answer(tmp_path: Path) -> None:
    async with serving(tmp_path / "bill") as (port, _):
        for number in range(30):
            await ask(port, "openai", asking(f"op-{number}", stream=True), f"req_{number}", leave_after=1)
            assert [line.operation for line in read_bill(tmp_path / "bill")][-1] == f"op-{number}"


async def test_what_nobody_reads_is_billed(tmp_path: Path) -> None:
    async with serving(tmp_path / "bill") as (port, bill):
        for number in range(20):
            await ask(port, "openai", asking(f"op-{number}"), f"req_{number}", leave_after=0)
        await until(lambda: bill.lines == 20)
    lines = list(read_bill(tmp_path / "bill"))
    assert {line.operation for line in lines} == {f"op-{number}" for number in range(20)}
    assert total(lines).output_tokens > 0


async def test_answers_are_whole_cut_or_refused_as_the_script_says(tmp_path: Path) -> None:
    answers: dict[str, Answer] = {}

    async def one(port: int, number: int) -> None:
        answers[f"req_{number}"] = await ask(
            port, "openai", asking(f"op-{number}", stream=number % 2 == 0), f"req_{number}"
        )

    async with serving(tmp_path / "bill") as (port, _):
        await asyncio.gather(*(one(port, number) for number in range(150)))
    outcomes: dict[str, list[Answer]] = {}
    for line in read_bill(tmp_path / "bill"):
        outcomes.setdefault(line.outcome, []).append(answers[line.request_id])
    for outcome in ("ok", "slow", "no_usage", "malformed"):
        assert all(answer.status == 200 and answer.complete for answer in outcomes[outcome]), outcome
    assert all(answer.status >= 400 for answer in outcomes["error"])
    assert all(answer.status == 0 for answer in outcomes["dead"])
    assert not any(answer.complete for answer in outcomes["cut"])


@every_dialect
async def test_it_tells_afterwards_what_it_billed(dialect: str, tmp_path: Path) -> None:
    async with serving(tmp_path / "bill") as (port, bill):
        for number in range(20):
            await ask(port, dialect, asking(f"op-{number}", max_tokens=9), f"req_{number}")
        base = f"http://127.0.0.1:{port}/v1"
        client = HttpClient(Origin.parse(base))
        facts = HttpProvider("p", READERS[dialect], client, None, "/models", "/usage/{request_id}").facts
        assert facts is not None
        for number in range(20):
            assert await facts.usage(f"req_{number}") == total(bill.of(f"req_{number}"))
        assert await facts.usage("req_99") is None
        await client.aclose()


async def test_all_that_one_id_was_served_is_on_its_bill(tmp_path: Path) -> None:
    async with serving(tmp_path / "bill") as (port, bill):
        for _ in range(3):
            await ask(port, "openai", asking(), "req_1")
        assert total(bill.of("req_1")).output_tokens == sum(line.usage.output_tokens for line in bill.of("req_1"))
        assert len(bill.of("req_1")) == 3


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": 1}'])
async def test_what_is_no_call_is_refused_and_not_billed(body: bytes, tmp_path: Path) -> None:
    async with serving(tmp_path / "bill") as (port, bill):
        assert (await ask(port, "openai", body, "req_1")).status == 400
        assert (await post(port, "/v1/nothing", {}, body, timeout_s=5)).status == 404
        assert bill.lines == 0


def test_a_damaged_bill_is_no_bill(tmp_path: Path) -> None:
    (tmp_path / "bill").write_bytes(b'{"request_id": 1}\n')
    with pytest.raises(ValueError, match="bill:1"):
        list(read_bill(tmp_path / "bill"))


def test_a_line_that_is_not_whole_yet_is_left_out(tmp_path: Path) -> None:
    bill = Bill(tmp_path / "bill")
    bill.add(Line(request_id="req_1", at=0.0, model="m", outcome="ok", usage=Usage()))
    bill.close()
    with (tmp_path / "bill").open("ab") as file:
        file.write(b'{"request_id": "re')
    assert [line.request_id for line in read_bill(tmp_path / "bill")] == ["req_1"]


# -- the process


async def test_it_runs_as_a_process_and_ends_with_its_parent(tmp_path: Path) -> None:
    provider = ProviderProcess(tmp_path / "bill", seed=1, words=("--stall", "0.01"))
    await provider.start()
    await ask(provider.port, "openai", asking(), "req_1")
    await provider.stop()
    assert [line.request_id for line in read_bill(tmp_path / "bill")] == ["req_1"]
    assert (await ask(provider.port, "openai", asking(), "req_2")).status == 0
