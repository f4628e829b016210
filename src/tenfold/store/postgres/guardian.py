"""The process between Tenfold and the embedded Postgres: starts it, keeps its log, stops it after its last user.

Run by path as a script, on the standard library alone, so that it starts in milliseconds and stays small:

    python -I -S guardian.py USERS_LOCK CLUSTER_LOCK LOG DATA UID GID POSTGRES ARGUMENT...

and it runs `POSTGRES -D DATA ARGUMENT...` as that user.

It puts itself into the background and tells on stdout, in one line, "ready" or "failed", then (when failed) the log.

Who lives is told by file locks, which the kernel drops however a process ends:
- USERS_LOCK is held shared by every process that uses the database. The guardian waits for it exclusively:
  once it gets it nobody is left, and until Postgres has stopped no new user gets in.
- CLUSTER_LOCK is held by the guardian and inherited by every Postgres process: while it is held, something
  still runs on the data folder, in whatever container.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

LOG_LIMIT_BYTES = 5 * 1024 * 1024  # two files of it are kept
STOP_FAST_S = 30.0  # SIGINT: sessions are ended, data is written out
STOP_AT_ONCE_S = 5.0  # SIGQUIT: recovery at the next start
_TAIL_BYTES = 8192
_PR_SET_PDEATHSIG = 1


class Log:
    """Postgres' stderr into a file of bounded size. A full disk loses log lines, never stops the pump."""

    def __init__(self, path: str, source: int) -> None:
        self._path = path
        self._source = source
        self._file = self._open()
        self.tail = b""

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def pump(self) -> None:
        while block := os.read(self._source, 65536):
            self.tail = (self.tail + block)[-_TAIL_BYTES:]
            with contextlib.suppress(OSError):
                self._write(block)

    def close(self) -> None:
        os.close(self._file)

    def _write(self, block: bytes) -> None:
        os.write(self._file, block)
        if os.fstat(self._file).st_size > LOG_LIMIT_BYTES:
            self._rotate()

    def _rotate(self) -> None:
        Path(self._path).replace(self._path + ".1")
        os.close(self._file)
        self._file = self._open()


def take_lock(path: str) -> int:
    """Waits until nobody else holds it, in any mode."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def die_with_guardian() -> None:
    """In the child, before exec: a guardian that is killed takes Postgres with it (fast shutdown). Linux only;
    elsewhere Postgres stays until the next start finds it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def folder_name(fd: int, path: str) -> str:
    """A name of the open folder for a program that inherits `fd`, even one that may not pass through the folders above
    it. Linux only; elsewhere it has to be able to walk there."""
    return f"/proc/self/fd/{fd}" if sys.platform == "linux" else path


def is_ready(data: str, pid: int) -> bool:
    try:
        lines = Path(data, "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def stop_when_unused(users_lock: str, postgres: "subprocess.Popen[bytes]") -> None:
    """In a thread of its own; the lock it takes is held until the guardian ends."""
    take_lock(users_lock)
    for how, wait_s in ((signal.SIGINT, STOP_FAST_S), (signal.SIGQUIT, STOP_AT_ONCE_S), (signal.SIGKILL, None)):
        postgres.send_signal(how)
        try:
            postgres.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
        return


def to_background() -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # its life ends with its users, not with their terminal


def spread_over_all_cores() -> None:
    """Postgres belongs to every process of its home, not to the cores that the one which started it was pinned to."""
    if hasattr(os, "sched_setaffinity"):  # Linux
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))


def report(line: bytes) -> None:
    """To the process that started it, then closes the way there."""
    with contextlib.suppress(OSError):  # it is gone: then its lock is free and Postgres will be stopped
        os.write(1, line)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.close(nowhere)


def main(arguments: list[str]) -> None:
    users_lock, cluster_lock, log_path, data, uid, gid, program, *settings = arguments
    to_background()
    spread_over_all_cores()
    cluster = take_lock(cluster_lock)
    folder = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
    as_other = os.geteuid() != int(uid)
    postgres = subprocess.Popen(  # noqa: S603 - the command comes from Tenfold's own launcher
        [program, "-D", folder_name(folder, data), *settings],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(cluster, folder),
        user=int(uid) if as_other else None,
        group=int(gid) if as_other else None,
        extra_groups=[] if as_other else None,
        umask=0o077,
        restore_signals=True,
        preexec_fn=die_with_guardian,
    )
    assert postgres.stdout is not None
    log = Log(log_path, postgres.stdout.fileno())
    pump = threading.Thread(target=log.pump, daemon=True)
    pump.start()
    threading.Thread(target=stop_when_unused, args=(users_lock, postgres), daemon=True).start()
    while postgres.poll() is None and not is_ready(data, postgres.pid):
        time.sleep(0.005)
    if postgres.poll() is None:
        report(b"ready\n")
        postgres.wait()
    else:
        pump.join(1.0)
        report(b"failed\n" + log.tail)
    pump.join(1.0)  # the last lines; sessions that outlive the postmaster are not waited for


if __name__ == "__main__":
    main(sys.argv[1:])
