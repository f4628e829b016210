"""Where the processes of a machine keep what they have counted together: one small file, changed under a lock."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class Busy(Exception):
    """Another process is changing it just now; nothing was done."""


class Shelf(Protocol):
    def change(self, step: Callable[[bytes], bytes]) -> None:
        """Replace what is kept by what `step` makes of it; b"" is nothing yet. One at a time over all processes, whole
        or not at all. Raises Busy, OSError, and what `step` raises: then everything is as before."""
        ...


class FileShelf:
    """Blocks for the time of reading and writing the file; nobody is waited for."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = file.with_suffix(".lock")

    def change(self, step: Callable[[bytes], bytes]) -> None:
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy from None
            kept = self._file.read_bytes() if self._file.exists() else b""
            scratch = self._file.with_suffix(".tmp")
            scratch.write_bytes(step(kept))
            scratch.replace(self._file)
        finally:
            os.close(lock)
