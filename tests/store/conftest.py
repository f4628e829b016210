"""A table of tenants made by the documented pattern, and homes for clusters of a test's own."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tenfold.store import EmbeddedPostgres
from tenfold.store.connect import Connection
from tests.support.postgres import new_home

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
def home() -> Iterator[Path]:
    """Removed afterwards; a test stops what it starts."""
    path = new_home()
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def postgres(home: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A cluster of the test's own, to be mistreated. Not started."""
    cluster = EmbeddedPostgres(home)
    yield cluster
    await cluster.stop()
