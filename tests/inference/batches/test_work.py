"""The job of a batch, from its file to its output, with calls that a script answers."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec import json

from tenfold.core.call import CallOptions
from tenfold.core.errors import (
    BudgetExceeded,
    Conflict,
    IdempotencyInFlight,
    RateLimited,
    StoreUnavailable,
    TenfoldError,
    UpstreamError,
    UpstreamUnavailable,
)
from tenfold.core.principal import Principal
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.inference.background import Cancellable
from tenfold.inference.batches.ports import LineReply
from tenfold.inference.batches.running import BatchHandler
from tenfold.inference.batches.types import Batch, Endpoint, Spec, line_key
from tenfold.inference.batches.work import WorkLimits
from tenfold.inference.files.handlers import Files
from tenfold.jobs.ports import JobCancelled, JobLost
from tenfold.jobs.types import Result
from tenfold.webhooks.fake import FakeOutbox
from tests.inference.batches.conftest import Shelf, fake_shelf
from tests.inference.batches.samples import CHAT, FakeJob, line_of, put, spec_of

GOOD = json.encode({"id": "x", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}})
DIALECT = OpenAIDialect()

Answer = Callable[[str], Awaitable[LineReply]]


def good(body: bytes = GOOD, cost_nano: int = 3) -> LineReply:
    return LineReply(request_id="req_1", status=200, body=body, cost_nano=cost_nano)


def bad(error: TenfoldError, cost_nano: int = 0) -> LineReply:
    body = DIALECT.encode_error(error, "req_2")
    return LineReply(request_id="req_2", status=error.status, body=body, error=error, cost_nano=cost_nano)


class Script:
    """A LineCaller. `answer` tells what to say to what a line says; `asked` are the keys, in order."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or self._good
        self.asked: list[str] = []
        self.under_way = self.most = 0

    async def ask(
        self, job: Cancellable, principal: Principal, endpoint: Endpoint, body: bytes, options: CallOptions, key: str
    ) -> LineReply:
        assert options.feature == "nightly"
        self.asked.append(key)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0)
            return await self.answer(json.decode(body)["messages"][0]["content"])
        finally:
            self.under_way -= 1

    async def _good(self, said: str) -> LineReply:
        return good()


class World:
    """A batch of so many lines, and the handler that does it."""

    def __init__(self, shelf: Shelf, script: Script, **limits: Any) -> None:
        self.shelf = shelf
        self.script = script
        self.files = Files(shelf.files)
        self.outbox = FakeOutbox()
        quick = {"at_once": 4, "first_retry_s": 0.0, "gather_s": 0.0, "look_s": 0.01, "drain_s": 0.05}
        self.handler = BatchHandler(
            shelf.rows,
            self.files,
            script,
            self.outbox,
            {CHAT: Endpoint(operation="chat", dialect=lambda: DIALECT)},
            limits=WorkLimits(**quick | limits),
        )
        self.spec = spec_of(shelf.who)
        self.job = FakeJob(self.spec)

    async def holds(self, content: bytes) -> None:
        file = await put(self.shelf.files, self.shelf.who, content)
        self.spec = spec_of(self.shelf.who, input_file_id=file, input_bytes=len(content))
        self.job = FakeJob(self.spec)

    async def run(self) -> Result:
        return await self.handler.run(self.job)

    async def batch(self) -> Batch:
        batch = await self.shelf.rows.find(self.shelf.who.tenant_id, self.spec.id)
        assert batch is not None
        return batch

    async def output(self) -> dict[str, Any]:
        return await self._read((await self.batch()).output_file_id)

    async def refused(self) -> dict[str, Any]:
        return await self._read((await self.batch()).error_file_id)

    async def _read(self, file_id: Any) -> dict[str, Any]:
        if file_id is None:
            return {}
        file = await self.shelf.files.find(self.shelf.who.tenant_id, file_id)
        assert file is not None
        text = b"".join([chunk async for chunk in self.files.content(file.tenant_id, file.id, file.bytes)])
        lines = [json.decode(line) for line in text.splitlines()]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert len({line["id"] for line in lines}) == len(lines)
        return {line["custom_id"]: line for line in lines}


async def world(lines: int, script: Script | None = None, shelf: Shelf | None = None, **limits: Any) -> World:
    made = World(shelf or fake_shelf(), script or Script(), **limits)
    await made.holds(b"".join(line_of(number) for number in range(1, lines + 1)))
    return made


async def written(made: World, results: int) -> None:
    async with asyncio.timeout(20):
        while len(await made.shelf.rows.done(made.shelf.who.tenant_id, made.spec.id)) < results:
            await asyncio.sleep(0.01)


async def test_a_batch_is_done(shelf: Shelf) -> None:
    script = Script()

    async def answer(said: str) -> LineReply:
        return (
            bad(BudgetExceeded("No money.")) if said == "Say 3" else good(body=b'{\n"usage": {\n"input_tokens": 4}}\n')
        )

    script.answer = answer
    made = await world(20, script, shelf)
    result = await made.run()
    batch = await made.batch()
    assert (batch.status, batch.total, batch.completed, batch.failed) == ("completed", 20, 19, 1)
    assert (batch.model, batch.tokens.input, batch.cost_nano, made.job.cost_nano) == ("m", 76, 57, 57)
    output, refused = await made.output(), await made.refused()
    assert list(output) == [f"c-{number}" for number in range(1, 21) if number != 3]
    assert output["c-1"]["response"] == {
        "status_code": 200,
        "request_id": "req_1",
        "body": {"usage": {"input_tokens": 4}},
    }
    assert output["c-1"]["error"] is None
    assert refused["c-3"]["response"]["status_code"] == 402
    assert refused["c-3"]["response"]["body"]["error"]["code"] == "budget_exceeded"
    assert sorted(script.asked) == sorted(line_key(made.spec.id, number) for number in range(1, 21))
    assert script.most <= 4
    assert [event.type for _, event in made.outbox.told] == ["batch.completed"]
    assert len(result.then) == 1
    assert json.decode(result.output)["request_counts"] == {"total": 20, "completed": 19, "failed": 1}
    assert made.job.told[-1][0] == "finalizing"


async def test_a_file_that_cannot_be_meant_fails_as_a_whole() -> None:
    made = World(fake_shelf(), Script())
    await made.holds(line_of(1) + b"oops\n" + line_of(1))
    await made.run()
    batch = await made.batch()
    assert batch.status == "failed"
    assert [(error.line, error.code) for error in batch.errors] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
    ]
    assert made.script.asked == []
    assert [event.type for _, event in made.outbox.told] == ["batch.failed"]
    assert len(made.shelf.files) == 1  # type: ignore[arg-type]


async def test_a_file_that_is_gone_fails_the_batch() -> None:
    made = await world(3)
    made.spec = spec_of(made.shelf.who, input_bytes=10)
    made.job = FakeJob(made.spec)
    await made.run()
    assert [error.code for error in (await made.batch()).errors] == ["input_file_gone"]


async def test_whoever_goes_on_asks_only_for_the_rest(shelf: Shelf) -> None:
    """However often it is broken off, each line has one result, and is asked for again only if it had none."""
    script = Script()
    made = await world(30, script, shelf)
    enough, most, answered = asyncio.Event(), 0, 0

    async def answer(said: str) -> LineReply:
        nonlocal answered
        if len(script.asked) > most:
            enough.set()
            await asyncio.Event().wait()
        answered += 1
        return good()

    script.answer = answer
    for most in (1, 9, 22):  # noqa: B007  (the answers look at it)
        enough.clear()
        attempt = asyncio.create_task(made.run())
        await enough.wait()
        await written(made, answered)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
    done = len(await shelf.rows.done(shelf.who.tenant_id, made.spec.id))
    assert done == answered > 9
    script.answer, before = script._good, len(script.asked)
    await made.run()
    assert len(script.asked) - before == 30 - done
    assert set(Counter(script.asked)) == {line_key(made.spec.id, number) for number in range(1, 31)}
    assert len(await made.output()) == 30
    assert (await made.batch()).tokens.input == 150


async def test_one_that_has_ended_is_told_again_and_done_no_more() -> None:
    made = await world(2)
    await made.run()
    first = await made.batch()
    result = await made.run()
    assert await made.batch() == first
    assert len(result.then) == 1
    assert len(made.script.asked) == 2


async def test_what_waits_for_room_waits() -> None:
    script, left = Script(), Counter({"Say 1": 40, "Say 2": 3, "Say 3": 7})
    errors: dict[str, TenfoldError] = {"Say 1": RateLimited("Slow."), "Say 2": StoreUnavailable("Away.")}

    async def answer(said: str) -> LineReply:
        if left[said] <= 0:
            return good()
        left[said] -= 1
        if said == "Say 3":
            raise IdempotencyInFlight("Running.")
        return bad(errors[said])

    script.answer = answer
    made = await world(3, script)
    await made.run()
    assert (await made.batch()).completed == 3
    assert len(script.asked) == 3 + 40 + 3 + 7


async def test_a_provider_that_fails_is_asked_a_few_times() -> None:
    script = Script()

    async def answer(said: str) -> LineReply:
        if said == "Say 1":
            return bad(UpstreamUnavailable("Down."))
        if said == "Say 2":
            return bad(UpstreamError("No.", status=400))
        if said == "Say 3":
            return bad(UpstreamUnavailable("Down, and paid for."), cost_nano=5)
        raise Conflict("This cannot be.")

    script.answer = answer
    made = await world(4, script, tries=3)
    await made.run()
    counts = Counter(script.asked)
    assert [counts[line_key(made.spec.id, number)] for number in (1, 2, 3, 4)] == [3, 1, 1, 1]
    refused = await made.refused()
    assert [refused[f"c-{number}"]["response"]["status_code"] for number in (1, 2, 3, 4)] == [502, 400, 502, 409]


async def test_what_cannot_be_in_a_batch_is_an_error_of_its_line() -> None:
    made = World(fake_shelf(), Script())
    await made.holds(line_of(1, stream=True) + line_of(2))
    await made.run()
    assert (await made.refused())["c-1"]["response"]["body"]["error"]["param"] == "stream"
    assert list(await made.output()) == ["c-2"]


async def test_cancelling_keeps_what_was_answered(shelf: Shelf) -> None:
    script = Script()
    made = await world(30, script, shelf)

    async def answer(said: str) -> LineReply:
        if said == "Say 9":
            await shelf.rows.cancel(shelf.who.tenant_id, made.spec.id)
        if said == "Say 10":
            await asyncio.Event().wait()
        return good()

    script.answer = answer
    await made.run()
    batch = await made.batch()
    assert batch.status == "cancelled"
    assert batch.cancelling_at is not None
    assert 0 < batch.completed < 30
    assert "c-9" in await made.output()
    assert "c-10" not in await made.output()
    assert [event.type for _, event in made.outbox.told] == ["batch.cancelled"]


async def test_one_that_was_cancelled_before_it_began_is_not_begun() -> None:
    made = await world(3)
    await made.shelf.rows.add(made.spec)
    await made.shelf.rows.cancel(made.shelf.who.tenant_id, made.spec.id)
    result = await made.run()
    assert made.script.asked == []
    assert len(result.then) == 1


async def test_cancelling_its_job_cancels_the_batch() -> None:
    script, stuck = Script(), asyncio.Event()
    made = await world(9, script)

    async def answer(said: str) -> LineReply:
        if said != "Say 1":
            stuck.set()
            await asyncio.Event().wait()
        return good()

    script.answer = answer
    attempt = asyncio.create_task(made.run())
    await stuck.wait()
    await written(made, 1)
    made.job.cancelled = True
    attempt.cancel()
    with pytest.raises(JobCancelled) as cancelled:
        await attempt
    assert len(cancelled.value.result.then) == 1
    assert (await made.batch()).status == "cancelled"
    assert list(await made.output()) == ["c-1"]


async def test_a_job_that_is_cancelled_at_once_cancels_the_batch() -> None:
    made = await world(3)
    attempt = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    made.job.cancelled = True
    attempt.cancel()
    with pytest.raises(JobCancelled):
        await attempt
    assert (await made.batch()).status == "cancelled"


async def test_the_window_closes(shelf: Shelf) -> None:
    script = Script()
    made = await world(1200, script, shelf)

    async def answer(said: str) -> LineReply:
        number = int(said.split()[1])
        if number == 9:
            await shelf.let_pass(86_401)
        if number > 9:
            await asyncio.Event().wait()
        return good()

    script.answer = answer
    await made.run()
    batch = await made.batch()
    assert (batch.status, batch.completed + batch.failed) == ("expired", 1200)
    output, refused = await made.output(), await made.refused()
    assert len(output) == batch.completed >= 9
    assert len(refused) == batch.failed
    assert output.keys().isdisjoint(refused)
    assert refused["c-1200"]["error"]["code"] == "batch_expired"
    assert refused["c-1200"]["response"] is None
    assert [event.type for _, event in made.outbox.told] == ["batch.expired"]


async def test_what_begins_too_late_asks_nobody(shelf: Shelf) -> None:
    made = await world(3, shelf=shelf)
    await shelf.rows.add(made.spec)
    await shelf.let_pass(86_401)
    await made.run()
    assert made.script.asked == []
    assert (await made.batch()).status == "expired"


async def test_who_has_lost_it_stops() -> None:
    script = Script()
    made = await world(50, script)

    async def answer(said: str) -> LineReply:
        if said == "Say 5":
            await made.shelf.rows.end(made.shelf.who.tenant_id, made.spec.id, "failed", keep_s=1)
        return good()

    script.answer = answer
    with pytest.raises(JobLost):
        await made.run()
    assert len(made.shelf.files) == 1  # type: ignore[arg-type]


async def test_the_database_away_ends_the_attempt_and_not_the_batch() -> None:
    script = Script()
    made = await world(50, script)

    async def answer(said: str) -> LineReply:
        if said == "Say 5":
            made.shelf.rows.away = True  # type: ignore[attr-defined]
        return good()

    script.answer = answer
    with pytest.raises(StoreUnavailable):
        await made.run()
    made.shelf.rows.away, script.answer = False, script._good  # type: ignore[attr-defined]
    await made.run()
    assert (await made.batch()).completed == 50


async def test_nothing_is_left_running() -> None:
    made = await world(20)
    await made.run()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("batch")]


def test_the_input_of_the_job_is_the_whole_batch() -> None:
    spec = spec_of(fake_shelf().who)
    assert json.decode(json.encode(spec), type=Spec) == spec
