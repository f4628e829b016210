"""Starts, pins and ends the processes of a benchmark. Nothing it started outlives it, unless SIGKILL ends it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_STOP_S = 20.0
_POLL_S = 0.05

# Bytecode must be written, or some gateways compile modules again at every request; the caller's own Tenfold
# settings must not reach the one that is measured.
_NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE", "TENFOLD_")


class BenchError(Exception):
    """Something could not be measured; the message says what and why."""


def find(program: str) -> str | None:
    """Its path; also looks where Debian keeps servers, which is not on everyone's PATH."""
    return shutil.which(
        program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """This process, and those it starts meanwhile, stay on one core; where that core is not to be had, on any."""
    before = os.sched_getaffinity(0)
    if core in before:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def spawn(
    command: Sequence[str],
    *,
    core: int | None,
    output: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts it in a session of its own; the caller ends it with `stop`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    with output.open("ab") as sink, on_core(core):
        return subprocess.Popen(  # noqa: S603 - commands are built in this package
            list(command),
            cwd=folder,
            env={**inherited, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks it to end, waits, then ends whatever is left of its session."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def running(
    command: Sequence[str],
    *,
    core: int | None,
    output: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    process = spawn(command, core=core, output=output, folder=folder, environment=environment)
    try:
        yield process
    finally:
        stop(process)


def run(command: Sequence[str], *, timeout_s: float) -> str:
    """Runs it to its end and gives what it wrote. Raises BenchError with the end of its output when it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - commands are built in this package
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise BenchError(f"{' '.join(command[:4])} failed: {(done.stderr or done.stdout)[-500:].strip()}")
    return done.stdout + done.stderr


def wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    """False when it did not come true in time."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True


def tail(path: Path, characters: int = 600) -> str:
    """The end of a log, for an error message."""
    return path.read_text(errors="replace")[-characters:].strip() if path.exists() else ""
