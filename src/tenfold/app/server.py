"""`tenfold up`: one supervising process that starts the database and the workers, each of them a Service."""

import asyncio
import gc
import logging
import os
import resource
import shutil
import signal
import socket
from pathlib import Path

import uvloop

from tenfold import __version__
from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.access.secret_text import new_api_key
from tenfold.app.database import Database
from tenfold.app.service import Service
from tenfold.app.settings import Settings, environment
from tenfold.app.supervisor import Supervisor, listen
from tenfold.app.upstreams import refuse_unusable
from tenfold.core.clock import SystemClock
from tenfold.edge.http import HttpServer
from tenfold.ledger.data import read_price_file
from tenfold.store import Store

logger = logging.getLogger(__name__)

DEFAULT_TENANT = "default"

_STOP_MARGIN_S = 10.0  # for what follows the last call: receipts, the database's lease
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - names to show, not to bind
_OPEN_FILES = 65_536
_ANNOUNCED = Path("run") / "announced"


def serve(settings: Settings) -> None:
    """Blocks until a signal stops it. Raises SettingsError, StoreUnavailable, OSError (the port is taken)."""
    refuse_unusable(settings, environment())
    shared = settings.server.workers > 1
    with listen(settings.server.host, settings.server.port, shared=False) as listener:  # also with workers: is it free?
        port: int = listener.getsockname()[1]
        if shared:
            listener.close()
        prepare_home(settings.home)
        _raise_file_limit()
        key = asyncio.run(_prepare(settings))
        greeting = welcome(settings.server.host, port, key)

        def work() -> int:
            own = listen(settings.server.host, port, shared=True) if shared else listener
            uvloop.run(_work(settings, own, greeting))
            return 0

        read_price_file()  # once for all workers
        gc.collect()
        gc.freeze()  # what is imported by now stays shared with the workers
        Supervisor(work, settings.server.workers, settings.server.shutdown_s + _STOP_MARGIN_S, listener).run()


def work_off(settings: Settings, processes: int) -> None:
    """`tenfold worker`: does jobs and serves nothing. Blocks until a signal stops it. Raises SettingsError,
    StoreUnavailable."""
    refuse_unusable(settings, environment())
    (settings.home / "run" / "metrics").mkdir(mode=0o700, parents=True, exist_ok=True)
    _raise_file_limit()
    asyncio.run(_migrate(settings))

    def work() -> int:
        uvloop.run(_do_jobs(settings))
        return 0

    read_price_file()
    gc.collect()
    gc.freeze()
    Supervisor(work, processes, settings.server.shutdown_s + _STOP_MARGIN_S).run()


async def _migrate(settings: Settings) -> None:
    database = Database(settings)
    await database.start()
    await database.migrate()


async def _do_jobs(settings: Settings) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    service = Service(settings, does_jobs=True, serves=False)
    await service.start()
    logger.info("this process does jobs, %d at once", settings.jobs.slots)
    await stop.wait()
    await service.stop_jobs()
    service.stopping()
    await service.stop()


async def _work(settings: Settings, listener: socket.socket, greeting: str) -> None:
    """One worker: serve until SIGTERM, then let the calls in flight end."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    service = Service(settings, does_jobs=settings.jobs.in_server)
    await service.start()
    server = HttpServer(service.handle, batch=service.batch)
    await server.start(listener)
    _announce(settings.home, greeting)
    await stop.wait()
    await service.stop_jobs()
    service.stopping()
    cut_off = await server.stop(settings.server.shutdown_s)
    if cut_off:
        logger.warning("stopped with %d connections still busy", cut_off)
    await service.stop()


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
        return await first_key(settings, store)
    finally:
        await store.aclose()


async def first_key(settings: Settings, store: Store) -> str | None:
    """Makes sure that a key of the default tenant is there: the operator's own (then None), or one kept in the home."""
    rows, clock = PostgresAccessRows(store), SystemClock()
    keys = ApiKeys(rows, Tenants(rows, clock), clock)
    if settings.bootstrap_key is not None:
        await keys.install_key(DEFAULT_TENANT, settings.bootstrap_key, "bootstrap")
        return None
    file = settings.home / "first-key"
    if not file.exists():
        scratch = file.with_suffix(".new")  # a process killed in between leaves no half a key
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(new_api_key())
        scratch.replace(file)
    key = file.read_text(encoding="ascii").strip()
    await keys.install_key(DEFAULT_TENANT, key, "first key")
    return key


def _announce(home: Path, greeting: str) -> None:
    """Said once per start, by the worker that is ready first."""
    try:
        os.close(os.open(home / _ANNOUNCED, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    print(greeting, flush=True)  # noqa: T201 - the one line for a person; everything else is a JSON log


def welcome(host: str, port: int, key: str | None) -> str:
    base_url = f"http://{_EVERYWHERE.get(host, host)}:{port}"
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
