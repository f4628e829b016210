"""What runs inside a unit of work: reading, and writing. Neither can commit; leaving the unit of work does."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from tenfold.store.errors import translated

Row = asyncpg.Record
PoolConnection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


class ReadTransaction:
    """Every method takes SQL with `$1, $2, ...` and raises StoreUnavailable; SQL errors pass through."""

    def __init__(self, connection: PoolConnection, before_each: Callable[[], None]) -> None:
        self._connection = connection
        self._before_each = before_each

    async def fetch(self, query: str, *args: Any) -> list[Row]:
        self._before_each()
        with translated(self._connection):
            return await self._connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Row | None:
        self._before_each()
        with translated(self._connection):
            return await self._connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        """The first column of the first row; None when there is no row."""
        self._before_each()
        with translated(self._connection):
            return await self._connection.fetchval(query, *args)


class Transaction(ReadTransaction):
    async def execute(self, query: str, *args: Any) -> str:
        """Returns the command tag: `"UPDATE 3"`."""
        self._before_each()
        with translated(self._connection):
            return await self._connection.execute(query, *args)

    async def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        self._before_each()
        with translated(self._connection):
            await self._connection.executemany(query, rows)

    async def notify(self, channel: str, payload: str = "") -> None:
        """A hint that goes out when the transaction commits; at most 8,000 bytes. See Store.listen."""
        await self.execute("SELECT pg_notify($1, $2)", channel, payload)
