"""Files of receipts (`*.receipts`) that releases before the journal left while the database was away: read and removed.

A process of such a release holds a lock on its file for as long as it lives.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from tenfold.ledger.segments import Lines, parse_lines
from tenfold.ledger.types import Receipt

SUFFIX = ".receipts"


class SpillFile:
    """One locked file. Blocking: call it from a thread. Raises OSError when the disk refuses."""

    def __init__(self, path: Path) -> None:
        """Raises BlockingIOError when another process holds it, FileNotFoundError when one has just removed it."""
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._at = 0
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(self._descriptor)
            raise

    def read(self, limit_bytes: int) -> list[Receipt]:
        """The next receipts, about `limit_bytes` of them; none at the end."""
        found: list[Receipt] = []
        while not found and (block := os.pread(self._descriptor, limit_bytes, self._at)):
            if len(block) == limit_bytes:
                block = block[: block.rfind(b"\n") + 1] or block
            self._at += len(block)
            lines: Lines = parse_lines(block)
            found = lines.receipts
        return found

    def remove(self) -> None:
        """Everything in it is in the database."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._descriptor)


def abandoned_files(directory: Path) -> list[SpillFile]:
    """Files that no living process holds; each is locked from here on."""
    found = []
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        with suppress(BlockingIOError, FileNotFoundError):
            found.append(SpillFile(path))
    return found
