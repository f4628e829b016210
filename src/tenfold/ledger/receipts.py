"""Takes the draft and the receipt of each call without waiting, and sees the receipts into the database exactly once.

Both are in the journal before anybody outside hears of the call; the database gets the receipts behind that, in small
batches. While it is away they stay in the journal, in memory only as many as have room there. Writing one twice is
harmless (it is found by its id), so whatever may have been written is written again.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from datetime import date
from itertools import islice

from tenfold.core.call import Call
from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.ledger.intake import BATCH_ROWS, Intake
from tenfold.ledger.journal import Journal
from tenfold.ledger.ports import ReceiptRows
from tenfold.ledger.segments import read_finals
from tenfold.ledger.types import Receipt, UpperBound, draft_of, receipt_of

__all__ = ["Receipt", "ReceiptWriter", "draft_of", "receipt_of"]

logger = logging.getLogger(__name__)

FLUSH_S = 0.1
TEND_S = 1.0
# Taken at once when the database falls behind: more of them are of one tenant, and so in one transaction. With 200
# tenants in turn 13,000 a second are written so, and 4,000 in batches of 500 as they come.
WINDOW_ROWS = 5_000
MAX_IN_MEMORY = 20_000  # receipts, about 30 MB; more are read back from the journal
MAX_LOOSE = 20_000  # receipts the disk did not take
DAYS_AHEAD = 8
FIRST_RETRY_S = 0.25
LAST_RETRY_S = 10.0
PREPARE_RETRY_S = 30.0


class ReceiptWriter:
    """`begin` and `end` each call; `run` until it is cancelled, then `drain`, both by the owner of the task.

    Counters: `written` into the database, `refused` by it (kept in a file), `lost` (neither database nor disk took
    them; never a receipt whose call was begun, unless its draft stands for it)."""

    def __init__(self, rows: ReceiptRows, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._intake = Intake(rows, journal.folder.parent)
        self._pending: deque[Receipt] = deque()  # in the order of the journal, without a gap
        self._known_to = 0  # the number, in the journal, of the first receipt that is not in memory
        self._loose: deque[Receipt] = deque()  # those the journal did not take
        self._full = asyncio.Event()
        self._prepared: date | None = None
        self._prepare_at_s = 0.0
        self._retry_s = 0.0
        self._retry_at_s = 0.0
        self.lost = 0

    @property
    def pending(self) -> int:
        """Receipts that are not in the database yet, in memory or not."""
        return self._journal.waiting + len(self._loose)

    @property
    def in_memory(self) -> int:
        return len(self._pending) + len(self._loose)

    @property
    def journal_bytes(self) -> int:
        return self._journal.bytes

    @property
    def trouble(self) -> str | None:
        """What is wrong with the disk, when something is."""
        return self._journal.trouble

    @property
    def written(self) -> int:
        return self._intake.written

    @property
    def refused(self) -> int:
        return self._intake.refused

    # -- the hot path ------------------------------------------------------------------------

    def begin(self, call: Call, bound: UpperBound) -> None:
        """Raises Overloaded when the disk is full or fails."""
        self._journal.begin(draft_of(call, bound))

    def end(self, call: Call) -> None:
        """Never blocks, never raises."""
        self.record(receipt_of(call))

    def record(self, receipt: Receipt) -> None:
        """Never blocks, never raises."""
        pending = self._pending
        if not self._journal.end(receipt):
            self._keep_loose(receipt)
        elif self._known_to == self._journal.appended - 1 and len(pending) < MAX_IN_MEMORY:
            pending.append(receipt)
            self._known_to += 1
            if len(pending) >= BATCH_ROWS:
                self._full.set()

    # -- behind it ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Flushes and tends the journal until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._flush_for_ever(), name="ledger.receipts")
            tasks.create_task(self._tend_for_ever(), name="ledger.journal")

    async def flush(self) -> None:
        """Everything recorded so far into the database. Cancelled halfway it has lost nothing."""
        await self._prepare_days()
        while self._loose:
            batch = list(islice(self._loose, WINDOW_ROWS))
            if not await self._write(batch):
                return
            for receipt in batch:
                self._loose.popleft()
                self._journal.forget(receipt)
        while self._pending or await self._read_back():
            # Still pending while they are written: a flush that is cancelled leaves them where they were.
            batch = list(islice(self._pending, WINDOW_ROWS))
            if not await self._write(batch):
                return
            for _ in batch:
                self._pending.popleft()
            self._journal.finish(len(batch))

    async def drain(self, timeout_s: float = 5.0, *, keep: bool = False) -> None:
        """The last flush. What the database does not take in time stays in the journal for another process; `keep`: the
        journal stays in any case, because something this process held is still to be given back."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.flush()
        for _ in range(len(self._loose)):
            receipt = self._loose.popleft()
            if not self._journal.end(receipt):
                self.lost += 1
        if self.lost:
            logger.error("receipts lost: neither the database nor the disk took %d", self.lost)
        if keep or self._journal.waiting or self._journal.in_flight:
            logger.warning("%d receipts stay in %s for the next process", self._journal.waiting, self._journal.folder)
            await asyncio.to_thread(self._journal.close)
            return
        try:
            await asyncio.to_thread(self._journal.remove)
        except OSError:
            logger.exception("the journal %s could not be removed; the next process will", self._journal.folder)

    # -- inside ------------------------------------------------------------------------------

    async def _flush_for_ever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._full.wait()
            self._full.clear()
            await self.flush()

    async def _tend_for_ever(self) -> None:
        """Apart from the flushes: a slow database must not keep receipts from the disk."""
        while True:
            await self._journal.tend()
            await asyncio.sleep(TEND_S)

    async def _write(self, batch: list[Receipt]) -> bool:
        """False: the database is away."""
        if self._clock.monotonic_s() < self._retry_at_s:
            return False
        try:
            await self._intake.add(batch)
        except StoreUnavailable as error:
            self._retry_s = min(max(self._retry_s * 2, FIRST_RETRY_S), LAST_RETRY_S)
            self._retry_at_s = self._clock.monotonic_s() + self._retry_s
            logger.warning("receipts wait in the journal, the database is away: %s", error.message)
            return False
        self._retry_s = self._retry_at_s = 0.0
        return True

    async def _read_back(self) -> bool:
        """Receipts that memory had no room for. Nothing is pending. False: there are none."""
        journal = self._journal
        if self._clock.monotonic_s() < self._retry_at_s:
            return False
        found = journal.next_finals(journal.done)
        if found is None:
            return False
        segment, written, end = found
        self._known_to = end  # those that come while it is read follow without a gap
        try:
            receipts = await asyncio.to_thread(read_finals, segment, written, journal.done)
        except BaseException as error:
            self._pending.clear()
            self._known_to = journal.done
            if not isinstance(error, OSError):
                raise
            logger.exception("the journal cannot be read; what is in it stays there")
            return False
        missing = end - journal.done - len(receipts)
        if missing > 0:
            logger.error("%d receipts in %s can no longer be read", missing, segment.path)
            self.lost += missing
            journal.finish(missing)
        self._pending.extendleft(reversed(receipts))
        return bool(self._pending)

    def _keep_loose(self, receipt: Receipt) -> None:
        if len(self._loose) >= MAX_LOOSE:
            self.lost += 1
        else:
            self._loose.append(receipt)

    async def _prepare_days(self) -> None:
        """Once a day. Without it receipts are kept all the same, in the partition for all other days."""
        today = self._clock.now().date()
        if today == self._prepared or self._clock.monotonic_s() < self._prepare_at_s:
            return
        try:
            await self._intake.rows.prepare_days(today, DAYS_AHEAD)
        except StoreUnavailable:
            self._prepare_at_s = self._clock.monotonic_s() + PREPARE_RETRY_S
            return
        except Exception:  # a database that forbids new tables still takes receipts
            logger.exception("no partitions for the days ahead: receipts go to the partition for all other days")
        self._prepared = today
