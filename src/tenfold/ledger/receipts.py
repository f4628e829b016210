"""Takes the receipt of each call without waiting, and sees it into the database exactly once.

Receipts are written in small batches, one transaction a tenant. While the database is away they go to a file, synced
within a flush, and from there into the database when it is back or when the next process starts. Writing one twice
is harmless (it is found by its id), so whatever may have been written is written again.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from itertools import islice
from pathlib import Path

import msgspec

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.ledger.ports import ReceiptRows
from tenfold.ledger.spill import SpillFile, abandoned_files, own_file
from tenfold.ledger.types import Receipt, receipt_of

__all__ = ["Receipt", "ReceiptWriter", "receipt_of"]

logger = logging.getLogger(__name__)

FLUSH_S = 0.1
BATCH_ROWS = 500
MAX_PENDING = 100_000  # about 100 MB; reached only when neither the database nor the disk takes receipts
DAYS_AHEAD = 8
FIRST_RETRY_S = 0.25
LAST_RETRY_S = 10.0
PREPARE_RETRY_S = 30.0
REPLAY_BYTES = 256 * 1024
REFUSED_FILE = "refused.jsonl"


class ReceiptWriter:
    """`run` until it is cancelled, then `drain`; both by the owner of the task.

    Counters: `written` into the database (`replayed` of them from disk), `spilled` to disk, `refused` by the database
    (kept in `refused.jsonl` for a person to look at), `lost` (neither database nor disk took them)."""

    def __init__(self, rows: ReceiptRows, directory: Path, clock: Clock) -> None:
        """`directory` is this writer's own, under the home of the process; made when it is missing."""
        self._rows = rows
        self._directory = directory
        self._clock = clock
        self._pending: deque[Receipt] = deque()
        self._full = asyncio.Event()
        self._spill: SpillFile | None = None
        self._replays: list[SpillFile] = []
        self._prepared: date | None = None
        self._prepare_at_s = 0.0
        self._retry_s = 0.0
        self._retry_at_s = 0.0
        self.written = 0
        self.spilled = 0
        self.replayed = 0
        self.refused = 0
        self.lost = 0

    @property
    def pending(self) -> int:
        """Receipts in memory."""
        return len(self._pending)

    @property
    def backlog_bytes(self) -> int:
        """Receipts on disk that are not in the database yet."""
        return sum(file.backlog_bytes for file in self._files())

    def record(self, receipt: Receipt) -> None:
        """Never blocks, never raises."""
        if len(self._pending) >= MAX_PENDING:
            self.lost += 1
            return
        self._pending.append(receipt)
        if len(self._pending) >= BATCH_ROWS:
            self._full.set()

    async def run(self) -> None:
        """Takes over what earlier processes left behind, then flushes until cancelled."""
        await asyncio.to_thread(self._open_directory)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._full.wait()
            self._full.clear()
            await self.flush()

    async def flush(self) -> None:
        """Everything recorded so far into the database or onto the disk, and some of the disk's backlog into the
        database. Cancelled halfway it has lost nothing."""
        await self._prepare_days()
        while self._pending:
            batch = list(islice(self._pending, BATCH_ROWS))
            # Still pending while they are written: a flush that is cancelled leaves them where they were.
            crowded = len(self._pending) > MAX_PENDING // 2  # the database is slower than the calls
            if not ((crowded and await self._to_disk(batch)) or await self._write(batch) or await self._to_disk(batch)):
                return
            for _ in batch:
                self._pending.popleft()
        await self._replay()

    async def drain(self, timeout_s: float = 5.0) -> None:
        """The last flush. What the database does not take in time goes to disk for the next process."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.flush()
        if self._pending:
            left = list(self._pending)
            if await self._to_disk(left):
                self._pending.clear()
            else:
                logger.error("receipts lost at shutdown: neither the database nor the disk took %d", len(left))
                self.lost += len(left)
        for file in self._files():
            await asyncio.to_thread(file.close)
        self._spill, self._replays = None, []

    # -- database ----------------------------------------------------------------------------

    async def _write(self, batch: Sequence[Receipt]) -> bool:
        """False: the database is away."""
        if self._clock.monotonic_s() < self._retry_at_s:
            return False
        refused = self.refused
        try:
            for tenant_id, receipts in _by_tenant(batch).items():
                await self._add(tenant_id, receipts)
        except StoreUnavailable as error:
            self._retry_s = min(max(self._retry_s * 2, FIRST_RETRY_S), LAST_RETRY_S)
            self._retry_at_s = self._clock.monotonic_s() + self._retry_s
            logger.warning("receipts go to disk, the database is away: %s", error.message)
            return False
        self._retry_s = self._retry_at_s = 0.0
        self.written += len(batch) - (self.refused - refused)
        return True

    async def _add(self, tenant_id: TenantId, receipts: list[Receipt]) -> None:
        try:
            await self._rows.add(tenant_id, receipts)
        except StoreUnavailable:
            raise
        except Exception:  # whatever the database has against one receipt must not keep back all the others
            if len(receipts) == 1:
                await self._refuse(receipts[0])
                return
            middle = len(receipts) // 2
            await self._add(tenant_id, receipts[:middle])
            await self._add(tenant_id, receipts[middle:])

    async def _refuse(self, receipt: Receipt) -> None:
        logger.exception("the database refused the receipt %s; it is kept in %s", receipt.id, REFUSED_FILE)
        self.refused += 1
        try:
            await asyncio.to_thread(self._keep_refused, receipt)
        except OSError:
            logger.exception("the refused receipt could not be kept: %r", receipt)

    async def _prepare_days(self) -> None:
        """Once a day. Without it receipts are kept all the same, in the partition for all other days."""
        today = self._clock.now().date()
        if today == self._prepared or self._clock.monotonic_s() < self._prepare_at_s:
            return
        try:
            await self._rows.prepare_days(today, DAYS_AHEAD)
        except StoreUnavailable:
            self._prepare_at_s = self._clock.monotonic_s() + PREPARE_RETRY_S
            return
        except Exception:  # a database that forbids new tables still takes receipts
            logger.exception("no partitions for the days ahead: receipts go to the partition for all other days")
        self._prepared = today

    # -- disk --------------------------------------------------------------------------------

    async def _to_disk(self, batch: Sequence[Receipt]) -> bool:
        try:
            await asyncio.to_thread(self._append, batch)
        except OSError:
            logger.exception("receipts stay in memory: neither the database nor the disk takes them")
            return False
        self.spilled += len(batch)
        return True

    def _append(self, batch: Sequence[Receipt]) -> None:
        if self._spill is None:
            self._make_directory()
            self._spill = own_file(self._directory)
        self._spill.append(batch)

    async def _replay(self) -> None:
        """Until the disk is empty or the database away; live receipts come first, so one piece at a time."""
        if self._clock.monotonic_s() < self._retry_at_s:
            return
        try:
            for file in self._files():
                while file.backlog_bytes and not self._pending:
                    receipts, end = await asyncio.to_thread(file.read, REPLAY_BYTES)
                    if not await self._write(receipts):
                        return
                    await asyncio.to_thread(file.done, end)
                    self.replayed += len(receipts)
            while self._replays and not self._replays[0].backlog_bytes:
                await asyncio.to_thread(self._replays[0].close)
                self._replays.pop(0)  # after it: a flush cancelled in between leaves the file to `drain`
        except OSError:
            logger.exception("receipts on disk could not be read; they stay there")

    def _open_directory(self) -> None:
        self._make_directory()
        self._replays = list(abandoned_files(self._directory))

    def _make_directory(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _keep_refused(self, receipt: Receipt) -> None:
        self._make_directory()
        with (self._directory / REFUSED_FILE).open("ab") as file:
            file.write(msgspec.json.encode(receipt) + b"\n")

    def _files(self) -> list[SpillFile]:
        return [*self._replays, *([self._spill] if self._spill is not None else [])]


def _by_tenant(receipts: Sequence[Receipt]) -> dict[TenantId, list[Receipt]]:
    tenants: dict[TenantId, list[Receipt]] = {}
    for receipt in receipts:
        tenants.setdefault(receipt.tenant_id, []).append(receipt)
    return tenants
