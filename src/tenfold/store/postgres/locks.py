"""File locks (flock): they end with the process that holds them, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.01


class FileLock:
    """One holder's view of a lock file. Not inherited by programs that are started."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        return self._fd is not None

    def try_shared(self) -> bool:
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        return self._try(fcntl.LOCK_EX)

    def take(self, *, shared: bool, until: float) -> bool:
        """Polls until the monotonic time `until`, so that a waiting thread can always be ended."""
        while not (self.try_shared() if shared else self.try_exclusive()):
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)
        return True

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _try(self, mode: int) -> bool:
        fd = self._fd if self._fd is not None else os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if self._fd is None:
                os.close(fd)
            else:
                self.release()  # a conversion that fails has given up what was held
            return False
        self._fd = fd
        return True


def is_free(path: Path) -> bool:
    """Whether nobody holds it exclusively. Asks with a shared lock, so that two who ask do not see each other."""
    lock = FileLock(path)
    try:
        return lock.try_shared()
    finally:
        lock.release()


@contextmanager
def held(path: Path, *, until: float) -> Iterator[bool]:
    """Exclusively; gives whether it was got in time."""
    lock = FileLock(path)
    try:
        yield lock.take(shared=False, until=until)
    finally:
        lock.release()
