"""A table of tenants made by the documented pattern, and homes for clusters of a test's own."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tenfold.store import EmbeddedPostgres
from tenfold.store.connect import Connection

NOTES = """
CREATE TABLE tenfold.notes (
    tenant_id uuid NOT NULL, id uuid NOT NULL, body jsonb NOT NULL, PRIMARY KEY (tenant_id, id)
);
ALTER TABLE tenfold.notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenfold.notes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenfold.notes
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenfold.notes TO tenfold_app;
"""


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Connection]:
    """A connection as the owner, whom row-level security does not bind."""
    connection = await asyncpg.connect(database)
    yield connection
    connection.terminate()


@pytest.fixture
async def notes(owner: Connection) -> None:
    """The table `notes (tenant_id, id, body jsonb)`."""
    await owner.execute(NOTES)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Its folder above is 0700, as root's home is, and its name is not plain. A test stops what it starts."""
    return tmp_path / "the 'höme'"


@pytest.fixture
async def new_postgres(home: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A cluster of the test's own, to be mistreated. Not started; made on the first start."""
    cluster = EmbeddedPostgres(home)
    yield cluster
    await cluster.stop()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose cluster was made and stopped again: copying it takes a fraction of making one."""
    home = tmp_path_factory.mktemp("made")

    async def make() -> None:
        cluster = EmbeddedPostgres(home)
        await cluster.start()
        await cluster.stop()

    asyncio.run(make())
    return home


@pytest.fixture
async def postgres(made: Path, home: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A cluster of the test's own, to be mistreated. Made, not started."""
    subprocess.run(["cp", "-a", str(made), str(home)], check=True)
    cluster = EmbeddedPostgres(home)
    yield cluster
    await cluster.stop()
