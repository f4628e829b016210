"""Doing to the processes of an embedded Postgres what a machine may do to them."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tenfold.store.postgres import locks
from tenfold.store.postgres.processes import leftovers, postmaster_pid

_PATIENCE_S = 30.0


def postmaster(data: Path) -> int:
    pid = postmaster_pid(data)
    assert pid is not None
    return pid


def guardian(home: Path) -> int:
    """The pid of the guardian of a home's cluster."""
    own = str(home / "postgres" / "users.lock")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_text().split("\0")
                if own in words and any(word.endswith("guardian.py") for word in words):
                    return int(entry.name)
    raise AssertionError(f"no guardian of {home}")


def signal_all(data: Path, number: signal.Signals) -> None:
    """To the postmaster and every process of its cluster."""
    for pid in leftovers(data):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def is_silent(home: Path) -> bool:
    """Whether nothing of the cluster runs any more: the kernel has dropped the lock they all share."""
    return locks.is_free(home / "postgres" / "cluster.lock")


async def until(condition: Callable[[], bool]) -> None:
    """For what the kernel or another process does and no event tells. Fails after half a minute."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)
