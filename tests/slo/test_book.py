"""The book: one for all processes of a machine, true after crashes, blind to the wall clock, and alerts told once."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import msgpack

from tenfold.app.slo.book import SloBook, State, boot_of_machine
from tenfold.app.slo.fake import FakeShelf
from tenfold.app.slo.meter import Meter
from tenfold.app.slo.shelf import FileShelf, Shelf
from tenfold.app.slo.types import Change, Slo
from tenfold.app.telemetry.metrics import ALIKE, HELP
from tests.slo.clock import SetClock

SLO = Slo(name="whole", pathway="end_to_end", budget_s=1.5, availability=0.999)


class Process:
    """One of several that keep the same book."""

    def __init__(self, shelf: Shelf, clock: SetClock, slo: Slo = SLO, boot: str = "boot-1") -> None:
        self.meter = Meter([slo])
        self.book = SloBook([slo], self.meter, shelf, clock, boot=boot)

    def serve(self, *, good: int = 0, bad: int = 0, seconds: float = 0.1) -> None:
        for number in range(good + bad):
            self.meter.note("end_to_end", seconds, good=number < good)

    async def tick(self) -> list[tuple[str, str, bool]]:
        return [told(change) for change in await self.book.tick()]


def told(change: Change) -> tuple[str, str, bool]:
    return change.kind, change.severity, change.firing


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(params=["file", "fake"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return FileShelf(tmp_path / "slo.bin") if request.param == "file" else FakeShelf()


async def test_every_process_sees_what_all_have_counted(shelf: Shelf, clock: SetClock) -> None:
    one, other = Process(shelf, clock), Process(shelf, clock)
    one.serve(good=30)
    other.serve(good=5, bad=5)
    await one.tick()
    await other.tick()
    await one.tick()
    [standing] = one.book.standings()
    assert standing == other.book.standings()[0]
    assert standing.availability is not None
    assert standing.availability.burn_rates["5m"] == pytest.approx(5 / 40 / 0.001)
    assert standing.availability.budget_left == pytest.approx(1 - 125)
    assert standing.p95_ms == pytest.approx(100, rel=0.34)
    assert (standing.latency.budget_left, standing.latency.burn_rates["3d"]) == (1, 0)


async def test_an_alert_begins_once_and_ends_once(shelf: Shelf, clock: SetClock) -> None:
    processes = [Process(shelf, clock) for _ in range(3)]
    for process in processes:
        process.serve(bad=4)
    heard = [change for process in processes * 2 for change in await process.tick()]
    assert heard == [("availability", "page", True), ("availability", "ticket", True)]
    [standing] = processes[2].book.standings()
    assert standing.availability is not None
    assert standing.availability.firing == ("page", "ticket")

    clock.advance(301)  # the five minutes are over; the half hour that the other page looks at is not
    assert await processes[1].tick() == []
    clock.advance(1800)
    assert await processes[1].tick() == [("availability", "page", False)]
    assert await processes[0].tick() == []
    clock.advance(6 * 3600)
    assert await processes[0].tick() == [("availability", "ticket", False)]


async def test_slow_calls_burn_the_budget_of_time(shelf: Shelf, clock: SetClock) -> None:
    process = Process(shelf, clock)
    process.serve(good=10, seconds=1.6)
    assert await process.tick() == [("latency", "page", True), ("latency", "ticket", True)]
    [standing] = process.book.standings()
    assert standing.latency.burn_rates["1h"] == pytest.approx(20)


async def test_a_process_that_comes_later_knows_what_was_before(shelf: Shelf, clock: SetClock) -> None:
    first = Process(shelf, clock)
    first.serve(bad=20)
    assert len(await first.tick()) == 2
    later = Process(shelf, clock)
    assert later.book.standings() == []
    assert await later.tick() == [], "it was told already"
    assert later.book.standings() == first.book.standings()


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400), timedelta(hours=1)])
async def test_a_jump_of_the_wall_clock_moves_nothing(shelf: Shelf, clock: SetClock, jump: timedelta) -> None:
    process = Process(shelf, clock)
    process.serve(good=999, bad=1)
    await process.tick()
    before = process.book.standings()
    clock.wall += jump
    assert await process.tick() == []
    assert process.book.standings() == before


async def test_another_boot_begins_anew(shelf: Shelf, clock: SetClock) -> None:
    before = Process(shelf, clock)
    before.serve(bad=20)
    await before.tick()
    after = Process(shelf, SetClock(60.0), boot="boot-2")
    after.serve(good=1)
    assert await after.tick() == []
    assert after.book.standings()[0].latency.budget_left == 1
    assert after.book.standings()[0].p95_ms is not None


async def test_counts_of_another_budget_are_not_counted_on(shelf: Shelf, clock: SetClock) -> None:
    lax = Process(shelf, clock, Slo(name="whole", pathway="end_to_end", budget_s=60))
    lax.serve(good=100, seconds=10)
    await lax.tick()
    strict = Process(shelf, clock)
    await strict.tick()
    assert strict.book.standings()[0].p95_ms is None


async def test_without_alerts_it_is_measured_and_silent(shelf: Shelf, clock: SetClock) -> None:
    quiet = Process(shelf, clock, Slo(name="whole", pathway="end_to_end", budget_s=1, alerts=False))
    quiet.serve(good=100, seconds=10)
    assert await quiet.tick() == []
    assert quiet.book.standings()[0].latency.budget_left == pytest.approx(-19)
    assert "tenfold_slo_alert" not in {name for name, *_ in quiet.book.figures()}


async def test_a_book_that_is_taken_waits_for_the_next_time(clock: SetClock) -> None:
    shelf = FakeShelf()
    process = Process(shelf, clock)
    shelf.busy = 2
    for _ in range(3):
        process.serve(good=10)
        await process.tick()
    process.serve(good=10)
    await process.tick()
    assert _calls(shelf) == 40


async def test_a_full_disk_leaves_each_process_its_own_book(clock: SetClock, caplog: pytest.LogCaptureFixture) -> None:
    shelf = FakeShelf()
    shelf.full = True
    process = Process(shelf, clock)
    process.serve(bad=10)
    assert len(await process.tick()) == 2
    process.serve(bad=10)
    assert await process.tick() == []
    [standing] = process.book.standings()
    assert standing.availability is not None
    assert standing.availability.budget_left == pytest.approx(-999)
    assert [record.message for record in caplog.records if "the disk refuses" in record.message] != []
    assert len(caplog.records) == 1, "once for an outage"


async def test_a_write_that_fails_counts_nothing_twice(clock: SetClock) -> None:
    class HalfFull(FakeShelf):
        def change(self, step: Callable[[bytes], bytes]) -> None:
            step(self.kept)
            raise OSError(28, "No space left on device")

    process = Process(HalfFull(), clock)
    process.serve(good=90, bad=10)
    changes = await process.tick()
    assert len(changes) == 2
    [standing] = process.book.standings()
    assert standing.availability is not None
    assert standing.availability.budget_left == pytest.approx(1 - 0.1 / 0.001)
    assert process.book._state.tracks["whole"].total("1h")[0] == 100


@pytest.mark.parametrize("rubbish", [b"rubbish", b"\x00" * 100, msgpack.encode({"boot": 1})])
async def test_what_cannot_be_read_is_begun_anew(rubbish: bytes, clock: SetClock) -> None:
    shelf = FakeShelf()
    shelf.kept = rubbish
    process = Process(shelf, clock)
    process.serve(good=1)
    assert await process.tick() == []
    assert _calls(shelf) == 1


async def test_the_file_stays_small(tmp_path: Path, clock: SetClock) -> None:
    process = Process(FileShelf(tmp_path / "slo.bin"), clock)
    for _ in range(200):
        process.serve(good=1, bad=1)
        clock.advance(3600)
        await process.tick()
    assert (tmp_path / "slo.bin").stat().st_size < 40_000


async def test_every_figure_is_a_metric_and_gauges_do_not_add_up(shelf: Shelf, clock: SetClock) -> None:
    process = Process(shelf, clock)
    process.serve(good=8, bad=2)
    await process.tick()
    found = list(process.book.figures())
    names = {name for name, *_ in found}
    assert names == {name for name in HELP if name.startswith("tenfold_slo_")}
    assert {name for name in names if HELP[name][0] == "gauge"} == {name for name in ALIKE if name in names}
    totals = {(name, dict(labels)["objective"]): value for name, labels, value in found if name.endswith("_total")}
    assert totals == {
        ("tenfold_slo_calls_total", "latency"): 8,
        ("tenfold_slo_good_total", "latency"): 8,
        ("tenfold_slo_calls_total", "availability"): 10,
        ("tenfold_slo_good_total", "availability"): 8,
    }
    fires = {
        (dict(labels)["objective"], dict(labels)["severity"]): value
        for name, labels, value in found
        if name == "tenfold_slo_alert"
    }
    assert fires == {
        ("latency", "page"): False,
        ("latency", "ticket"): False,
        ("availability", "page"): False,
        ("availability", "ticket"): False,
    }, "two calls are too few to say anything"


Step = tuple[int, int, int, float]  # process, good, bad, seconds until the next


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 5), st.floats(0, 900)), max_size=30))
def test_processes_agree_and_changes_alternate(steps: list[Step]) -> None:
    shelf, clock = FakeShelf(), SetClock()
    processes = [Process(shelf, clock) for _ in range(3)]
    firing: dict[tuple[str, str], bool] = {}

    async def play() -> None:
        for number, good, bad, pause_s in steps:
            process = processes[number]
            process.serve(good=good, bad=bad)
            for kind, severity, begins in await process.tick():
                assert firing.get((kind, severity), False) is not begins, "told twice"
                firing[kind, severity] = begins
            [standing] = process.book.standings()
            assert standing.availability is not None
            assert set(standing.availability.firing) == {s for (k, s), on in firing.items() if on and k != "latency"}
            clock.advance(pause_s)

    asyncio.run(play())


def test_the_boot_has_a_name() -> None:
    assert boot_of_machine() == boot_of_machine() != ""


def _calls(shelf: FakeShelf) -> int:
    return msgpack.decode(shelf.kept, type=State).tracks["whole"].total("1h")[0]
