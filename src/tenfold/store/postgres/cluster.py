"""One embedded Postgres under one home folder: start it, attach to it, leave it. Blocking; safe between processes.

In <home>/postgres: `state.json` (0600), `postgres.log`, three lock files (see guardian.py; `start.lock` is
held while somebody starts or repairs it) and `data`.
"""

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from tenfold.store.errors import StartupError
from tenfold.store.postgres import guardian, locks
from tenfold.store.postgres.account import Account, account_for
from tenfold.store.postgres.binaries import Binaries, find_binaries, reachable_binaries
from tenfold.store.postgres.diagnosis import explain, port_taken, told_plainly
from tenfold.store.postgres.initdb import environment, make_data, set_password, write_configuration
from tenfold.store.postgres.processes import (
    cluster_name,
    forget_reused_pid,
    is_postmaster,
    kill_leftovers,
    pid_file,
    postmaster_pid,
)
from tenfold.store.postgres.state import State, new_password, read_state, write_state

# Below the range that systems give to outgoing connections, so that it is free again at a restart.
_PORTS = range(20_000, 32_000)
_ANSWER_S = 2.0
_TLS_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL protocol: SSLRequest
_POLL_S = 0.01
_LEFTOVERS_S = 5.0  # sessions notice within this that their postmaster is gone, unless a query keeps them busy
_PORT_TRIES = 5


class Cluster:
    def __init__(self, home: Path, *, settings: Mapping[str, str]) -> None:
        self.folder = home.absolute() / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self._settings = settings
        self._state_path = self.folder / "state.json"
        self._cluster_lock = self.folder / "cluster.lock"
        self._lease = locks.FileLock(self.folder / "users.lock")

    def start(self, timeout_s: float) -> str:
        """Attaches, else starts, else makes it first. Gives the DSN; the lease is held from here on."""
        until = time.monotonic() + timeout_s
        with told_plainly(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            leased_before = self._lease.held
            if not leased_before and not self._lease.take(shared=True, until=until):
                raise StartupError(f"Postgres is still shutting down after {timeout_s:.0f} s. See {self.log}.")
            try:
                return (self._running() or self._start(until)).dsn
            except BaseException:
                if not leased_before:
                    self._lease.release()
                raise

    def is_alive(self) -> bool:
        """Whether the postmaster lives. Cheap, as it is asked all the time: a connection would cost it a fork."""
        with told_plainly(self.folder):
            return not locks.is_free(self._cluster_lock) and self._postmaster() is not None

    def stop(self) -> None:
        """Gives the lease back; when it was the last, waits until Postgres has stopped."""
        if not self._lease.held:
            return
        until = time.monotonic() + guardian.STOP_FAST_S + guardian.STOP_AT_ONCE_S
        probe = locks.FileLock(self.folder / "users.lock")
        self._lease.release()
        while time.monotonic() < until:
            if probe.try_exclusive():  # nobody uses it; the guardian waits behind this lock, or there is none
                self._stop_postgres()
                self._wait_for_silence(until)
                probe.release()
                return
            if probe.try_shared():  # others use it, or it has just been stopped
                probe.release()
                return
            time.sleep(_POLL_S)  # the guardian is stopping it

    # -- starting ----------------------------------------------------------------------------

    def _running(self) -> State | None:
        if locks.is_free(self._cluster_lock):
            return None
        state = read_state(self._state_path)
        if state is None or not self._says_ready() or not _answers(state.port):
            return None
        return state

    def _start(self, until: float) -> State:
        with locks.held(self.folder / "start.lock", until=until) as mine:
            if not mine:
                raise StartupError(f"Another process has been starting Postgres for too long. See {self.log}.")
            state = self._settled(until)
            if state is not None:
                return state
            state = read_state(self._state_path)
            if state is None:
                state = State(port=_free_port(), password=new_password())
                write_state(self._state_path, state)
            account = account_for(self.data)
            binaries = self._binaries(account)
            if not state.made:
                state = self._make(state, account, binaries)
            elif not self.data.exists():
                raise StartupError(
                    f"The data folder {self.data} is gone. Bring it back, or delete {self._state_path} to begin with "
                    "an empty database."
                )
            write_configuration(self.data, account, self._settings)
            return self._launch(state, binaries, account, until)

    def _make(self, state: State, account: Account, binaries: Binaries) -> State:
        if self.data.exists():  # complete; its state file was lost, or the start that made it was killed
            set_password(self.data, binaries, account, state.password)
        else:
            make_data(self.data, binaries, account, state.password)
        made = msgspec.structs.replace(state, made=True)
        write_state(self._state_path, made)
        return made

    def _settled(self, until: float) -> State | None:
        """Waits for one that is starting or stopping: the state of one that runs, None when nothing runs any more."""
        leftovers_at = time.monotonic() + _LEFTOVERS_S
        while not locks.is_free(self._cluster_lock):
            state = self._running()
            if state is not None:
                return state
            if time.monotonic() > leftovers_at and self._postmaster() is None:
                kill_leftovers(self.data)
            if time.monotonic() > until:
                raise StartupError(
                    "Something still runs on the data folder and answers nobody: perhaps Postgres in another "
                    f"container that shares {self.folder}. End it, then start again."
                )
            time.sleep(_POLL_S)
        return None

    def _binaries(self, account: Account) -> Binaries:
        version = self.data / "PG_VERSION"
        found = find_binaries(int(version.read_text()) if version.exists() else None)
        return reachable_binaries(found, account)

    def _launch(self, state: State, binaries: Binaries, account: Account, until: float) -> State:
        """On the remembered port; on another one while that is taken and nobody has been told it."""
        for _ in range(_PORT_TRIES):
            forget_reused_pid(self.data)
            output = self._spawn(state, binaries, account, until)
            if output is None:
                return state
            if not port_taken(output):
                raise StartupError(f"{explain('Postgres did not start', output)} See {self.log}.")
            state = msgspec.structs.replace(state, port=_free_port())
            write_state(self._state_path, state)
        raise StartupError("No free port was found for Postgres on 127.0.0.1.")

    def _spawn(self, state: State, binaries: Binaries, account: Account, until: float) -> str | None:
        """None when it is ready, else what it wrote."""
        command = [sys.executable, "-I", "-S", guardian.__file__]
        command += [str(self.folder / "users.lock"), str(self._cluster_lock), str(self.log), str(self.data)]
        command += [str(account.uid), str(account.gid)]
        command += [str(binaries.postgres), "-c", f"port={state.port}", "-c", f"cluster_name={cluster_name(self.data)}"]
        try:
            done = subprocess.run(  # noqa: S603 - the guardian of this package
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=max(until - time.monotonic(), 0.1),
                env=environment(),
            )
        except subprocess.TimeoutExpired as error:
            raise StartupError(f"Postgres was not ready in time; it may be recovering. See {self.log}.") from error
        first, _, rest = done.stdout.decode(errors="replace").partition("\n")
        return None if first == "ready" else rest + done.stderr.decode(errors="replace")

    # -- stopping ----------------------------------------------------------------------------

    def _stop_postgres(self) -> None:
        """Fast shutdown, for the case that no guardian is left to do it."""
        if locks.is_free(self._cluster_lock):
            return
        pid = self._postmaster()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)

    def _wait_for_silence(self, until: float) -> None:
        leftovers_at = time.monotonic() + _LEFTOVERS_S
        while not locks.is_free(self._cluster_lock) and time.monotonic() < until:
            if time.monotonic() > leftovers_at and self._postmaster() is None:
                kill_leftovers(self.data)
            time.sleep(_POLL_S)

    def _postmaster(self) -> int | None:
        """Its pid while it lives."""
        pid = postmaster_pid(self.data)
        return pid if pid is not None and is_postmaster(pid, self.data) else None

    def _says_ready(self) -> bool:
        lines = pid_file(self.data)
        return len(lines) >= 8 and lines[7].strip() == "ready"


def _answers(port: int) -> bool:
    """Asks for TLS, which is answered by one byte before any login. That a connection is taken says nothing: the
    kernel takes it for a server that is just dying."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_S) as connection:
            connection.sendall(_TLS_REQUEST)
            return connection.recv(1) in (b"N", b"S")
    except OSError:
        return False


def _free_port() -> int:
    """Free a moment ago; whoever uses it must be ready to lose the race."""
    for port in random.sample(_PORTS, k=200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise StartupError(f"No port between {_PORTS.start} and {_PORTS.stop} is free on 127.0.0.1.")
