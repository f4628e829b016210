"""Receipts on disk while the database is away: one append-only file per process, synced, replayed until it is empty.

A file is locked by the process that writes it. The file of a process that died is unlocked, and whoever starts
next takes it over. A line cut short by a crash is left out: it was never acknowledged as safe.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

import msgspec

from tenfold.core.ids import uuid7
from tenfold.ledger.types import Receipt

SUFFIX = ".receipts"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Receipt)


class SpillFile:
    """One locked file. Blocking: call it from a thread. Raises OSError when the disk refuses."""

    def __init__(self, path: Path) -> None:
        """Raises BlockingIOError when another process holds it."""
        self.path = path
        self._guard = Lock()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._end = os.fstat(self._descriptor).st_size
        except BaseException:
            os.close(self._descriptor)
            raise
        self._read_to = 0
        self._sync_directory()

    @property
    def backlog_bytes(self) -> int:
        return self._end - self._read_to

    def append(self, receipts: Sequence[Receipt]) -> None:
        """On disk when it returns; nothing of it is there when it raises."""
        lines = b"".join(_encoder.encode(receipt) + b"\n" for receipt in receipts)
        with self._guard:
            try:
                view = memoryview(lines)
                while view:
                    view = view[os.write(self._descriptor, view) :]
                os.fsync(self._descriptor)
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, self._end)  # half a line would swallow the next one
                raise
            self._end += len(lines)

    def read(self, limit_bytes: int) -> tuple[list[Receipt], int]:
        """The next receipts, about `limit_bytes` of them, and where they end: hand that to `done`."""
        with self._guard:
            block = os.pread(self._descriptor, min(limit_bytes, self._end - self._read_to), self._read_to)
            if self._read_to + len(block) < self._end:
                block = block[: block.rfind(b"\n") + 1] or block
            return list(_receipts(block)), self._read_to + len(block)

    def done(self, end: int) -> None:
        """Everything before `end` is in the database."""
        with self._guard:
            self._read_to = end
            if self._read_to >= self._end:
                os.ftruncate(self._descriptor, 0)
                self._read_to = self._end = 0

    def close(self) -> None:
        """Gives up the lock; an empty file is removed. May be called twice."""
        with self._guard:
            if self._descriptor < 0:
                return
            if self._end == 0:
                self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def _sync_directory(self) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def own_file(directory: Path) -> SpillFile:
    """A new file of this process."""
    while True:
        with suppress(BlockingIOError):  # a starting process took the empty file for an abandoned one
            return SpillFile(directory / f"{uuid7().hex}{SUFFIX}")


def abandoned_files(directory: Path) -> Iterator[SpillFile]:
    """Files that no living process holds; each is locked from here on."""
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        with suppress(BlockingIOError, FileNotFoundError):
            yield SpillFile(path)


def _receipts(block: bytes) -> Iterator[Receipt]:
    for line in block.split(b"\n"):
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            if line:
                yield _decoder.decode(line)
