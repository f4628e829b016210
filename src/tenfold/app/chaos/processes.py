"""The processes of a run: the scripted provider or the faulty one, a Tenfold with its workers, and what kills them.
They end with this one, whatever ends it.
"""

import asyncio
import contextlib
import ctypes
import os
import random
import re
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tenfold.core.errors import TenfoldError
from tenfold.store.postgres.processes import postmaster_pid

_READY = re.compile(r"is ready\. Open http://[^/]+:(\d+)/")
_START_S = 90.0
_STOP_S = 60.0
_POLL_S = 0.05
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ChaosFailed(TenfoldError):
    """The run could not be made; nothing is said about the amounts."""

    code = "chaos_failed"


class ProviderProcess:
    """`module` is run with `words`; it prints its port, and ends when its standard input does."""

    def __init__(
        self, bill: Path, *, seed: int, module: str = "tenfold.app.chaos.provider", words: Sequence[str] = ()
    ) -> None:
        self._module = module
        self._words = ("--bill", str(bill), "--seed", str(seed), *words)
        self._process: Process | None = None
        self.port = 0

    async def start(self) -> None:
        """Raises ChaosFailed."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", self._module, *self._words),
            stdin=PIPE,  # it ends when this does
            stdout=PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise ChaosFailed("The scripted provider did not start.")
        self.port = int(line)

    async def stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await _ended(self._process)


class FaultyProcess:
    """`tenfold chaos provider`, steered over `/_faults`."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._process: Process | None = None
        self.port = 0

    async def start(self) -> None:
        """Raises ChaosFailed."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tenfold", "chaos", "provider", "--seed", str(self._seed)),
            stdin=DEVNULL,
            stdout=PIPE,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise ChaosFailed("The faulty provider did not start.")
        self.port = int(line.rpartition(b":")[2])

    async def stop(self) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)
            await _ended(self._process)


class TenfoldProcess:
    """`tenfold up` in `folder`, where its home and its tenfold.toml are."""

    def __init__(self, folder: Path, *, workers: int) -> None:
        self.home = folder / "home"
        self.config = folder / "tenfold.toml"
        self.log = folder / "tenfold.log"
        self.port = 0
        self._workers = workers
        self._process: Process | None = None

    async def start(self) -> None:
        """Returns when it serves. Raises ChaosFailed with the end of its log."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("TENFOLD_")}
        command = ["up", "--host", "127.0.0.1", "--port", "0", "--workers", str(self._workers)]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tenfold", *command),
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                cwd=self.log.parent,
                env=mine | {"TENFOLD_HOME": str(self.home), "TENFOLD_CONFIG": str(self.config)},
                start_new_session=True,  # Ctrl-C is ours to pass on
                preexec_fn=_end_with_parent,
            )
        until = time.monotonic() + _START_S
        while (ready := _READY.search(self._said())) is None:
            if self._process.returncode is not None or time.monotonic() > until:
                raise ChaosFailed(f"Tenfold did not start:\n{self.last_words()}")
            await asyncio.sleep(_POLL_S)
        self.port = int(ready[1])

    async def stop(self) -> bool:
        """Whether it came to an orderly end."""
        if self._process is None:
            return True
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await _ended(self._process) == 0

    def workers(self) -> list[int]:
        """The serving processes as they are now: forks of the supervisor, which have its command line."""
        assert self._process is not None
        own = self._process.pid
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
            command = Path(f"/proc/{own}/cmdline").read_bytes()
            return [int(pid) for pid in children if _command(int(pid)) == command]
        return []

    def last_words(self) -> str:
        """The end of its log."""
        return self._said()[-2000:]

    def _said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


class Victims(Protocol):
    home: Path

    def workers(self) -> list[int]: ...


class Killer:
    """kill -9 of random workers at random moments, now and then of two at once; of Postgres once after a while, or
    after every so many kills, when wanted. `pause_s`: the shortest and the longest between two strikes."""

    def __init__(
        self,
        tenfold: Victims,
        *,
        seed: int,
        postgres_after_s: float | None = None,
        postgres_every: int | None = None,
        pause_s: tuple[float, float] = (0.5, 3.5),
    ) -> None:
        self._tenfold = tenfold
        self._pause_s = pause_s
        self._chance = random.Random(f"killer {seed}")  # noqa: S311 - chance that can be repeated, not a secret
        self._postgres_after_s = postgres_after_s
        self._postgres_every = postgres_every
        self.kills = 0
        self.postgres_kills = 0

    async def run(self) -> None:
        """Until cancelled."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(self._chance.uniform(*self._pause_s))
            self.strike()
            after_s = self._postgres_after_s
            if after_s is not None and not self.postgres_kills and time.monotonic() - began > after_s:
                self._kill_postgres()
            every = self._postgres_every
            if every is not None and self.kills // every > self.postgres_kills:
                self._kill_postgres()

    def strike(self) -> None:
        """One worker, now and then two."""
        workers = self._tenfold.workers()
        wanted = 2 if self._chance.random() < 0.25 else 1
        for pid in self._chance.sample(workers, min(wanted, len(workers))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.kills += 1

    def _kill_postgres(self) -> None:
        pid = postmaster_pid(self._tenfold.home / "postgres" / "data")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self.postgres_kills += 1


async def _ended(process: Process) -> int:
    """Its exit code; killed when it does not end in time."""
    try:
        async with asyncio.timeout(_STOP_S):
            return await process.wait()
    except TimeoutError:
        return -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _command(pid: int) -> bytes | None:
    """None when it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None


def _end_with_parent() -> None:
    """In the child: SIGTERM when this process is killed (Linux)."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
