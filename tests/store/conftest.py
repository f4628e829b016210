"""A table of tenants made by the documented pattern, and homes for clusters of a test's own."""

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
    """Its folder above is 0700, as root's home is. A test stops what it starts."""
    return tmp_path / "home"


@pytest.fixture
async def postgres(home: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A cluster of the test's own, to be mistreated. Not started."""
    cluster = EmbeddedPostgres(home)
    yield cluster
    await cluster.stop()
