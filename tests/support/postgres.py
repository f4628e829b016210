"""A real Postgres for tests: one server for each test process, a fresh migrated database for each test.

Fixtures: `database` (DSN of the owner), `store` (a Store on it), `postgres_server` (more databases).
Tests that do not ask for one of them start nothing.
"""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tenfold.store import EmbeddedPostgres, Store, migrate

_TEMPLATE = "template_tenfold"
# Nothing here outlives the run, so nothing is forced to disk.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}


class PostgresServer:
    """Databases are made from a migrated template: about 30 ms each."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._numbers = itertools.count(1)

    def dsn(self, database: str) -> str:
        return urlunsplit(urlsplit(self._dsn)._replace(path=f"/{database}"))

    async def prepare(self) -> None:
        await self._admin(f"CREATE DATABASE {_TEMPLATE}")
        await migrate(self.dsn(_TEMPLATE))

    async def create(self, *, migrated: bool = True) -> str:
        """The owner's DSN of a new database."""
        name = f"test_{next(self._numbers)}"
        template = _TEMPLATE if migrated else "template1"
        await self._admin(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.dsn(name)

    async def drop(self, dsn: str) -> None:
        await self._admin(f"DROP DATABASE {urlsplit(dsn).path[1:]} WITH (FORCE)")

    async def _admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    home = tmp_path_factory.mktemp("postgres-server")
    postgres = EmbeddedPostgres(home, settings=_SETTINGS)
    try:
        server = PostgresServer(asyncio.run(postgres.start()))
        asyncio.run(server.prepare())
        yield server
    finally:
        asyncio.run(postgres.stop())
        shutil.rmtree(home)


@pytest.fixture
async def database(postgres_server: PostgresServer) -> AsyncIterator[str]:
    dsn = await postgres_server.create()
    yield dsn
    await postgres_server.drop(dsn)


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    store = await Store.open(database, max_size=5)
    yield store
    await store.aclose()
