"""Takes over what dead processes left: their receipts into the database, then whatever else they held.

A process is dead when the lock of its journal is free. For each call in a journal the final receipt counts, else the
draft, which so becomes the receipt. Whoever has the lock recovers; one that dies doing so leaves it to the next, and
repeating it changes nothing. A process that died with its machine, whose journal cannot be had, is another matter: what
it spent is not known here.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.ledger.intake import Intake
from tenfold.ledger.journal import NEW_FOLDER
from tenfold.ledger.ports import MemberList, ReceiptRows
from tenfold.ledger.segments import LOCK_NAME, read_lines, remove_folder, segments_of
from tenfold.ledger.spill import abandoned_files
from tenfold.ledger.types import Receipt
from tenfold.store.postgres.locks import FileLock

logger = logging.getLogger(__name__)

Hook = Callable[[UUID], Awaitable[None]]
"""Gets the id of a dead process. May be called again for the same one, also by several processes at once."""

LOOK_S = 2.0
LATE_S = 10.0  # what a process had sent when it was killed may still be committed: no statement runs for so long
RETRY_S = 30.0  # after a recovery that failed for another reason than an absent database
GONE_S = 60.0  # not seen for so long, and no journal: gone with its machine
FORGET_S = 86_400.0  # until then `gone` is called every minute; a journal that turns up later is recovered still
_NOTE = "recovered"
SPILL_BYTES = 256 * 1024


class Recovery:
    """`run` until cancelled; `look` once at start, before what the dead held is granted anew.

    `died` and `gone` are called in their order with a dead process's id. `died`: its receipts are all in the database,
    so what no receipt spent was not spent; called once more after `late_s`, for what the database was still doing for
    it. `gone`: it died with its machine, so what it held must count as spent;
    called once a minute until the process is forgotten after a day.

    Counters: `recovered` receipts that were not in the database yet, `drafts` among them, `holders` taken over,
    `failures`."""

    def __init__(
        self,
        rows: ReceiptRows,
        directory: Path,
        members: MemberList,
        clock: Clock,
        *,
        died: Sequence[Hook] = (),
        gone: Sequence[Hook] = (),
        late_s: float = LATE_S,
    ) -> None:
        """`directory` is the one given to `Journal.open`."""
        self._directory = directory
        self._members = members
        self._clock = clock
        self._died = died
        self._gone = gone
        self._intake = Intake(rows, directory)
        self._late_s = late_s
        self._again_at_s: dict[UUID, float] = {}
        self._look_for_gone_at_s = 0.0
        self.recovered = 0
        self.drafts = 0
        self.holders = 0
        self.failures = 0

    @property
    def refused(self) -> int:
        return self._intake.refused

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Once over everything. Never raises but for cancellation; what failed is tried again by a later look."""
        try:
            for holder, folder in await asyncio.to_thread(_journals, self._directory):
                if holder != self._members.id and self._again_at_s.get(holder, 0.0) <= self._clock.monotonic_s():
                    await self._take_over(holder, folder)
            await self._replay_spilled()
            if self._look_for_gone_at_s <= self._clock.monotonic_s():
                self._look_for_gone_at_s = self._clock.monotonic_s() + GONE_S
                await self._look_for_gone()
        except StoreUnavailable as error:
            logger.info("nothing is recovered, the database is away: %s", error.message)
        except Exception:  # the next look must come whatever went wrong in this one
            self.failures += 1
            logger.exception("looking for what dead processes left failed")

    # -- a dead process ----------------------------------------------------------------------

    async def _take_over(self, holder: UUID, folder: Path) -> None:
        lock = await asyncio.to_thread(_claim, folder)
        if lock is None:
            return
        try:
            await self._recover(holder, folder)
        except StoreUnavailable:
            raise
        except Exception:  # one journal must not keep back the others
            self.failures += 1
            self._again_at_s[holder] = self._clock.monotonic_s() + RETRY_S
            logger.exception("the journal %s was not recovered; it will be tried again", folder)
        finally:
            lock.release()

    async def _recover(self, holder: UUID, folder: Path) -> None:
        """Twice, the second time when what the database was still doing for the dead process is over. Whoever finds it
        then does that; the first one leaves a note of when it was there."""
        now_s = self._clock.monotonic_s()
        first_s = await asyncio.to_thread(_recovered_at, folder)
        if first_s is not None and 0 <= now_s - first_s < self._late_s:  # less than 0: the machine has started anew
            self._again_at_s[holder] = first_s + self._late_s
            return
        recovered, drafts = self.recovered, self.drafts
        await self._replay(folder)
        for hook in self._died:
            await hook(holder)
        if first_s is None:
            self.holders += 1
            logger.warning(
                "process %s is dead: %d receipts recovered, %d of them of calls it was killed in",
                holder,
                self.recovered - recovered,
                self.drafts - drafts,
            )
            if self._late_s > 0:
                await asyncio.to_thread((folder / _NOTE).write_text, repr(now_s))
                self._again_at_s[holder] = now_s + self._late_s
                return
        await self._members.remove(holder)
        await asyncio.to_thread(remove_folder, folder)
        self._again_at_s.pop(holder, None)

    async def _replay(self, folder: Path) -> None:
        """Final receipts as they come, and then the drafts they leave: memory holds the calls in flight at most."""
        drafts: dict[UUID, Receipt] = {}
        for path in await asyncio.to_thread(segments_of, folder):
            lines = await asyncio.to_thread(read_lines, path)
            if lines.damaged:
                logger.error("%d lines of %s are no receipts", len(lines.damaged), path)
                await self._intake.keep_damaged(lines.damaged)
            drafts |= {receipt.id: receipt for receipt in lines.receipts if receipt.draft}
            final = [receipt for receipt in lines.receipts if not receipt.draft]
            await self._add(final)
            for receipt in final:
                drafts.pop(receipt.id, None)
        await self._add(list(drafts.values()))

    async def _add(self, receipts: list[Receipt]) -> None:
        new = await self._intake.add(receipts)
        self.recovered += len(new)
        self.drafts += sum(receipt.draft for receipt in new)

    # -- what else there is to find ----------------------------------------------------------

    async def _replay_spilled(self) -> None:
        files = await asyncio.to_thread(abandoned_files, self._directory)
        try:
            for file in files:
                while receipts := await asyncio.to_thread(file.read, SPILL_BYTES):
                    await self._add(receipts)
                await asyncio.to_thread(file.remove)
                logger.info("receipts of an earlier release were taken over from %s", file.path)
        finally:
            for file in files:
                file.close()

    async def _look_for_gone(self) -> None:
        here = {holder for holder, _ in await asyncio.to_thread(_journals, self._directory)}
        forgotten = set(await self._members.dead(FORGET_S))
        for member_id in await self._members.dead(GONE_S):
            if member_id in here:
                continue  # its lock says whether it lives
            logger.warning("process %s is gone with its machine: what it held counts as spent", member_id)
            for hook in self._gone:
                await hook(member_id)
            if member_id in forgotten:
                await self._members.remove(member_id)


def _journals(directory: Path) -> list[tuple[UUID, Path]]:
    """The oldest first."""
    found = []
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            if path.name.endswith(NEW_FOLDER):
                _remove_unborn(path)
                continue
            with suppress(ValueError):
                found.append((UUID(path.name), path))
    return sorted(found)


def _recovered_at(folder: Path) -> float | None:
    """Monotonic seconds of this machine. None: nobody has been there."""
    try:
        return float((folder / _NOTE).read_text())
    except (FileNotFoundError, ValueError):  # none, or half a note
        return None


def _remove_unborn(folder: Path) -> None:
    """Of a process that died as it made its journal."""
    with suppress(OSError):
        if folder.stat().st_mtime < time.time() - GONE_S and (lock := _claim(folder)) is not None:
            try:
                remove_folder(folder)
            finally:
                lock.release()


def _claim(folder: Path) -> FileLock | None:
    """None: somebody holds it, its own process or one that recovers it, or it has been recovered."""
    path = folder / LOCK_NAME
    lock = FileLock(path)
    try:
        if not lock.try_exclusive():
            return None
    except FileNotFoundError:
        return None
    if path.exists():
        return lock
    lock.release()  # the lock of a folder that was recovered in between
    return None
