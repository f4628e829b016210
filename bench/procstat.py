"""CPU seconds and resident memory of process trees, read from Linux's /proc (proc(5)). It starts and stops nothing."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# Fields of /proc/PID/stat after the name in parentheses, which may hold anything.
_PARENT, _OWN_CPU_AND_REAPED = 1, slice(11, 15)  # utime, stime and those of children that ended and were waited for


@dataclass(frozen=True, kw_only=True)
class Resident:
    """One process and the memory it holds, shared pages included."""

    pid: int
    command: str
    rss_mb: float


def tree(roots: Iterable[int]) -> list[int]:
    """The processes that live among `roots` and their descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found: list[int] = []
    todo = [root for root in roots if _stat(root)]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.append(pid)
            todo += children.get(pid, [])
    return found


def parent(pid: int) -> int | None:
    """None when the process is gone."""
    fields = _stat(pid)
    return int(fields[_PARENT]) if fields else None


def cpu_seconds(pids: Iterable[int]) -> float:
    """Burned so far by these processes and by children of theirs that have ended."""
    return sum(sum(map(int, _stat(pid)[_OWN_CPU_AND_REAPED])) for pid in pids) / _TICKS_PER_S


def machine_cpu_seconds() -> float:
    """Burned so far by everything on the machine, and by what else runs on its host at its expense (steal)."""
    user, nice, system, _idle, _iowait, _irq, _softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + steal) / _TICKS_PER_S


def resident(pids: Iterable[int]) -> list[Resident]:
    """Memory by process, largest first; processes that ended are left out."""
    found = []
    for pid in pids:
        with suppress(OSError):
            command = (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
            found.append(Resident(pid=pid, command=command, rss_mb=round(pages * _PAGE_BYTES / 1e6, 1)))
    return sorted(found, key=lambda process: -process.rss_mb)


def resident_mb(pids: Iterable[int]) -> float:
    return round(sum(process.rss_mb for process in resident(pids)), 1)


def _stat(pid: int) -> list[str]:
    """Empty when the process is gone or a zombie that burns nothing any more."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    fields = text.rpartition(")")[2].split()
    return [] if fields[0] == "Z" else fields
