"""A real Tenfold for tests: `tenfold up` as a process of its own, with its workers and its Postgres, on a free port."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import httpx

from tests.support.upstream_server import UpstreamServer, eventually

KEY = "tf-test-bootstrap-key-0123456789"
"""The API key of the tenant `default` in every Tenfold started here."""

_TENFOLD = (sys.executable, "-m", "tenfold")
_READY = re.compile(r"is ready\. Open (http://[^/]+)/")
_START_S = 60.0
_STOP_S = 45.0

MODELS = {
    "openai": ("gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small"),
    "anthropic": ("claude-haiku-4-5", "claude-sonnet-5"),
    "gemini": ("gemini-2.5-flash", "gemini-3.5-flash", "gemini-embedding-001"),
}

_PRICES = {"openai": "openai", "anthropic": "anthropic", "gemini": "google"}

STEADY = "[breakers]\nmin_failures = 10000\n" + "".join(
    f'[routes."{model}"]\nretries = 0\n' for models in MODELS.values() for model in models
)
"""For tests that make a provider fail many times and count what it was asked: no circuit opens, and nothing is tried
again by itself."""


def configuration(upstream: UpstreamServer, more: str = "") -> str:
    """A tenfold.toml with the three vendors and their models behind the stand-in, and `more` at its end."""
    lines = []
    for vendor, models in MODELS.items():
        lines += [f"[providers.{vendor}]", f'kind = "{vendor}"', f'base_url = "{upstream.base_url(vendor)}"']
        lines += [f'api_key = "env:{vendor.upper()}_UPSTREAM_KEY"', f'prices = "{_PRICES[vendor]}"', ""]
        for model in models:
            lines += [f'[models."{model}"]', f'provider = "{vendor}"', ""]
    return "\n".join([*lines, more])


class TenfoldProcess:
    """`start`, then `url` and the rest; as a context manager it is stopped at the end, and leaves no process."""

    key = KEY

    def __init__(
        self, folder: Path, config: str = "", *, environment: Mapping[str, str] | None = None, workers: int = 1
    ) -> None:
        self.home = folder / "home"
        self.url = ""
        self._workers = workers
        self._folder = folder
        self._log = folder / "tenfold.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "tenfold.toml"
        self._config.write_text(config, encoding="utf-8")
        self._environment = _clean_environment() | {
            "TENFOLD_CONFIG": str(self._config),
            "TENFOLD_HOME": str(self.home),
            "TENFOLD_BOOTSTRAP_KEY": KEY,
            **{f"{vendor.upper()}_UPSTREAM_KEY": key for vendor, key in UpstreamServer.keys.items()},
            **(environment or {}),
        }

    # -- life --------------------------------------------------------------------------------

    def start(self) -> Self:
        """Returns when `/readyz` is green. Fails with the log when that does not come about."""
        with self._log.open("ab") as log:
            started_at = log.tell()
            self._process = subprocess.Popen(
                [*_TENFOLD, "up", "--port", "0", "--workers", str(self._workers)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while (ready := _READY.search(self.log()[started_at:])) is None:
            alive = self._process.poll() is None and time.monotonic() < deadline
            assert alive, f"tenfold did not start:\n{self.log()[-4000:]}"
            time.sleep(0.02)
        self.url = ready[1]
        eventually(self.is_ready, "/readyz is green", _START_S)
        return self

    def end(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_STOP_S)

    def stop(self) -> int:
        """As `end`. Fails when a process is left."""
        code = self.end()
        self.await_silence()
        return code

    def kill(self) -> None:
        """kill -9 of the supervisor; the workers are left to notice."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def await_silence(self) -> None:
        """Until no process of this home lives, its Postgres included. Fails after a while, naming those that do."""
        try:
            eventually(lambda: not self.processes(), "all processes have ended", _STOP_S)
        except AssertionError as failure:
            raise AssertionError(f"left: {self.processes()}\n{self.log()[-2000:]}") from failure

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self._clear()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._process is not None and self._process.poll() is None:
                self.stop()
        finally:
            self._clear()

    # -- looking at it -----------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process is not None
        return self._process.pid

    def workers(self) -> list[int]:
        """The serving processes: forks of the supervisor."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        mine = _command(self.pid)
        return [int(pid) for pid in children if _command(int(pid)) == mine]

    def processes(self) -> list[int]:
        """Every process that works in this home: by its command line, its environment or its folder."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._owns(entry)]

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def log_end(self) -> int:
        """Of its last whole line, in characters."""
        return self.log().rfind("\n") + 1

    def log_lines(self, *, after: int = 0) -> list[dict[str, Any]]:
        """Those that are written to their end, after so many characters of the log."""
        return [json.loads(line) for line in self.log()[after:].split("\n")[:-1] if line.startswith("{")]

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, verify=False).status_code == 200
        except httpx.TransportError:
            return False

    def memory_bytes(self) -> int:
        """Resident memory of the serving processes."""
        return sum(_resident(pid) for pid in self.workers())

    # -- using it ----------------------------------------------------------------------------

    def cli(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Another `tenfold` command on the same home and configuration."""
        return subprocess.run(
            [*_TENFOLD, *words],
            env=self._environment | environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=_START_S,
            check=False,
        )

    @contextlib.contextmanager
    def beside(self, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
        """Another `tenfold` that runs on, on the same home and configuration; stopped with SIGTERM, which must end it
        well, unless it has ended."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [*_TENFOLD, *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(_STOP_S) == 0, self.log()[-2000:]

    def dsn(self) -> str:
        """The owner's, of the embedded Postgres as it is now."""
        state = json.loads((self.home / "postgres" / "state.json").read_text(encoding="utf-8"))
        return f"postgresql://tenfold_owner:{state['password']}@127.0.0.1:{state['port']}/tenfold?sslmode=disable"

    async def receipts(self, where: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of the ledger as they are now, the oldest first. `where` is SQL with $1, $2, ..."""
        connection = await asyncpg.connect(self.dsn())
        try:
            rows = await connection.fetch(f"SELECT * FROM tenfold.receipts WHERE {where} ORDER BY at, id", *values)
        finally:
            await connection.close()
        return [dict(row) for row in rows]

    def _clear(self) -> None:
        """Whatever went wrong, nothing is left."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def _owns(self, entry: Path) -> bool:
        home = str(self.home)
        try:
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
            if home in (entry / "cmdline").read_text(errors="replace"):
                return True
            if str((entry / "cwd").readlink()).startswith(home):
                return True
            return home in (entry / "environ").read_text(errors="replace")
        except OSError:  # it has ended, or is another user's
            return False


def _clean_environment() -> dict[str, str]:
    """Ours, without what would change Tenfold's settings or send a client elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TENFOLD_")}


def _command(pid: int) -> bytes | None:
    """None when it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
