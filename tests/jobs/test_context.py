"""What a handler tells is gathered, and is in the database once, whatever happens to it on its way."""

import asyncio
from itertools import pairwise

import msgspec
import pytest
from msgspec import structs

from tenfold.core.clock import FakeClock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import uuid7
from tenfold.jobs import context as told
from tenfold.jobs.context import Context
from tenfold.jobs.ports import JobLost
from tenfold.jobs.types import JobEvent, NewJob, Progress

from .flaky_rows import FlakyRows
from .parts import ACME, add, new, until

ME = uuid7()


class Told:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rows = FlakyRows(self.clock)
        self.one: NewJob = new()
        self.lost = asyncio.Event()

    async def context(self) -> Context:
        await add(self.rows, self.one)
        (work,) = await self.rows.claim(ME, ["k"], limit=1)
        return Context(work, ME, self.rows, clock=self.clock, on_lost=self.lost.set)

    @property
    def events(self) -> list[JobEvent]:
        return self.rows.told(self.one)

    def outputs(self) -> list[bytes]:
        return [event.data for event in self.events if event.kind == "output"]

    def progress(self) -> list[Progress]:
        return [msgspec.json.decode(one.data, type=Progress) for one in self.events if one.kind == "progress"]


@pytest.fixture
def told_of() -> Told:
    return Told()


async def test_a_key_names_the_job_and_the_step(told_of: Told) -> None:
    context = await told_of.context()
    assert context.key("line:7") == f"job_{told_of.one.id.hex}:line:7"


async def test_outputs_go_together_and_in_their_order(told_of: Told) -> None:
    context = await told_of.context()
    for n in range(50):
        await context.emit(b"%d" % n)
    assert told_of.rows.calls["tell"] == 0
    await until(lambda: len(told_of.events) == 50)
    assert told_of.rows.calls["tell"] == 1
    assert told_of.outputs() == [b"%d" % n for n in range(50)]
    await context.aclose()


async def test_progress_is_written_as_it_is_when_its_time_has_come(told_of: Told) -> None:
    context = await told_of.context()
    for n in range(100):
        await context.progress("lines", n, 100)
    await until(lambda: len(told_of.events) == 1)
    assert told_of.progress() == [Progress(stage="lines", done=99, total=100)]
    await context.progress("lines", 100, 100)
    await context.progress("lines", 100, 100)
    await context.flush()
    await context.flush()
    assert [one.done for one in told_of.progress()] == [99, 100]
    assert told_of.rows.jobs[ACME.tenant_id, told_of.one.id].progress.done == 100


async def test_a_long_job_tells_of_its_progress_ever_more_rarely(
    told_of: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = await told_of.context()
    at: list[float] = []
    for second in range(86_400 // 10):
        told_of.clock.advance(10)
        await context.progress("lines", second, None)
        if context._progress is not None and context._take(False) and context._sending is not None:
            context._sending = None
            at.append(told_of.clock.monotonic_s())
    assert len(at) < 700
    assert all(later - sooner >= 0.0099 * sooner for sooner, later in pairwise(at))
    await context.aclose()


async def test_a_new_stage_does_not_wait(told_of: Told) -> None:
    context = await told_of.context()
    for stage in ("read", "think", "write"):
        await context.progress(stage)
        await until(lambda stage=stage: told_of.progress()[-1:] == [Progress(stage=stage)])  # type: ignore[misc]


async def test_what_was_told_without_an_answer_is_there_once(told_of: Told) -> None:
    context = await told_of.context()
    told_of.rows.unheard["tell"] = 2
    await context.emit(b"a")
    with pytest.raises(StoreUnavailable):
        await context.flush()
    await context.emit(b"b")
    with pytest.raises(StoreUnavailable):
        await context.flush()
    await context.flush()
    assert told_of.outputs() == [b"a", b"b"]
    assert [event.seq for event in told_of.events] == [1, 2]


async def test_while_the_database_is_away_what_is_told_waits(told_of: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "AWAY_S", 0.01)
    context = await told_of.context()
    told_of.rows.away = True
    await context.emit(b"a")
    await until(lambda: told_of.rows.calls["tell"] > 2)
    told_of.rows.away = False
    await until(lambda: told_of.outputs() == [b"a"])


async def test_who_tells_more_than_is_taken_has_to_wait(told_of: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "AWAY_S", 0.01)
    context = await told_of.context()
    told_of.rows.away = True
    await context.emit(bytes(told.MAX_EVENT_BYTES))
    waiting = asyncio.create_task(context.emit(b"x"))
    await until(lambda: told_of.rows.calls["tell"] > 2)
    assert not waiting.done()
    told_of.rows.away = False
    await waiting
    await context.flush()
    assert told_of.outputs()[1:] == [b"x"]


async def test_an_event_has_its_bound(told_of: Told) -> None:
    context = await told_of.context()
    with pytest.raises(ValueError, match="at most"):
        await context.emit(bytes(told.MAX_EVENT_BYTES + 1))


async def test_the_events_of_a_second_attempt_go_on_from_the_first(told_of: Told) -> None:
    context = await told_of.context()
    await context.emit(b"a")
    await context.flush()
    await told_of.rows.give_back(context.work, ME)
    (work,) = await told_of.rows.claim(ME, ["k"], limit=1)
    again = Context(work, ME, told_of.rows, clock=told_of.clock)
    told_of.rows.unheard["tell"] = 1
    await again.emit(b"b")
    with pytest.raises(StoreUnavailable):
        await again.flush()
    await again.flush()
    assert told_of.outputs() == [b"a", b"b"]


async def test_whoever_has_lost_the_job_hears_of_it(told_of: Told) -> None:
    context = await told_of.context()
    told_of.rows.give_away(told_of.one)
    await context.emit(b"a")
    await told_of.lost.wait()
    for tell in (context.emit(b"b"), context.progress("x"), context.flush()):
        with pytest.raises(JobLost):
            await tell
    assert told_of.events == []


async def test_a_wish_that_was_there_before_is_seen(told_of: Told) -> None:
    work = (await told_of.context()).work
    work = structs.replace(work, job=structs.replace(work.job, cancel_requested=True))
    assert Context(work, ME, told_of.rows, clock=told_of.clock).cancelled
