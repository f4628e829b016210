"""`tenfold up`: one supervising process that starts the database and Granian's workers, each of them a Service."""

import asyncio
import os
import resource
import shutil
import socket
from functools import partial
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

from tenfold import __version__
from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.access.secret_text import new_api_key
from tenfold.app.database import Database
from tenfold.app.service import Service
from tenfold.app.settings import Settings
from tenfold.core.clock import SystemClock
from tenfold.store import Store

DEFAULT_TENANT = "default"

_HEADER_TIMEOUT_MS = 10_000
_MAX_HEAD_BYTES = 64 * 1024
_OPEN_FILES = 65_536
_ANNOUNCED = Path("run") / "announced"


class _Worker:
    """The RSGI application of one worker process."""

    def __init__(self, settings: Settings, welcome: str) -> None:
        self._settings = settings
        self._welcome = welcome
        self._service = Service(settings)
        self._handle: Any = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._service.start())
        self._handle = self._service.handle
        _announce(self._settings.home, self._welcome)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._service.stop())

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        await self._handle(scope, proto)


def serve(settings: Settings) -> None:
    """Blocks until a signal stops it. Raises SettingsError, StoreUnavailable, OSError (the port is taken)."""
    host, port = settings.server.host, settings.server.port or _free_port(settings.server.host)
    _check_port(host, port)
    prepare_home(settings.home)
    _raise_file_limit()
    key = asyncio.run(_prepare(settings))
    base_url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104 - compared, not bound
    welcome = _welcome(base_url, key)
    Granian(
        target="tenfold",
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        workers=settings.server.workers,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_TIMEOUT_MS, max_buffer_size=_MAX_HEAD_BYTES),
        websockets=False,
        backlog=4096,
        backpressure=65_536,  # our own gate refuses in the dialect's words long before
        respawn_failed_workers=True,
        workers_kill_timeout=int(settings.server.shutdown_s) + 10,
        log_enabled=False,
    ).serve(target_loader=partial(_Worker, settings, welcome), wrap_loader=False)  # type: ignore[arg-type]  # an RSGI application


def prepare_home(home: Path) -> None:
    """The folder of everything Tenfold writes, for its owner only."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(home / "run", ignore_errors=True)  # of the last start
    (home / "run" / "metrics").mkdir(parents=True)


async def _prepare(settings: Settings) -> str | None:
    """Start and migrate the database, make sure a first key works. The key to show, None when the caller knows it."""
    database = Database(settings)
    await database.start()
    await database.migrate()
    store = await database.open_store()
    try:
        return await _first_key(settings, store)
    finally:
        await store.aclose()


async def _first_key(settings: Settings, store: Store) -> str | None:
    rows, clock = PostgresAccessRows(store), SystemClock()
    keys = ApiKeys(rows, Tenants(rows, clock), clock)
    if settings.bootstrap_key is not None:
        await keys.install_key(DEFAULT_TENANT, settings.bootstrap_key, "bootstrap")
        return None
    file = settings.home / "first-key"
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(new_api_key())
    key = file.read_text(encoding="ascii").strip()
    await keys.install_key(DEFAULT_TENANT, key, "first key")
    return key


def _announce(home: Path, welcome: str) -> None:
    """Said once per start, by the worker that is ready first."""
    try:
        os.close(os.open(home / _ANNOUNCED, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    print(welcome, flush=True)  # noqa: T201 - the one line for a person; everything else is a JSON log


def _welcome(base_url: str, key: str | None) -> str:
    shown = key or "$TENFOLD_BOOTSTRAP_KEY"
    return (
        f"\nTenfold {__version__} is ready. Open {base_url}/ in a browser, or ask it from here:\n\n"
        f"  curl {base_url}/v1/chat/completions \\\n"
        f'    -H "Authorization: Bearer {shown}" -H "Content-Type: application/json" \\\n'
        """    -d '{"model": "offline-extractive", "messages": [{"role": "user", "content": "What is Tenfold?"}]}'\n"""
    )


def _raise_file_limit() -> None:
    """A call in flight is two sockets, and shells give 1,024 by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _check_port(host: str, port: int) -> None:
    """Granian's workers would find out one by one. Raises OSError with the way out."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(
                error.errno, f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port"
            ) from None
