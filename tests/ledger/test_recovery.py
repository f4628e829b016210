"""What dead processes leave is taken over once, whole, whoever dies doing so."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from tenfold.core.clock import FakeClock, SystemClock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.fake import FakeMemberList, FakeReceiptRows
from tenfold.ledger.intake import REFUSED_FILE
from tenfold.ledger.journal import NEW_FOLDER, Journal
from tenfold.ledger.ports import MemberList
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.receipts import ReceiptWriter
from tenfold.ledger.recovery import FORGET_S, GONE_S, LATE_S, RETRY_S, Hook, Recovery
from tenfold.ledger.segments import LOCK_NAME, segments_of
from tenfold.ledger.spill import SUFFIX
from tenfold.ledger.types import Receipt
from tenfold.store import Members, Store

from .samples import add_tenant, draft, receipt

ONE, TWO = TenantId(uuid7()), TenantId(uuid7())
MakeJournal = Callable[[], Journal]


class Heard:
    """Hooks that note who they were called with, and fail when told to."""

    def __init__(self) -> None:
        self.told: list[tuple[str, UUID]] = []
        self.error: Exception | None = None

    def hook(self, name: str) -> Hook:
        async def hear(holder: UUID) -> None:
            if self.error is not None:
                raise self.error
            self.told.append((name, holder))

        return hear


@pytest.fixture
def fake() -> FakeReceiptRows:
    return FakeReceiptRows()


@pytest.fixture
def members() -> FakeMemberList:
    return FakeMemberList()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "receipts"


@pytest.fixture
def recovery(
    fake: FakeReceiptRows, directory: Path, members: FakeMemberList, clock: FakeClock, heard: Heard
) -> Recovery:
    died = [heard.hook("leases"), heard.hook("keys")]
    return Recovery(fake, directory, members, clock, died=died, gone=[heard.hook("gone")], late_s=0)


def kill(journal: Journal) -> UUID:
    """What the end of a process does: what is in the page cache is there, the lock is gone, nothing is tidied up."""
    for segment in (*journal._sealed, *journal._spares, journal._active):
        segment.close()
    journal._lock.release()
    return UUID(journal.folder.name)


def left_behind(make_journal: MakeJournal, finals: Sequence[Receipt], drafts: Sequence[Receipt] = ()) -> UUID:
    journal = make_journal()
    for one in [*finals, *drafts]:
        journal.begin(draft(one))
    for one in finals:
        journal.end(one)
    assert journal.flush()
    return kill(journal)


async def test_final_receipts_count_and_the_drafts_of_calls_that_did_not_end(
    make_journal: MakeJournal, recovery: Recovery, fake: FakeReceiptRows, heard: Heard, directory: Path
) -> None:
    finals = [receipt(ONE), receipt(TWO, second=1)]
    cut = receipt(ONE, second=2)
    holder = left_behind(make_journal, finals, [cut])
    await recovery.look()
    assert fake.all == [*finals, draft(cut)]
    assert (recovery.recovered, recovery.drafts, recovery.holders, recovery.failures) == (3, 1, 1, 0)
    assert heard.told == [("leases", holder), ("keys", holder)]
    assert list(directory.iterdir()) == []
    await recovery.look()
    assert len(heard.told) == 2


async def test_a_process_that_lives_is_left_alone(
    make_journal: MakeJournal, recovery: Recovery, fake: FakeReceiptRows, heard: Heard
) -> None:
    journal = make_journal()
    journal.begin(draft(receipt(ONE)))
    journal.flush()
    await recovery.look()
    assert (fake.all, heard.told) == ([], [])
    assert journal.folder.exists()


async def test_what_the_dead_process_had_written_itself_counts_once(
    make_journal: MakeJournal, recovery: Recovery, fake: FakeReceiptRows, clock: FakeClock
) -> None:
    journal = make_journal()
    writer = ReceiptWriter(fake, journal, clock)
    written, waiting = receipt(ONE), receipt(ONE, second=1)
    for one in (written, waiting):
        journal.begin(draft(one))
    writer.record(written)
    await writer.flush()
    writer.record(waiting)
    journal.flush()
    kill(journal)
    await recovery.look()
    assert fake.all == [written, waiting]
    assert (recovery.recovered, recovery.drafts) == (1, 0)


async def test_a_draft_whose_final_receipt_is_in_the_database_only_is_no_news(
    make_journal: MakeJournal, recovery: Recovery, fake: FakeReceiptRows
) -> None:
    one = receipt(ONE)
    await fake.add(ONE, [one])
    left_behind(make_journal, [], [one])
    await recovery.look()
    assert fake.all == [one]
    assert (recovery.recovered, recovery.drafts) == (0, 0)


async def test_while_the_database_is_away_it_waits(
    make_journal: MakeJournal, recovery: Recovery, fake: FakeReceiptRows, heard: Heard
) -> None:
    one = receipt(ONE)
    left_behind(make_journal, [one])
    fake.away = True
    await recovery.look()
    assert heard.told == []
    fake.away = False
    fake.lose_answer = True  # the connection breaks in the commit
    await recovery.look()
    assert heard.told == []
    fake.lose_answer = False
    await recovery.look()
    assert fake.all == [one]
    assert len(heard.told) == 2
    assert recovery.failures == 0


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ValueError("a bug")])
async def test_a_hook_that_fails_is_called_again_and_keeps_back_nobody_else(
    make_journal: MakeJournal,
    recovery: Recovery,
    fake: FakeReceiptRows,
    heard: Heard,
    clock: FakeClock,
    directory: Path,
    error: Exception,
) -> None:
    left_behind(make_journal, [receipt(ONE)])
    left_behind(make_journal, [receipt(TWO)])
    heard.error = error
    await recovery.look()
    assert heard.told == []
    assert len(list(directory.iterdir())) == 2
    assert len(fake.all) == (1 if isinstance(error, StoreUnavailable) else 2)
    heard.error = None
    clock.advance(RETRY_S)
    await recovery.look()
    assert len(heard.told) == 4
    assert list(directory.iterdir()) == []


async def test_several_that_try_at_once_recover_each_receipt_once(
    make_journal: MakeJournal, fake: FakeReceiptRows, directory: Path, clock: FakeClock, heard: Heard
) -> None:
    """One that comes as another removes a folder may find it once more, empty, and call the hooks again."""
    holders = {left_behind(make_journal, [receipt(ONE, second=n)]) for n in range(5)}
    several = [
        Recovery(fake, directory, FakeMemberList(), clock, died=[heard.hook("died")], late_s=0) for _ in range(4)
    ]
    await asyncio.gather(*(one.look() for one in several))
    assert len(fake.all) == 5
    assert {holder for _, holder in heard.told} == holders
    assert sum(one.recovered for one in several) == 5
    assert sum(one.failures for one in several) == 0
    await several[0].look()
    assert list(directory.iterdir()) == []


async def test_lines_that_are_no_receipts_are_kept_for_a_person(
    make_journal: MakeJournal, recovery: Recovery, fake: FakeReceiptRows, directory: Path
) -> None:
    kept = [receipt(ONE, second=n) for n in range(3)]
    holder = left_behind(make_journal, kept)
    (path,) = segments_of(directory / str(holder))
    lines = path.read_bytes().split(b"\n")
    lines[4] = b'{"id":"no"}'
    path.write_bytes(b"\n".join(lines))
    await recovery.look()
    assert fake.all == [kept[0], draft(kept[1]), kept[2]]
    assert (directory / REFUSED_FILE).read_bytes() == lines[4] + b"\n"
    assert recovery.refused == 1


async def test_a_folder_that_was_half_removed_is_removed(
    make_journal: MakeJournal, recovery: Recovery, directory: Path, members: FakeMemberList
) -> None:
    holder = left_behind(make_journal, [receipt(ONE)])
    members.unseen_s[holder] = 1.0
    for path in segments_of(directory / str(holder)):
        path.unlink()
    (directory / str(holder) / LOCK_NAME).unlink()
    await recovery.look()
    assert list(directory.iterdir()) == []
    assert members.unseen_s == {}


async def test_a_journal_that_was_never_finished_goes_after_a_while(recovery: Recovery, directory: Path) -> None:
    folder = directory / f"{uuid7()}{NEW_FOLDER}"
    folder.mkdir(parents=True)
    await recovery.look()
    assert folder.exists()  # its process may be about to lock it
    long_ago = time.time() - 3600
    os.utime(folder, (long_ago, long_ago))
    await recovery.look()
    assert not folder.exists()


async def test_files_of_an_earlier_release_are_taken_over(
    recovery: Recovery, fake: FakeReceiptRows, directory: Path
) -> None:
    kept = [receipt(ONE, second=n) for n in range(1200)]
    directory.mkdir()
    path = directory / f"{uuid7().hex}{SUFFIX}"
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in kept))
    fake.away = True
    await recovery.look()
    assert path.exists()
    fake.away = False
    await recovery.look()
    assert fake.all == kept
    assert not path.exists()


async def test_nothing_to_recover_is_fine(recovery: Recovery) -> None:
    await recovery.look()
    assert recovery.failures == 0


async def test_it_looks_again_and_again(
    make_journal: MakeJournal, recovery: Recovery, fake: FakeReceiptRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.ledger.recovery.LOOK_S", 0.0)
    running = asyncio.create_task(recovery.run(), name="recovery")
    left_behind(make_journal, [receipt(ONE)])
    await asyncio.wait_for(fake.wait_for(1), timeout=10)
    left_behind(make_journal, [receipt(ONE, second=1)])
    await asyncio.wait_for(fake.wait_for(2), timeout=10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# -- gone with their machine -----------------------------------------------------------------


async def test_a_process_without_a_journal_is_gone_and_forgotten_after_a_day(
    recovery: Recovery, members: FakeMemberList, heard: Heard, clock: FakeClock
) -> None:
    lost = uuid7()
    members.unseen_s[lost] = GONE_S - 1
    await recovery.look()
    assert heard.told == []
    members.unseen_s[lost] = GONE_S + 1
    await recovery.look()  # a minute has not passed
    assert heard.told == []
    clock.advance(GONE_S)
    await recovery.look()
    clock.advance(GONE_S)
    await recovery.look()
    assert heard.told == [("gone", lost)] * 2
    assert members.unseen_s == {lost: GONE_S + 1}
    members.unseen_s[lost] = FORGET_S + 1
    clock.advance(GONE_S)
    await recovery.look()
    assert heard.told == [("gone", lost)] * 3
    assert members.unseen_s == {}


async def test_a_process_whose_lock_is_held_is_not_gone_however_long_it_was_not_seen(
    make_journal: MakeJournal, recovery: Recovery, members: FakeMemberList, heard: Heard
) -> None:
    journal = make_journal()
    members.unseen_s[UUID(journal.folder.name)] = FORGET_S + 1
    await recovery.look()
    assert heard.told == []
    assert members.unseen_s


# -- on Postgres -----------------------------------------------------------------------------


async def test_on_postgres_receipts_and_member_are_taken_over(
    store: Store, make_journal: MakeJournal, directory: Path, heard: Heard
) -> None:
    await add_tenant(store, ONE)
    cut, final = receipt(ONE), receipt(ONE, second=1)
    holder = left_behind(make_journal, [final], [cut])
    await Members(store, holder).join()
    own: MemberList = Members(store)
    rows = PostgresReceiptRows(store)
    recovery = Recovery(rows, directory, own, SystemClock(), died=[heard.hook("died")], late_s=0)
    await recovery.look()
    assert await rows.recent(ONE, limit=9) == [final, draft(cut)]
    assert heard.told == [("died", holder)]
    assert await own.dead(-1.0) == []


async def test_what_the_database_was_still_doing_for_it_is_taken_over_too(
    make_journal: MakeJournal,
    fake: FakeReceiptRows,
    directory: Path,
    members: FakeMemberList,
    clock: FakeClock,
    heard: Heard,
) -> None:
    """A statement that was on its way when the process was killed may commit after its journal was read."""
    one, other = (Recovery(fake, directory, members, clock, died=[heard.hook("leases")]) for _ in range(2))
    holder = left_behind(make_journal, [receipt(ONE)])
    for recovery in (one, other, one):
        await recovery.look()
    assert heard.told == [("leases", holder)]
    assert (directory / str(holder)).exists()
    clock.advance(LATE_S)
    for recovery in (other, one):
        await recovery.look()
    assert heard.told == [("leases", holder)] * 2
    assert list(directory.iterdir()) == []
    assert one.holders + other.holders == 1
    assert one.recovered + other.recovered == 1
