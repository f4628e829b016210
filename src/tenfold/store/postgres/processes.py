"""Postgres processes that outlived their postmaster."""

import hashlib
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def cluster_name(data: Path) -> str:
    """Stands in the title of every session (`postgres: tenfold-1a2b3c4d5e6f: ...`), so that they can be told apart."""
    return f"tenfold-{hashlib.sha256(str(data).encode()).hexdigest()[:12]}"


def leftovers(data: Path) -> list[int]:
    """The processes of the cluster at `data`. Where there is no /proc (macOS): none is found."""
    title, argument = f"postgres: {cluster_name(data)}", f"cluster_name={cluster_name(data)}"
    return [pid for pid, command in _commands() if command.startswith(title) or argument in command.split("\0")]


def kill_leftovers(data: Path) -> None:
    """They hold the data folder and can serve nobody. What they had acknowledged is in the log that recovery reads."""
    for pid in leftovers(data):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def postmaster_pid(data: Path) -> int | None:
    lines = pid_file(data)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def pid_file(data: Path) -> list[str]:
    """Pid, data, start, port, socket folder, address, shared memory, status (PostgreSQL: miscadmin.h)."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def forget_reused_pid(data: Path) -> None:
    """Postgres refuses to start while the pid in its file lives, even as another program (or as a zombie that
    nobody reaps). Only for a caller that knows that nothing runs on `data`."""
    pid = postmaster_pid(data)
    if pid is None:
        return
    if lives(pid):  # else Postgres sees it itself
        (data / "postmaster.pid").unlink(missing_ok=True)


def is_postmaster(pid: int, data: Path) -> bool:
    """Whether `pid` is that of this cluster and neither a zombie nor used again by another program (without /proc:
    whether it lives)."""
    if not _PROC.is_dir():
        return lives(pid)
    try:
        return f"cluster_name={cluster_name(data)}" in _command(pid).split("\0")
    except OSError:
        return False


def lives(pid: int) -> bool:
    """A zombie counts as alive."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _commands() -> Iterator[tuple[int, str]]:
    if not _PROC.is_dir():
        return
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), _command(int(entry.name))


def _command(pid: int) -> str:
    """The arguments, each ended by a NUL; empty for a zombie."""
    return (_PROC / str(pid) / "cmdline").read_text(errors="replace")
