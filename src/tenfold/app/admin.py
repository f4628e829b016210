"""Tenants and keys for the command line: the access handlers on a database opened for one command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.app.database import open_database
from tenfold.app.settings import Settings
from tenfold.core.clock import SystemClock


@dataclass(frozen=True, kw_only=True)
class Access:
    tenants: Tenants
    keys: ApiKeys


@asynccontextmanager
async def open_access(settings: Settings) -> AsyncIterator[Access]:
    """Raises StoreUnavailable."""
    async with open_database(settings) as (_, store):
        rows, clock = PostgresAccessRows(store), SystemClock()
        tenants = Tenants(rows, clock)
        yield Access(tenants=tenants, keys=ApiKeys(rows, tenants, clock))
