"""The database of one process: embedded or given, migrated once, watched all the time."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tenfold.app.settings import Settings
from tenfold.core.errors import StoreUnavailable
from tenfold.inference.admit import Gate
from tenfold.store import Applied, EmbeddedPostgres, Store, migrate

logger = logging.getLogger(__name__)

CHECK_S = 0.5


class Database:
    """Where the rows are. `dsn` is the owner's; the store takes the application's role by itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.embedded = None if settings.database.url else EmbeddedPostgres(settings.home)
        self.dsn = settings.database.url or ""

    async def start(self) -> str:
        """The DSN; the embedded Postgres is running. Raises StoreUnavailable."""
        if self.embedded is not None:
            self.dsn = await self.embedded.start()
        return self.dsn

    async def migrate(self) -> list[Applied]:
        """Raises StoreUnavailable."""
        return await migrate(self.dsn)

    async def open_store(self) -> Store:
        return await Store.open(self.dsn, min_size=1, max_size=self._settings.database.pool_size)

    async def stop(self) -> None:
        if self.embedded is not None:
            await self.embedded.stop()


@asynccontextmanager
async def open_database(settings: Settings, *, migrated: bool = True) -> AsyncIterator[tuple[Database, Store]]:
    """For a command: the database for as long as the block runs. Raises StoreUnavailable."""
    database = Database(settings)
    if database.embedded is not None and not settings.home.exists():
        logger.warning("There is no Tenfold in %s yet: it is made. Another one is named by --home.", settings.home)
    await database.start()
    try:
        if migrated:
            await database.migrate()
        store = await database.open_store()
        try:
            yield database, store
        finally:
            await store.aclose()
    finally:
        await database.stop()


async def watch(store: Store, gate: Gate) -> None:
    """Runs until cancelled: keeps `gate.store_up` true to what the database answers."""
    while True:
        try:
            await store.ping()
        except StoreUnavailable as error:
            if gate.store_up:
                logger.error("the database is away: %s", error.message)
            gate.store_up = False
        else:
            if not gate.store_up:
                logger.warning("the database is back")
            gate.store_up = True
        await asyncio.sleep(CHECK_S)
