"""The files of a journal: JSON lines in files whose room is reserved before it is needed, and how they are read again.

`cat` shows them. What is reserved and not yet written are zero bytes at the end; nobody takes them for a line.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from tenfold.ledger.types import Receipt

SEGMENT_BYTES = 4 * 1024 * 1024
SUFFIX = ".jsonl"
LOCK_NAME = "lock"

_decoder = msgspec.json.Decoder(Receipt)


class Segment:
    """One file of a living journal. It can go when it is `sealed`, no call drafted in it is in flight, and all final
    receipts in it, which are numbers `finals_from` to `finals_to` of the journal, are in the database."""

    __slots__ = ("descriptor", "drafts", "finals_from", "finals_to", "path", "sealed", "synced", "written")

    def __init__(self, path: Path) -> None:
        """Reserves its whole room. Raises OSError when there is none; nothing is left then."""
        self.path = path
        self.written = 0
        self.synced = 0
        self.drafts = 0
        self.finals_from = 0
        self.finals_to = 0
        self.sealed = False
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self.descriptor, 0, SEGMENT_BYTES)
        except BaseException:
            os.close(self.descriptor)
            path.unlink(missing_ok=True)
            raise

    def write(self, data: bytearray) -> None:
        """On the page cache when it returns. Raises OSError; written again, it begins at the same place."""
        done = os.pwrite(self.descriptor, data, self.written)
        while done < len(data):  # a short write: a signal, or a disk that is about to say why
            with memoryview(data) as view:
                more = os.pwrite(self.descriptor, view[done:], self.written + done)
            if more == 0:
                raise OSError(f"nothing was written to {self.path}")
            done += more
        self.written += done

    def sync(self) -> None:
        """What is written is on the disk when it returns. Blocks. Raises OSError."""
        written = self.written
        os.fdatasync(self.descriptor)
        self.synced = written

    def finish(self) -> None:
        """Of a sealed one: the room it did not need is given back. Blocks. Raises OSError; may be called again."""
        if self.descriptor >= 0:
            os.ftruncate(self.descriptor, self.written)
            self.sync()
            self.close()

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def delete(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


class Lines(NamedTuple):
    receipts: list[Receipt]
    damaged: list[bytes]  # whole lines that are no receipts


def parse_lines(data: bytes) -> Lines:
    """The receipts in their order, drafts included. A last line that was cut off is left out: nobody was told of it."""
    receipts, damaged = [], []
    *lines, tail = data.split(b"\n")
    for line in lines:
        if line := line.strip(b"\0"):
            try:
                receipts.append(_decoder.decode(line))
            except (msgspec.MsgspecError, ValueError):  # ValueError: no UTF-8
                damaged.append(line)
    if tail := tail.strip(b"\0"):
        with suppress(msgspec.MsgspecError, ValueError):
            receipts.append(_decoder.decode(tail))
    return Lines(receipts, damaged)


def read_lines(path: Path, until: int | None = None) -> Lines:
    """Of a segment, or of its first `until` bytes. Blocks. Raises OSError."""
    with path.open("rb") as file:
        return parse_lines(file.read() if until is None else file.read(until))


def read_finals(segment: Segment, written: int, after: int) -> list[Receipt]:
    """The final receipts of a segment from number `after` of the journal on. Blocks. Raises OSError."""
    receipts = [receipt for receipt in read_lines(segment.path, written).receipts if not receipt.draft]
    return receipts[max(0, after - segment.finals_from) :]


def segments_of(folder: Path) -> list[Path]:
    """In the order they were written."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def remove_folder(folder: Path) -> None:
    """The lock goes last, so that whoever holds it has held all of it."""
    for path in folder.iterdir():
        if path.name != LOCK_NAME:
            path.unlink(missing_ok=True)
    (folder / LOCK_NAME).unlink(missing_ok=True)
    with suppress(OSError):  # somebody asked for the lock just now and so made it again; they will remove the folder
        folder.rmdir()


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
