"""The journal of one process: what it has begun and ended, in files that outlive it.

Before a provider is asked, the draft of the call's receipt is appended, at the end the receipt itself. Appends are
gathered in memory and written ahead of the socket writes of their turn of the event loop (`WriteBatch.before`), so a
draft is in the page cache before its provider hears anything, and the page cache outlives kill -9. A lock on the
journal's folder is held for as long as the process lives: a free one is the proof that it is dead (`recovery`).
"""

import asyncio
import logging
import os
from collections import deque
from pathlib import Path
from uuid import UUID

import msgspec

from tenfold.core.clock import Clock
from tenfold.core.errors import Overloaded
from tenfold.core.write_batch import WriteBatch
from tenfold.ledger.segments import (
    LOCK_NAME,
    SEGMENT_BYTES,
    SUFFIX,
    Segment,
    remove_folder,
    sync_folder,
)
from tenfold.ledger.types import Receipt
from tenfold.store.postgres.locks import FileLock

logger = logging.getLogger(__name__)

MAX_LINE = 64 * 1024  # texts are cut to 200 characters each: no receipt comes near it
FINAL_MARGIN = 4864  # what a receipt may be longer than its draft: four more texts, every count and amount
SPARES = 2  # segments reserved ahead by the background
TRY_AGAIN_S = 1.0
NEW_FOLDER = ".new"

_ROOM = SEGMENT_BYTES - MAX_LINE  # what surely fits into a segment: less than a line is left over at its end
_encoder = msgspec.json.Encoder()


class Journal:
    """`open` it, then `begin` and `end` each call; `tend` it about once a second; `close` or `remove` it.

    Its room is promised before it is used: a draft is taken only when its final receipt will fit as well, so a full
    disk refuses new calls and loses nothing of those in flight."""

    def __init__(self, folder: Path, lock: FileLock, batch: WriteBatch, clock: Clock) -> None:
        """Use `open`."""
        self.folder = folder
        self._lock = lock
        self._batch = batch
        self._clock = clock
        self._number = 0
        self._buffer = bytearray()
        self._active = Segment(self._next_path())
        self._spares: deque[Segment] = deque()
        self._sealed: list[Segment] = []
        self._homes: dict[int, tuple[Segment, int]] = {}  # call in flight -> where its draft is, bytes promised to it
        self._room = _ROOM
        self._promised = 0
        self._failing: str | None = None  # why the buffer cannot be written
        self._full: str | None = None  # why no segment can be reserved
        self._try_at_s = 0.0
        self.appended = 0  # final receipts, ever
        self.done = 0  # the first so many of them are in the database
        self.disk_errors = 0

    @classmethod
    def open(cls, directory: Path, member_id: UUID, batch: WriteBatch, clock: Clock) -> "Journal":
        """In `<directory>/<member id>/`, made and locked before it has that name. Blocks. Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder, new = directory / str(member_id), directory / f"{member_id}{NEW_FOLDER}"
        new.mkdir(mode=0o700)
        lock = FileLock(new / LOCK_NAME)
        if not lock.try_exclusive():
            raise BlockingIOError(f"{new} was taken away as it was made")
        try:
            new.rename(folder)
            journal = cls(folder, lock, batch, clock)
            sync_folder(folder)
            sync_folder(directory)
        except BaseException:
            lock.release()
            raise
        return journal

    @property
    def is_open(self) -> bool:
        return self._lock.held

    @property
    def in_flight(self) -> int:
        """Calls drafted and not ended."""
        return len(self._homes)

    @property
    def waiting(self) -> int:
        """Final receipts that are not in the database yet."""
        return self.appended - self.done

    @property
    def bytes(self) -> int:
        """Written and still needed."""
        return self._active.written + sum(segment.written for segment in self._sealed)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the disk: calls are refused, at once or when what is reserved is used up."""
        return self._failing or self._full

    # -- the hot path ------------------------------------------------------------------------

    def begin(self, draft: Receipt) -> None:
        """Raises Overloaded: no room, or the disk fails. The call was not begun then."""
        buffer = self._buffer
        start = len(buffer)
        if not start:
            self._batch.before(self.flush)
        _encoder.encode_into(draft, buffer, -1)
        buffer += b"\n"
        size = len(buffer) - start
        promise = size + FINAL_MARGIN
        wanted = self._promised + promise + size
        if self._failing is not None or (self._room < wanted and not self._make_room(wanted)):
            del buffer[start:]
            raise self._overloaded()
        if self._active.written + len(buffer) > SEGMENT_BYTES and not self._turn_over(start):
            raise self._overloaded()
        self._room -= size
        self._promised += promise
        active = self._active
        active.drafts += 1
        self._homes[draft.id.int] = (active, promise)

    def end(self, receipt: Receipt) -> bool:
        """Never raises. False: it is not in the journal (no room for a call that was not begun, or the disk fails); if
        the call was begun, its draft stays until `forget`."""
        buffer = self._buffer
        key = receipt.id.int
        home = self._homes.get(key)
        start = len(buffer)
        if not start:
            self._batch.before(self.flush)
        _encoder.encode_into(receipt, buffer, -1)
        buffer += b"\n"
        size = len(buffer) - start
        if home is None:
            wanted = self._promised + size
            if self._failing is not None or (self._room < wanted and not self._make_room(wanted)):
                del buffer[start:]
                return False
        if self._active.written + len(buffer) > SEGMENT_BYTES and not self._turn_over(start):
            return False
        self._room -= size
        self.appended += 1
        if home is not None:
            self._release(key, home)
        return True

    def forget(self, receipt: Receipt) -> None:
        """It is in the database, though `end` did not take it."""
        home = self._homes.get(receipt.id.int)
        if home is not None:
            self._release(receipt.id.int, home)

    def flush(self) -> bool:
        """Everything appended so far onto the page cache. False: the disk refuses it; it is kept and tried again."""
        if not self._buffer:
            return True
        try:
            self._active.write(self._buffer)
        except OSError as error:
            self.disk_errors += 1
            if self._failing is None:
                self._failing = f"the journal {self._active.path} cannot be written ({_why(error)})"
                logger.error("calls are refused: %s", self._failing)
            return False
        self._buffer.clear()
        if self._failing is not None:
            self._failing = None
            logger.warning("the journal can be written again: calls are taken")
        return True

    # -- behind it ---------------------------------------------------------------------------

    def finish(self, count: int) -> None:
        """The next so many final receipts are in the database."""
        self.done += count

    async def tend(self) -> None:
        """Onto the disk what is in the page cache, away with what is in the database, and a segment ahead."""
        flushed = self.flush()
        sealed = list(self._sealed)
        spent = [s for s in sealed if flushed and s.drafts == 0 and s.finals_to <= self.done]
        kept = [s for s in sealed if s not in spent and s.descriptor >= 0]
        active = self._active if self._active.synced < self._active.written else None
        if active or kept or spent:
            self.disk_errors += await asyncio.to_thread(_tidy, active, kept, spent)
        self._sealed = [s for s in self._sealed if s not in spent]
        if len(self._spares) < SPARES:
            await self._reserve_ahead()

    def next_finals(self, after: int) -> "tuple[Segment, int, int] | None":
        """Where the final receipts from number `after` on are: a segment, what is written of it, and the number of the
        first receipt behind it. Hand it to `read_finals`. None: there are none, or they cannot be written."""
        if not self.flush():
            return None
        for segment in (*self._sealed, self._active):
            end = segment.finals_to if segment.sealed else self.appended
            if segment.finals_from <= after < end:
                return segment, segment.written, end
        return None

    def close(self) -> None:
        """Leaves it to the next process. Blocks. Never raises."""
        if not self.flush():
            logger.error("receipts that the disk refused are not in the journal at its end")
        self._active.sealed = True
        self.disk_errors += _tidy(None, [*self._sealed, self._active], list(self._spares))
        for segment in (*self._sealed, self._active):
            segment.close()
        self._lock.release()

    def remove(self) -> None:
        """Everything in it is in the database. Blocks. Raises OSError."""
        for segment in (*self._sealed, self._active, *self._spares):
            segment.close()
        try:
            remove_folder(self.folder)
        finally:
            self._lock.release()

    # -- inside ------------------------------------------------------------------------------

    def _release(self, key: int, home: tuple[Segment, int]) -> None:
        del self._homes[key]
        segment, promise = home
        segment.drafts -= 1
        self._promised -= promise

    def _turn_over(self, start: int) -> bool:
        """The last line, from `start` on, goes into the next segment. False: it is taken away."""
        line = self._buffer[start:]
        del self._buffer[start:]
        if not self.flush() or len(line) > MAX_LINE or not (self._spares or self._reserve()):
            return False
        full, self._active = self._active, self._spares.popleft()
        full.finals_to = self._active.finals_from = self.appended
        full.sealed = True
        self._sealed.append(full)
        self._room = _ROOM * (1 + len(self._spares))
        self._buffer += line
        return True

    def _make_room(self, wanted: int) -> bool:
        while self._room < wanted:
            if self._full is not None and self._clock.monotonic_s() < self._try_at_s:
                return False  # asking a full disk costs more than a call does
            if not self._reserve():
                return False
        return True

    def _reserve(self) -> bool:
        path = self._next_path()
        try:
            self._reserved(Segment(path))
        except OSError as error:
            self._is_full(error)
            return False
        return True

    async def _reserve_ahead(self) -> None:
        path = self._next_path()
        try:
            self._reserved(await asyncio.to_thread(Segment, path))
        except OSError as error:
            self._is_full(error)

    def _reserved(self, spare: Segment) -> None:
        self._spares.append(spare)
        self._room += _ROOM
        if self._full is not None:
            self._full = None
            logger.warning("there is room for receipts again")

    def _is_full(self, error: OSError) -> None:
        self._try_at_s = self._clock.monotonic_s() + TRY_AGAIN_S
        if self._full is None:
            self._full = f"there is no room for receipts in {self.folder} ({_why(error)})"
            logger.error("calls are refused when what is reserved is used up: %s", self._full)

    def _overloaded(self) -> Overloaded:
        reason = self.trouble or f"there is no room for receipts in {self.folder}"
        return Overloaded(f"The call was not begun and cost nothing: {reason}.", retry_after_s=TRY_AGAIN_S)

    def _next_path(self) -> Path:
        self._number += 1
        return self.folder / f"{self._number:08d}{SUFFIX}"


def _tidy(active: Segment | None, sealed: list[Segment], spent: list[Segment]) -> int:
    """How often the disk said no. What could not be done is done next time."""
    steps = [active.sync] if active is not None else []
    steps += [segment.finish for segment in sealed] + [segment.delete for segment in spent]
    errors = 0
    for step in steps:
        try:
            step()
        except OSError as error:
            errors += 1
            logger.error("the journal cannot be tidied up: %s", error)
    return errors


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
