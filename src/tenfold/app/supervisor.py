"""Worker processes: as many as wanted, started anew when one dies, stopped together. Knows nothing of what they do."""

import ctypes
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

logger = logging.getLogger(__name__)

RESPAWN_PAUSE_S = 1.0
STARTING_S = 10.0  # a worker that dies sooner than this has a fault that starting it again will not mend
MAX_FAILED_STARTS = 3

_STOPS = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1


class StartFailed(Exception):
    """Workers die as soon as they start; the log says why."""


def listen(host: str, port: int, *, shared: bool) -> socket.socket:
    """A listening address, not listening yet. `shared`: each worker opens one of its own on the same port, and the
    kernel spreads the connections. Raises OSError with the way out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno,
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with TENFOLD_SERVER_PORT or --port",
        ) from None
    return listener


class Supervisor:
    """`run` forks `count` workers, each of which calls `work` and exits with what it returns. `listener`, when given,
    is closed as it begins to stop: one that only the supervisor still holds takes connections that nobody serves."""

    def __init__(
        self, work: Callable[[], int], count: int, stop_s: float, listener: socket.socket | None = None
    ) -> None:
        self._work = work
        self._listener = listener
        self._count = count
        self._stop_s = stop_s
        self._workers: dict[int, float] = {}  # pid -> when it was started, monotonic seconds
        self._failed_starts = 0
        self._stopping = False

    def run(self) -> None:
        """Blocks until SIGTERM or SIGINT. Raises StartFailed."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        for number in _STOPS:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to be woken
        for _ in range(self._count):
            self._start()
        while not self._stopping:
            select.select([wake_read], [], [], 1.0)
            _drain(wake_read)
            self._look_after()
        self._end(wake_read)

    def _start(self) -> None:
        if self._stopping:
            return
        supervisor = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        # Held back until the child has handlers of its own: caught by the ones it inherits, a stop would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        pid = os.fork()
        if pid:
            self._workers[pid] = time.monotonic()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
            return
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the supervisor passes it on
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
            _die_with(supervisor)
            code = self._work()
        except BaseException:  # whatever it is, a forked child must not go on as its parent
            logger.exception("a worker failed")
        finally:
            logging.shutdown()
            os._exit(code)

    def _look_after(self) -> None:
        for pid, by_signal in _ended().items():
            started = self._workers.pop(pid, None)
            if started is None or self._stopping:
                continue
            # One that was killed has no fault of its own that starting it again would repeat.
            if not by_signal and time.monotonic() - started < STARTING_S:
                self._failed_starts += 1
                if self._failed_starts >= MAX_FAILED_STARTS:
                    self._signal_all(signal.SIGKILL)
                    raise StartFailed("workers die as soon as they start; the log above says why")
                time.sleep(RESPAWN_PAUSE_S)
            elif not by_signal:
                self._failed_starts = 0
            logger.error("worker %d ended unasked; another one is started", pid)
            self._start()

    def _end(self, wake: int) -> None:
        if self._listener is not None:
            self._listener.close()
        self._signal_all(signal.SIGTERM)
        until = time.monotonic() + self._stop_s
        while self._workers and time.monotonic() < until:
            select.select([wake], [], [], 0.2)
            _drain(wake)
            for pid in _ended():
                self._workers.pop(pid, None)
        if self._workers:
            logger.error("%d workers did not stop in time", len(self._workers))
            self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self._workers:
            os.kill(pid, number)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def _ended() -> dict[int, bool]:
    """The children that have ended, and whether a signal ended them."""
    ended: dict[int, bool] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended[pid] = os.WIFSIGNALED(status)


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 1024):
            pass
    except BlockingIOError:
        pass


def _die_with(supervisor: int) -> None:
    """SIGTERM for this process when the supervisor is killed (Linux). Elsewhere the service notices within a second."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:  # it was killed before we asked
            os._exit(1)
