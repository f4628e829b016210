"""The writer: every recorded receipt ends in the database exactly once, whatever goes away in between."""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from tenfold.core.call import Call
from tenfold.core.clock import FakeClock
from tenfold.core.errors import Overloaded, StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.inference.bound import Bound
from tenfold.ledger import receipts as receipts_module
from tenfold.ledger.fake import FakeReceiptRows
from tenfold.ledger.intake import BATCH_ROWS, REFUSED_FILE
from tenfold.ledger.journal import Journal
from tenfold.ledger.ports import ReceiptRows
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.receipts import DAYS_AHEAD, LAST_RETRY_S, PREPARE_RETRY_S, ReceiptWriter
from tenfold.ledger.segments import read_finals, read_lines, segments_of
from tenfold.ledger.types import Receipt
from tenfold.store import Store

from .samples import add_tenant, receipt

ONE, TWO = TenantId(uuid7()), TenantId(uuid7())
MakeJournal = Callable[[], Journal]


@pytest.fixture
def fake() -> FakeReceiptRows:
    return FakeReceiptRows()


@pytest.fixture
def journal(make_journal: MakeJournal) -> Journal:
    return make_journal()


@pytest.fixture
def writer(fake: FakeReceiptRows, journal: Journal, clock: FakeClock) -> ReceiptWriter:
    return ReceiptWriter(fake, journal, clock)


def some(count: int, tenant_id: TenantId = ONE) -> list[Receipt]:
    return [receipt(tenant_id, second=n) for n in range(count)]


def record(writer: ReceiptWriter, receipts: Sequence[Receipt]) -> None:
    for one in receipts:
        writer.record(one)


def same(left: Sequence[Receipt], right: Sequence[Receipt]) -> bool:
    return sorted(left, key=_id) == sorted(right, key=_id)


def _id(one: Receipt) -> str:
    return one.id.hex


def on_disk(journal: Journal) -> list[Receipt]:
    return [one for path in segments_of(journal.folder) for one in read_lines(path).receipts]


class GatedRows(FakeReceiptRows):
    """Holds every `add` until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()
        self.gate = asyncio.Event()

    async def add(self, tenant_id: TenantId, receipts: Sequence[Receipt]) -> list[Receipt]:
        self.began.set()
        await self.gate.wait()
        return await super().add(tenant_id, receipts)


def call() -> Call:
    principal = Principal(tenant_id=ONE, tenant_slug="acme", key_id=None)
    return Call(principal=principal, operation="chat", dialect="openai", body=b"{}")


BOUND = Bound(input_tokens=900, output_tokens=100, nano=5_000_001, input_nano=3_000_000, output_nano=2_000_000)


async def test_a_call_is_drafted_and_then_final(writer: ReceiptWriter, fake: FakeReceiptRows, journal: Journal) -> None:
    one = call()
    writer.begin(one, BOUND)
    journal.flush()
    (drafted,) = on_disk(journal)
    assert (drafted.id, drafted.draft, drafted.estimated, drafted.total_nano) == (one.id, True, True, 5_000_001)
    await writer.flush()
    assert fake.all == []  # nothing of a call in flight
    one.status, one.http_status = "ok", 200
    writer.end(one)
    await writer.flush()
    (final,) = fake.all
    assert (final.id, final.draft, final.status) == (one.id, False, "ok")


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
    journal: Journal, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts_module, "FLUSH_S", 3600.0)
    rows = GatedRows()
    writer = ReceiptWriter(rows, journal, clock)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.run(), name="receipts")
        record(writer, some(BATCH_ROWS))
        await rows.began.wait()  # without waiting for the hour
        rows.gate.set()
        running.cancel()
    await writer.drain()
    assert len(rows.all) == BATCH_ROWS


# -- the database away -----------------------------------------------------------------------


async def test_while_the_database_is_away_receipts_wait_in_the_journal(
    writer: ReceiptWriter, fake: FakeReceiptRows, clock: FakeClock, journal: Journal
) -> None:
    fake.away = True
    first, second = some(600), some(5, TWO)
    record(writer, first)
    await writer.flush()
    assert (writer.pending, fake.all) == (600, [])
    record(writer, second)
    await writer.flush()
    journal.flush()
    assert same(on_disk(journal), [*first, *second])
    fake.away = False
    clock.advance(LAST_RETRY_S)
    await writer.flush()
    assert same(fake.all, [*first, *second])
    assert (writer.written, writer.pending, writer.lost) == (605, 0, 0)


async def test_memory_is_bounded_and_the_rest_is_read_back(
    writer: ReceiptWriter, fake: FakeReceiptRows, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts_module, "MAX_IN_MEMORY", 100)
    fake.away = True
    kept = some(250)
    record(writer, kept)
    assert (writer.in_memory, writer.pending) == (100, 250)
    await writer.flush()
    fake.away = False
    clock.advance(LAST_RETRY_S)
    await writer.flush()
    assert fake.all == kept
    assert (writer.pending, writer.in_memory, writer.lost) == (0, 0, 0)
    record(writer, more := some(50, TWO))
    assert writer.in_memory == 50  # in memory again
    await writer.flush()
    assert same(fake.all, [*kept, *more])
    assert len(fake.all) == writer.written == 300


async def test_receipts_that_come_while_others_are_read_back_follow_them(
    writer: ReceiptWriter, fake: FakeReceiptRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts_module, "MAX_IN_MEMORY", 10)
    kept, late = some(25), some(5, TWO)
    record(writer, kept)
    real = asyncio.to_thread

    async def meanwhile(*args: object) -> object:
        if args[0] is read_finals and late:
            writer.record(late.pop())
        return await real(*args)  # type: ignore[arg-type]

    everything = [*kept, *late]
    monkeypatch.setattr(asyncio, "to_thread", meanwhile)
    await writer.flush()
    while late:
        writer.record(late.pop())
    await writer.flush()
    assert same(fake.all, everything)
    assert (writer.pending, writer.in_memory, writer.written) == (0, 0, 30)


async def test_a_reading_back_that_fails_is_made_good_later(
    writer: ReceiptWriter, fake: FakeReceiptRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts_module, "MAX_IN_MEMORY", 10)
    kept = some(25)
    record(writer, kept)

    def fail(*_args: object) -> list[Receipt]:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(receipts_module, "read_finals", fail)
        await writer.flush()
    assert len(fake.all) == 10
    record(writer, more := some(3, TWO))
    await writer.flush()
    assert same(fake.all, [*kept, *more])


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
    assert writer.pending == 7
    fake.lose_answer = False
    clock.advance(LAST_RETRY_S)
    await writer.flush()
    assert same(fake.all, kept)
    assert (writer.pending, writer.written) == (0, 0)


# -- flushes that are cut off, and the end ---------------------------------------------------


async def test_a_flush_that_is_cancelled_loses_nothing(journal: Journal, clock: FakeClock) -> None:
    rows = GatedRows()
    writer = ReceiptWriter(rows, journal, clock)
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


async def test_draining_leaves_in_the_journal_what_the_database_does_not_take_in_time(
    journal: Journal, clock: FakeClock
) -> None:
    writer = ReceiptWriter(GatedRows(), journal, clock)
    kept = some(5)
    record(writer, kept)
    await writer.drain(timeout_s=0.01)
    assert not journal.is_open
    assert on_disk(journal) == kept
    assert writer.lost == 0


async def test_draining_removes_the_journal_when_everything_is_in_the_database(
    writer: ReceiptWriter, fake: FakeReceiptRows, tmp_path: Path
) -> None:
    record(writer, some(3))
    await writer.drain()
    assert len(fake.all) == 3
    assert list((tmp_path / "receipts").iterdir()) == []


async def test_draining_keeps_the_drafts_of_calls_that_never_ended(writer: ReceiptWriter, journal: Journal) -> None:
    writer.begin(call(), BOUND)
    await writer.drain()
    assert len(on_disk(journal)) == 1


async def test_draining_keeps_a_journal_that_something_else_depends_on(
    writer: ReceiptWriter, fake: FakeReceiptRows, journal: Journal
) -> None:
    record(writer, some(3))
    await writer.drain(keep=True)
    assert len(fake.all) == 3
    assert journal.folder.exists()
    assert not journal.is_open


# -- when the disk does not take them --------------------------------------------------------


async def test_a_disk_that_fails_refuses_calls_and_receipts_go_to_the_database_all_the_same(
    writer: ReceiptWriter, fake: FakeReceiptRows, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, later = call(), call()
    writer.begin(begun, BOUND)
    journal.flush()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", _fails)
        kept = some(5)
        record(writer, kept[:1])
        journal.flush()
        with pytest.raises(Overloaded):
            writer.begin(later, BOUND)
        record(writer, kept[1:])
        writer.end(begun)
        await writer.flush()
        assert len(fake.all) == 6
    assert writer.trouble
    await journal.tend()
    assert not journal.trouble
    assert (writer.lost, writer.pending) == (0, 0)
    assert journal.in_flight == 0


async def test_a_draft_is_let_go_when_only_the_database_took_its_receipt(
    writer: ReceiptWriter, fake: FakeReceiptRows, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = [call() for _ in range(20)]
    for one in begun:
        writer.begin(one, BOUND)
    journal.flush()
    monkeypatch.setattr("tenfold.ledger.journal.SEGMENT_BYTES", journal.bytes + 5_000)  # full after a few more
    monkeypatch.setattr(os, "pwrite", _fails)
    for one in begun:
        writer.end(one)
    loose = writer.in_memory + journal.in_flight - len(begun)
    assert 0 < loose == journal.in_flight < len(begun)
    await writer.flush()
    assert len(fake.all) == len(begun)
    assert journal.in_flight == 0


async def test_memory_is_bounded_when_neither_database_nor_disk_takes_receipts_and_the_loss_counted(
    writer: ReceiptWriter, fake: FakeReceiptRows, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts_module, "MAX_LOOSE", 10)
    monkeypatch.setattr(os, "pwrite", _fails)
    fake.away = True
    record(writer, some(1))
    journal.flush()
    record(writer, some(13))
    await writer.flush()
    assert (writer.pending, writer.lost) == (11, 3)
    await writer.drain()
    assert writer.lost == 13


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
    store: Store, database: str, journal: Journal, tmp_path: Path, clock: FakeClock
) -> None:
    rows: ReceiptRows = PostgresReceiptRows(store)
    for tenant_id in (ONE, TWO):
        await add_tenant(store, tenant_id)
    writer = ReceiptWriter(rows, journal, clock)
    first, second, third = some(3), some(3, TWO), some(2)
    record(writer, first)
    await writer.flush()
    await store.move_to("postgresql://nobody:wrong@127.0.0.1:1/nowhere")
    record(writer, second)
    await writer.flush()
    assert writer.pending == 3
    await store.move_to(database)
    clock.advance(LAST_RETRY_S)
    record(writer, third)
    await writer.flush()
    assert same(await rows.recent(ONE, limit=100), [*first, *third])
    assert same(await rows.recent(TWO, limit=100), second)
    await writer.drain()
    assert list((tmp_path / "receipts").iterdir()) == []


async def test_on_postgres_a_receipt_of_no_tenant_is_refused_alone(
    store: Store, journal: Journal, clock: FakeClock
) -> None:
    await add_tenant(store, ONE)
    writer = ReceiptWriter(PostgresReceiptRows(store), journal, clock)
    record(writer, [receipt(ONE), receipt(TenantId(uuid7())), receipt(ONE, second=1)])
    await writer.flush()
    assert (writer.written, writer.refused) == (2, 1)


def _fails(*_args: object) -> int:
    raise OSError(errno.EIO, "Input/output error")
