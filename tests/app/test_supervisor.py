"""Worker processes: started anew when one dies, stopped together, and gone when their supervisor is."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenfold.app.supervisor import listen
from tests.support.upstream_server import eventually

# A worker leaves a file with its pid and waits; SIGTERM ends it in order, and it says so.
PROGRAM = """
import logging, os, signal, sys, time
from pathlib import Path
from tenfold.app import supervisor

folder, count, stop_s, kind = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
supervisor.RESPAWN_PAUSE_S = 0.01
logging.basicConfig(stream=sys.stderr)

def work():
    (folder / f"{os.getpid()}.began").touch()
    if kind == "fails":
        raise RuntimeError("no way to start")
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    (folder / f"{os.getpid()}.ready").touch()
    while not stopped or kind == "stubborn":
        signal.pause() if not stopped else time.sleep(60)
    (folder / f"{os.getpid()}.ended").touch()
    return 0

supervisor.Supervisor(work, count, stop_s).run()
"""


class Supervised:
    """A supervisor in a process of its own. `pids(what)`: the workers that began, were ready, ended."""

    def __init__(self, folder: Path, *, count: int = 2, stop_s: float = 20.0, kind: str = "waits") -> None:
        self._folder = folder
        command = [sys.executable, "-c", PROGRAM, str(folder), str(count), str(stop_s), kind]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def pids(self, what: str) -> set[int]:
        return {int(path.stem) for path in self._folder.glob(f"*.{what}")}

    def await_ready(self, count: int) -> set[int]:
        eventually(lambda: len(self.pids("ready")) >= count, f"{count} workers are ready")
        return self.pids("ready")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """The exit code and what was logged."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        _, log = self.process.communicate(timeout=20)
        return self.process.returncode, log


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Supervised]]:
    """Whatever a test appends is gone at its end, workers included."""
    ours: list[Supervised] = []
    yield ours
    for one in ours:
        with one.process:
            one.process.kill()
        for pid in filter(is_alive, one.pids("began")):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_stop_in_order_with_their_supervisor(
    tmp_path: Path, started: list[Supervised], number: signal.Signals
) -> None:
    started.append(one := Supervised(tmp_path))
    workers = one.await_ready(2)
    code, log = one.stop(number)
    assert (code, log) == (0, "")
    assert one.pids("ended") == workers
    assert not any(map(is_alive, workers))


def test_a_killed_worker_is_replaced(tmp_path: Path, started: list[Supervised]) -> None:
    started.append(one := Supervised(tmp_path))
    first, second = one.await_ready(2)
    os.kill(first, signal.SIGKILL)
    replaced = one.await_ready(3)
    assert is_alive(second)
    code, log = one.stop()
    assert code == 0
    assert f"worker {first} ended unasked" in log
    assert one.pids("ended") == replaced - {first}


def test_workers_that_are_killed_over_and_over_are_replaced_all_the_same(
    tmp_path: Path, started: list[Supervised]
) -> None:
    supervised = Supervised(tmp_path, count=1)
    started.append(supervised)
    for killed in range(5):
        (newest,) = supervised.await_ready(killed + 1) - {pid for pid in supervised.pids("ready") if not is_alive(pid)}
        os.kill(newest, signal.SIGKILL)
    assert len(supervised.await_ready(6)) == 6
    assert supervised.stop()[0] == 0


def test_workers_that_cannot_start_end_it_all(tmp_path: Path, started: list[Supervised]) -> None:
    started.append(one := Supervised(tmp_path, count=1, kind="fails"))
    code, log = one.wait()
    assert code == 1
    assert log.count("RuntimeError: no way to start") == 3
    assert "StartFailed: workers die as soon as they start" in log
    assert len(one.pids("began")) == 3


def test_a_worker_that_does_not_stop_is_killed(tmp_path: Path, started: list[Supervised]) -> None:
    started.append(one := Supervised(tmp_path, count=1, stop_s=0.1, kind="stubborn"))
    workers = one.await_ready(1)
    code, log = one.stop()
    assert code == 0
    assert "1 workers did not stop in time" in log
    eventually(lambda: not any(map(is_alive, workers)), "the worker is gone")


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path, started: list[Supervised]) -> None:
    """In order, as on SIGTERM: the calls in flight may end."""
    started.append(one := Supervised(tmp_path))
    workers = one.await_ready(2)
    one.process.kill()
    eventually(lambda: one.pids("ended") == workers, "the workers ended in order")


def test_a_stop_while_a_worker_is_being_replaced_is_not_lost(tmp_path: Path, started: list[Supervised]) -> None:
    started.append(one := Supervised(tmp_path, count=1))
    [worker] = one.await_ready(1)
    os.kill(worker, signal.SIGKILL)
    code, _ = one.stop()
    assert code == 0
    assert not any(map(is_alive, one.pids("began")))


# -- listening -------------------------------------------------------------------------------


def test_an_address_in_use_is_told_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.1:{port} .*--port"):
            listen("127.0.0.1", port, shared=False)


def test_workers_share_a_port() -> None:
    with (
        listen("127.0.0.1", 0, shared=True) as first,
        listen("127.0.0.1", first.getsockname()[1], shared=True) as other,
    ):
        assert first.getsockname() == other.getsockname()


def test_ipv6_is_an_address_too() -> None:
    with listen("::1", 0, shared=False) as listener:
        assert listener.family == socket.AF_INET6
