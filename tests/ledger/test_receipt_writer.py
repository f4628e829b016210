"""The writer: every recorded receipt ends in the database exactly once, whatever goes away in between."""

import asyncio
import os
from collections.abc import Awaitable, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger import receipts as receipts_module
from tenfold.ledger.fake import FakeReceiptRows
from tenfold.ledger.ports import ReceiptRows
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.receipts import DAYS_AHEAD, LAST_RETRY_S, PREPARE_RETRY_S, REFUSED_FILE, ReceiptWriter
from tenfold.ledger.spill import SpillFile
from tenfold.ledger.types import Receipt
from tenfold.store import Store

from .samples import add_tenant, full_receipt, receipt

ONE, TWO = TenantId(uuid7()), TenantId(uuid7())


@pytest.fixture
def fake() -> FakeReceiptRows:
    return FakeReceiptRows()


@pytest.fixture
def writer(fake: FakeReceiptRows, tmp_path: Path, clock: FakeClock) -> ReceiptWriter:
    return ReceiptWriter(fake, tmp_path / "receipts", clock)


def some(count: int, tenant_id: TenantId = ONE) -> list[Receipt]:
    return [receipt(tenant_id, second=n) for n in range(count)]


def record(writer: ReceiptWriter, receipts: Sequence[Receipt]) -> None:
    for one in receipts:
        writer.record(one)


def same(left: Sequence[Receipt], right: Sequence[Receipt]) -> bool:
    return sorted(left, key=_id) == sorted(right, key=_id)


def _id(one: Receipt) -> str:
    return one.id.hex


class GatedRows(FakeReceiptRows):
    """Holds every `add` until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()
        self.gate = asyncio.Event()

    async def add(self, tenant_id: TenantId, receipts: Sequence[Receipt]) -> None:
        self.began.set()
        await self.gate.wait()
        await super().add(tenant_id, receipts)


async def test_recorded_receipts_are_written_in_one_batch_a_tenant(
    writer: ReceiptWriter, fake: FakeReceiptRows
) -> None:
    both = [*some(30, ONE), *some(20, TWO)]
    record(writer, both)
    assert writer.pending == 50
    await writer.flush()
    assert same(fake.all, both)
    assert (writer.pending, writer.written, fake.attempts) == (0, 50, 2)


async def test_large_numbers_are_written_in_pieces(writer: ReceiptWriter, fake: FakeReceiptRows) -> None:
    record(writer, some(1201))
    await writer.flush()
    assert (fake.attempts, len(fake.all)) == (3, 1201)


async def test_a_running_writer_flushes_by_itself_and_at_once_when_a_batch_is_full(
    fake: FakeReceiptRows, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts_module, "FLUSH_S", 3600.0)
    rows = GatedRows()
    writer = ReceiptWriter(rows, tmp_path, clock)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.run(), name="receipts")
        record(writer, some(receipts_module.BATCH_ROWS))
        await rows.began.wait()  # without waiting for the hour
        rows.gate.set()
        running.cancel()
    await writer.drain()
    assert len(rows.all) == receipts_module.BATCH_ROWS


# -- the database away -----------------------------------------------------------------------


async def test_while_the_database_is_away_receipts_are_on_disk_and_then_written(
    writer: ReceiptWriter, fake: FakeReceiptRows, clock: FakeClock
) -> None:
    fake.away = True
    first, second = some(600), some(5, TWO)
    record(writer, first)
    await writer.flush()
    assert (writer.pending, writer.spilled, fake.all) == (0, 600, [])
    assert writer.backlog_bytes > 0
    record(writer, second)
    await writer.flush()
    fake.away = False
    clock.advance(LAST_RETRY_S)
    await writer.flush()
    assert same(fake.all, [*first, *second])
    assert (writer.replayed, writer.written, writer.backlog_bytes, writer.lost) == (605, 605, 0, 0)


async def test_a_database_that_is_away_is_asked_ever_less_often(
    writer: ReceiptWriter, fake: FakeReceiptRows, clock: FakeClock
) -> None:
    fake.away = True
    asked = []
    for tick in range(240):  # two minutes
        record(writer, some(1))
        before = fake.attempts
        await writer.flush()
        if fake.attempts > before:
            asked.append(tick)
        clock.advance(0.5)
    gaps = [b - a for a, b in pairwise(asked)]
    assert len(asked) < 20
    assert gaps == sorted(gaps)
    assert max(gaps) * 0.5 <= LAST_RETRY_S + 0.5


async def test_a_commit_whose_answer_was_lost_counts_once(
    writer: ReceiptWriter, fake: FakeReceiptRows, clock: FakeClock
) -> None:
    fake.lose_answer = True
    kept = some(7)
    record(writer, kept)
    await writer.flush()
    assert same(fake.all, kept)  # they are there, and the writer cannot know
    assert writer.spilled == 7
    fake.lose_answer = False
    clock.advance(LAST_RETRY_S)
    await writer.flush()
    assert same(fake.all, kept)
    assert writer.backlog_bytes == 0


async def test_receipts_of_a_killed_process_are_written_by_the_next_one(
    fake: FakeReceiptRows, tmp_path: Path, clock: FakeClock
) -> None:
    killed = ReceiptWriter(fake, tmp_path, clock)
    fake.away = True
    kept = [full_receipt(ONE), *some(3, TWO)]
    record(killed, kept)
    await killed.flush()
    _kill(killed)
    fake.away = False
    heir = ReceiptWriter(fake, tmp_path, clock)
    await _run_until(heir, fake.wait_for(4))
    assert same(fake.all, kept)
    assert list(tmp_path.iterdir()) == []


async def test_a_process_that_lives_keeps_its_own_file(fake: FakeReceiptRows, tmp_path: Path, clock: FakeClock) -> None:
    living = ReceiptWriter(fake, tmp_path, clock)
    fake.away = True
    record(living, some(3))
    await living.flush()
    fake.away = False
    other = ReceiptWriter(fake, tmp_path, clock)
    record(other, some(1, TWO))
    await _run_until(other, fake.wait_for(1))
    assert living.backlog_bytes > 0
    clock.advance(LAST_RETRY_S)
    await living.flush()
    assert len(fake.all) == 4
    await living.drain()
    assert list(tmp_path.iterdir()) == []


# -- flushes that are cut off ----------------------------------------------------------------


async def test_a_flush_that_is_cancelled_loses_nothing(tmp_path: Path, clock: FakeClock) -> None:
    rows = GatedRows()
    writer = ReceiptWriter(rows, tmp_path, clock)
    kept = some(5)
    record(writer, kept)
    flush = asyncio.create_task(writer.flush(), name="flush")
    await rows.began.wait()
    record(writer, more := some(2, TWO))
    flush.cancel()
    await asyncio.gather(flush, return_exceptions=True)
    assert writer.pending == 7
    rows.gate.set()
    await writer.flush()
    assert same(rows.all, [*kept, *more])


async def test_draining_puts_on_disk_what_the_database_does_not_take_in_time(
    fake: FakeReceiptRows, tmp_path: Path, clock: FakeClock
) -> None:
    rows = GatedRows()
    writer = ReceiptWriter(rows, tmp_path, clock)
    kept = some(5)
    record(writer, kept)
    await writer.drain(timeout_s=0.01)
    assert (writer.pending, writer.lost) == (0, 0)
    heir = ReceiptWriter(fake, tmp_path, clock)
    await _run_until(heir, fake.wait_for(5))
    assert same(fake.all, kept)


async def test_draining_an_idle_writer_leaves_nothing_behind(writer: ReceiptWriter, tmp_path: Path) -> None:
    await writer.drain()
    assert list(tmp_path.iterdir()) == []


# -- when nothing takes them -----------------------------------------------------------------


async def test_receipts_stay_in_memory_while_neither_database_nor_disk_takes_them(
    writer: ReceiptWriter, fake: FakeReceiptRows, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SpillFile, "append", _disk_full)
    fake.away = True
    kept = some(5)
    record(writer, kept)
    await writer.flush()
    assert (writer.pending, writer.lost) == (5, 0)
    fake.away = False
    clock.advance(LAST_RETRY_S)
    await writer.flush()
    assert same(fake.all, kept)


async def test_memory_is_bounded_and_the_loss_counted(
    writer: ReceiptWriter, fake: FakeReceiptRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SpillFile, "append", _disk_full)
    monkeypatch.setattr(receipts_module, "MAX_PENDING", 10)
    fake.away = True
    record(writer, some(13))
    await writer.flush()
    assert (writer.pending, writer.lost) == (10, 3)
    await writer.drain()
    assert writer.lost == 13


async def test_a_database_slower_than_the_calls_is_relieved_by_the_disk(
    writer: ReceiptWriter, fake: FakeReceiptRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts_module, "MAX_PENDING", 1000)
    kept = some(900)
    record(writer, kept)
    await writer.flush()
    assert (writer.spilled, writer.lost) == (500, 0)
    assert same(fake.all, kept)


async def test_one_receipt_that_is_refused_does_not_keep_back_the_others(
    writer: ReceiptWriter, fake: FakeReceiptRows, tmp_path: Path
) -> None:
    kept = some(9)
    fake.refuse = lambda one: one.id == kept[4].id
    record(writer, kept)
    await writer.flush()
    assert same(fake.all, [*kept[:4], *kept[5:]])
    assert (writer.refused, writer.written, writer.pending) == (1, 8, 0)
    (line,) = (tmp_path / "receipts" / REFUSED_FILE).read_text().splitlines()
    assert kept[4].id.hex in line.replace("-", "")


# -- days ------------------------------------------------------------------------------------


async def test_days_ahead_are_prepared_once_a_day(
    writer: ReceiptWriter, fake: FakeReceiptRows, clock: FakeClock
) -> None:
    await writer.flush()
    assert len(fake.days) == DAYS_AHEAD
    fake.days.clear()
    await writer.flush()
    assert fake.days == set()
    clock.advance(86_400)
    await writer.flush()
    assert len(fake.days) == DAYS_AHEAD


async def test_receipts_are_written_though_no_day_can_be_prepared(
    fake: FakeReceiptRows, writer: ReceiptWriter, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def refuse(first: date, _days: int) -> None:
        asked.append(first)
        raise errors.pop()

    errors: list[Exception] = [PermissionError("no"), StoreUnavailable("busy")]
    monkeypatch.setattr(fake, "prepare_days", refuse)
    kept = some(3)
    for one in kept:
        writer.record(one)
        await writer.flush()
    assert same(fake.all, kept)
    assert len(asked) == 1  # not again at once
    clock.advance(PREPARE_RETRY_S)
    await writer.flush()
    await writer.flush()
    assert len(asked) == 2  # forbidden: not again today


# -- the real one ----------------------------------------------------------------------------


async def test_on_postgres_with_the_connection_lost_in_between(
    store: Store, database: str, tmp_path: Path, clock: FakeClock
) -> None:
    rows: ReceiptRows = PostgresReceiptRows(store)
    for tenant_id in (ONE, TWO):
        await add_tenant(store, tenant_id)
    writer = ReceiptWriter(rows, tmp_path, clock)
    first, second, third = some(3), some(3, TWO), some(2)
    record(writer, first)
    await writer.flush()
    await store.move_to("postgresql://nobody:wrong@127.0.0.1:1/nowhere")
    record(writer, second)
    await writer.flush()
    assert writer.spilled == 3
    await store.move_to(database)
    clock.advance(LAST_RETRY_S)
    record(writer, third)
    await writer.flush()
    assert same(await rows.recent(ONE, limit=100), [*first, *third])
    assert same(await rows.recent(TWO, limit=100), second)
    await writer.drain()
    assert list(tmp_path.iterdir()) == []


async def test_on_postgres_a_receipt_of_no_tenant_is_refused_alone(
    store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    await add_tenant(store, ONE)
    writer = ReceiptWriter(PostgresReceiptRows(store), tmp_path, clock)
    record(writer, [receipt(ONE), receipt(TenantId(uuid7())), receipt(ONE, second=1)])
    await writer.flush()
    assert (writer.written, writer.refused) == (2, 1)


def _disk_full(_file: SpillFile, _receipts: Sequence[Receipt]) -> None:
    raise OSError("No space left on device")


def _kill(writer: ReceiptWriter) -> None:
    """What the end of a process does to its files: the locks are gone, nothing is tidied up."""
    for file in writer._files():
        os.close(file._descriptor)


async def _run_until(writer: ReceiptWriter, done: Awaitable[None]) -> None:
    """Runs the writer as a process does, until something has happened, then shuts it down."""
    running = asyncio.create_task(writer.run(), name="receipts")
    await asyncio.wait_for(done, timeout=10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await writer.drain()
