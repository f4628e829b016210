"""A Postgres of the bench's own with tenants in it. Thrown away at the end, unless a folder for it is given."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tenfold.core.ids import TenantId, uuid7
from tenfold.store import EmbeddedPostgres, Store, migrate

_FIND_TENANT = "SELECT id FROM tenants WHERE slug = $1"
_ADD_TENANT = "INSERT INTO tenants (id, slug, name, created_at) VALUES ($1, $2, 'Bench', now())"


@asynccontextmanager
async def open_store(folder: Path | None = None) -> AsyncIterator[Store]:
    """`folder` is kept: what was read in last time is there the next time."""
    home = folder or Path(tempfile.mkdtemp(prefix="tenfold-bench-"))
    home.mkdir(parents=True, exist_ok=True)
    postgres = EmbeddedPostgres(home)
    try:
        dsn = await postgres.start()
        await migrate(dsn)
        store = await Store.open(dsn)
        try:
            yield store
        finally:
            await store.aclose()
    finally:
        await postgres.stop()
        if folder is None:
            shutil.rmtree(home)


async def tenant(store: Store, slug: str) -> TenantId:
    """The tenant of this name, made if need be."""
    async with store.directory() as tx:
        found = await tx.fetchval(_FIND_TENANT, slug)
        if found is None:
            found = uuid7()
            await tx.execute(_ADD_TENANT, found, slug)
    return TenantId(found)
