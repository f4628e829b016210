"""The journal: on the page cache ahead of socket writes, within room it was promised, readable whatever happened."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from msgspec import structs

from tenfold.core.clock import FakeClock
from tenfold.core.errors import Overloaded
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.usage import Usage
from tenfold.core.write_batch import WriteBatch
from tenfold.ledger import segments
from tenfold.ledger.journal import FINAL_MARGIN, MAX_LINE, TRY_AGAIN_S, Journal
from tenfold.ledger.segments import LOCK_NAME, read_lines, segments_of
from tenfold.ledger.types import MAX_TEXT, Receipt
from tenfold.store.postgres import locks

from .samples import draft, full_receipt, receipt

TENANT = TenantId(uuid7())
MakeJournal = Callable[[], Journal]


@pytest.fixture
def journal(make_journal: MakeJournal) -> Journal:
    return make_journal()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of few lines."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 32_000)
    monkeypatch.setattr("tenfold.ledger.journal.SEGMENT_BYTES", 32_000)
    monkeypatch.setattr("tenfold.ledger.journal.MAX_LINE", 16_000)
    monkeypatch.setattr("tenfold.ledger.journal._ROOM", 16_000)


def on_disk(journal: Journal) -> list[Receipt]:
    return [one for path in segments_of(journal.folder) for one in read_lines(path).receipts]


def calls(count: int) -> Iterator[tuple[Receipt, Receipt]]:
    for n in range(count):
        final = receipt(TENANT, second=n)
        yield draft(final), final


class Socket:
    """Notes what was on disk when it was written to."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.seen: list[Receipt] = []

    def write(self, data: bytes) -> None:
        self.seen = on_disk(self.journal)

    def is_closing(self) -> bool:
        return False


# -- order -----------------------------------------------------------------------------------


async def test_a_draft_is_on_disk_before_the_bytes_of_its_turn_go_out(
    tmp_path: Path, batch: WriteBatch, clock: FakeClock
) -> None:
    journal = Journal.open(tmp_path, uuid7(), batch, clock)
    socket = Socket(journal)
    final = receipt(TENANT)
    batch.write(socket, b"of another call")  # before it: the order within a turn does not count
    journal.begin(draft(final))
    batch.write(socket, b"to the provider")
    assert on_disk(journal) == []
    await asyncio.sleep(0)
    assert socket.seen == [draft(final)]
    journal.end(final)
    batch.write(socket, b"to the client")
    batch.flush()  # as before a connection is closed
    assert socket.seen == [draft(final), final]
    journal.close()


async def test_an_append_alone_is_written_by_the_end_of_its_turn(journal: Journal) -> None:
    for one, final in calls(3):
        journal.begin(one)
        journal.end(final)
    await asyncio.sleep(0)
    assert len(on_disk(journal)) == 6


async def test_what_is_on_disk_can_be_read_with_the_plainest_tools(journal: Journal) -> None:
    kept = full_receipt(TENANT)
    journal.end(kept)
    journal.flush()
    (path,) = segments_of(journal.folder)
    line = path.read_text().split("\n")[0]
    assert msgspec.json.decode(line, type=Receipt) == kept
    assert path.stat().st_mode & 0o077 == 0  # end users are named in it
    assert journal.folder.stat().st_mode & 0o077 == 0


# -- life and death --------------------------------------------------------------------------


async def test_its_lock_is_held_until_it_is_closed(journal: Journal) -> None:
    assert not locks.is_free(journal.folder / LOCK_NAME)
    journal.close()
    assert locks.is_free(journal.folder / LOCK_NAME)


async def test_removed_it_leaves_nothing(journal: Journal) -> None:
    journal.end(receipt(TENANT))
    await journal.tend()
    journal.remove()
    assert list(journal.folder.parent.iterdir()) == []


async def test_closed_it_keeps_what_was_appended_and_no_room_beyond(journal: Journal) -> None:
    kept = receipt(TENANT)
    journal.end(kept)
    await journal.tend()
    journal.close()
    assert on_disk(journal) == [kept]
    assert [path.stat().st_size for path in segments_of(journal.folder)] == [len(msgspec.json.encode(kept)) + 1]


async def test_two_journals_of_one_name_cannot_be(journal: Journal, batch: WriteBatch, clock: FakeClock) -> None:
    with pytest.raises(OSError, match="not empty"):
        Journal.open(journal.folder.parent, UUID(journal.folder.name), batch, clock)


# -- segments --------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
async def test_segments_go_when_every_call_in_them_is_in_the_database(make_journal: MakeJournal) -> None:
    journal = make_journal()
    long_one = receipt(TENANT, second=9)
    journal.begin(draft(long_one))
    for one, final in calls(200):
        journal.begin(one)
        journal.end(final)
    await journal.tend()
    many = len(segments_of(journal.folder))
    assert many > 5
    journal.finish(100)
    await journal.tend()
    fewer = len(segments_of(journal.folder))
    assert fewer < many
    assert draft(long_one) in on_disk(journal)  # the call in flight keeps its own
    journal.end(long_one)
    journal.finish(101)
    await journal.tend()
    assert draft(long_one) not in on_disk(journal)
    assert journal.waiting == journal.in_flight == 0


@pytest.mark.usefixtures("small")
async def test_final_receipts_can_be_read_from_any_number_on(make_journal: MakeJournal) -> None:
    journal = make_journal()
    finals = []
    for one, final in calls(100):
        journal.begin(one)
        journal.end(final)
        finals.append(final)
    for after in (0, 1, 37, 99):
        found, at = [], after
        while where := journal.next_finals(at):
            segment, written, end = where
            found += segments.read_finals(segment, written, at)
            at = end
        assert found == finals[after:]


# -- a full disk -----------------------------------------------------------------------------


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> "Disk":
    return Disk(monkeypatch)


class Disk:
    """One whose room and health the test decides on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self.error: int | None = None
        self.most: int | None = None  # bytes a write takes
        self.writes = 0
        self._fallocate, self._pwrite = os.posix_fallocate, os.pwrite
        monkeypatch.setattr(os, "posix_fallocate", self.fallocate)
        monkeypatch.setattr(os, "pwrite", self.pwrite)

    def fallocate(self, descriptor: int, offset: int, size: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._fallocate(descriptor, offset, size)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        self.writes += 1
        if self.error is not None:
            self._pwrite(descriptor, bytes(data[:10]), offset)  # a part of it may have gone through
            raise OSError(self.error, os.strerror(self.error))
        return self._pwrite(descriptor, bytes(data if self.most is None else data[: self.most]), offset)


@pytest.mark.usefixtures("small")
async def test_a_full_disk_refuses_new_calls_and_takes_the_receipts_of_those_in_flight(
    make_journal: MakeJournal, disk: Disk
) -> None:
    journal = make_journal()
    disk.full = True
    in_flight = []
    with pytest.raises(Overloaded, match=r"no room for receipts in .*No space left") as refused:
        for one, final in calls(1000):
            journal.begin(one)
            in_flight.append(final)
    assert refused.value.status == 503
    assert 0 < len(in_flight) < 1000
    assert str(journal.folder) in refused.value.message
    assert journal.trouble is not None
    longest = dict.fromkeys(("provider", "model_used", "error_code"), "\x01" * MAX_TEXT)
    usage = Usage(**dict.fromkeys(Usage.__struct_fields__, 10**18))
    finals = [structs.replace(one, usage=usage, **longest) for one in in_flight]
    assert all(journal.end(final) for final in finals)
    assert journal.flush()
    assert [one for one in on_disk(journal) if not one.draft] == finals


@pytest.mark.usefixtures("small")
async def test_a_refused_call_leaves_nothing_in_the_journal(make_journal: MakeJournal, disk: Disk) -> None:
    journal = make_journal()
    disk.full = True
    begun = []
    with pytest.raises(Overloaded):
        for one, _ in calls(1000):
            journal.begin(one)
            begun.append(one)
    journal.flush()
    assert on_disk(journal) == begun
    assert journal.in_flight == len(begun)


@pytest.mark.usefixtures("small")
async def test_calls_are_taken_again_when_there_is_room(
    make_journal: MakeJournal, disk: Disk, clock: FakeClock
) -> None:
    journal = make_journal()
    disk.full = True
    with pytest.raises(Overloaded):
        for one, _ in calls(1000):
            journal.begin(one)
    disk.full = False
    with pytest.raises(Overloaded):  # the disk is not asked for every call
        journal.begin(draft(receipt(TENANT)))
    clock.advance(TRY_AGAIN_S)
    journal.begin(draft(receipt(TENANT)))
    assert journal.trouble is None


@pytest.mark.usefixtures("small")
async def test_a_receipt_of_a_call_that_was_not_begun_takes_no_room_from_those_that_were(
    make_journal: MakeJournal, disk: Disk
) -> None:
    journal = make_journal()
    disk.full = True
    in_flight = []
    with pytest.raises(Overloaded):
        for one, final in calls(1000):
            journal.begin(one)
            in_flight.append(final)
    while journal.end(receipt(TENANT)):
        pass
    assert all(journal.end(final) for final in in_flight)


def test_no_receipt_outgrows_its_draft_by_more_than_was_promised() -> None:
    text = "\x01" * MAX_TEXT  # six bytes each in JSON
    texts = dict.fromkeys(("model_asked", "feature", "task", "end_user", "run"), text)
    final = structs.replace(
        full_receipt(TENANT),
        usage=Usage(**dict.fromkeys(Usage.__struct_fields__, 2**63 - 1)),
        **texts,
        **dict.fromkeys(("provider", "model_used", "error_code"), text),
        **dict.fromkeys(("input_nano", "output_nano", "total_nano"), 2**63 - 1),
        **dict.fromkeys(("latency_ms", "first_byte_ms"), 2**31 - 1),
        leases=tuple(uuid7() for _ in range(100)),
        degraded="x" * MAX_TEXT,
        attempts=2**31 - 1,
    )
    began = structs.replace(draft(final), usage=Usage())
    longest = msgspec.json.encode(final)
    assert len(longest) <= len(msgspec.json.encode(began)) + FINAL_MARGIN
    assert len(longest) < MAX_LINE


# -- a disk that fails -----------------------------------------------------------------------


async def test_a_short_write_is_gone_on_with(journal: Journal, disk: Disk) -> None:
    disk.most = 100
    kept = [receipt(TENANT, second=n) for n in range(5)]
    for one in kept:
        journal.end(one)
    assert journal.flush()
    assert on_disk(journal) == kept


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
async def test_while_writes_fail_calls_are_refused_and_nothing_appended_is_lost(
    journal: Journal, disk: Disk, error: int
) -> None:
    first, second, third = (receipt(TENANT, second=n) for n in range(3))
    journal.begin(draft(first))
    assert journal.flush()
    journal.begin(draft(second))
    disk.error = error
    assert not journal.flush()
    with pytest.raises(Overloaded, match="cannot be written"):
        journal.begin(draft(third))
    assert not journal.end(third)  # not begun: kept elsewhere
    assert journal.end(first)  # begun: behind what could not be written
    disk.error = None
    await journal.tend()
    assert journal.trouble is None
    assert on_disk(journal) == [draft(first), draft(second), first]
    journal.begin(draft(third))


@pytest.mark.usefixtures("small")
async def test_no_segment_goes_while_a_later_one_cannot_be_written(make_journal: MakeJournal, disk: Disk) -> None:
    journal = make_journal()
    long_one = receipt(TENANT)
    journal.begin(draft(long_one))
    for one, final in calls(60):
        journal.begin(one)
        journal.end(final)
    journal.flush()
    journal.finish(60)
    disk.error = errno.EIO
    journal.end(long_one)  # its draft is no longer needed once this is on disk, and it is not
    await journal.tend()
    assert draft(long_one) in on_disk(journal)
    disk.error = None
    await journal.tend()
    assert draft(long_one) not in on_disk(journal)
    assert on_disk(journal)[-1] == long_one


async def test_a_disk_that_cannot_sync_is_counted_and_asked_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal.end(receipt(TENANT))
    monkeypatch.setattr(os, "fdatasync", fail)
    await journal.tend()
    assert journal.disk_errors == 1
    monkeypatch.setattr(os, "fdatasync", synced.append)
    await journal.tend()
    await journal.tend()
    assert len(synced) == 1  # nothing new, nothing to sync
    assert journal.disk_errors == 1


# -- reading what was cut short --------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 2, 40, 300])
async def test_a_line_cut_short_costs_nothing_but_itself(journal: Journal, cut: int) -> None:
    kept = [receipt(TENANT), receipt(TENANT, second=1)]
    for one in kept:
        journal.end(one)
    journal.flush()
    (path,) = segments_of(journal.folder)
    size = path.read_bytes().rstrip(b"\0").__len__()
    with path.open("r+b") as file:  # what is reserved behind it is zero
        file.seek(size - cut)
        file.write(b"\0" * cut)
    lines = read_lines(path)
    assert lines.receipts == (kept if cut == 1 else kept[:1])  # 1: only its line end is missing
    assert lines.damaged == []


async def test_a_line_that_is_no_receipt_keeps_back_no_other(journal: Journal) -> None:
    kept = [receipt(TENANT, second=n) for n in range(3)]
    for one in kept:
        journal.end(one)
    journal.flush()
    (path,) = segments_of(journal.folder)
    lines = path.read_bytes().split(b"\n")
    lines[1] = b"\xff\xfe" + lines[1][2:]
    lines.insert(2, b"{}")
    path.write_bytes(b"\n".join(lines))
    read = read_lines(path)
    assert read.receipts == [kept[0], kept[2]]
    assert read.damaged == [lines[1], b"{}"]


async def test_a_hole_that_a_power_cut_left_ends_nothing(journal: Journal) -> None:
    kept = [receipt(TENANT, second=n) for n in range(20)]
    for one in kept:
        journal.end(one)
    journal.flush()
    (path,) = segments_of(journal.folder)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\0" * 4096)
    read = read_lines(path).receipts
    assert read == [one for one in kept if one in read]
    assert read[0] == kept[0]
    assert read[-1] == kept[-1]
