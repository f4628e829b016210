"""The Store: the pool, and the unit of work in which one transaction belongs to one tenant.

Refuses to hand out a connection: there is no way to query without a unit of work, or to commit inside one.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Literal, Self, overload

import asyncpg

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.store.connect import APP_ROLE, Connection, connect, set_codecs
from tenfold.store.errors import is_lost, translated
from tenfold.store.listener import Listener
from tenfold.store.transaction import PoolConnection, ReadTransaction, Transaction

_PING_TIMEOUT_S = 1.0
_NOTIFY = "SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS h (channel, payload)"
_BY_INDEX = "; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
_ACCESS_MODE = {False: "", True: " READ ONLY"}


class Store:
    """Opened once per process with `Store.open`; closed with `aclose`. Connections that were lost are
    replaced on the next use, so Postgres may go away and come back."""

    def __init__(
        self, dsn: str, *, connect_timeout_s: float, statement_timeout_s: float, min_size: int, max_size: int
    ) -> None:
        self._dsn = dsn
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = statement_timeout_s
        self._pool = asyncpg.create_pool(
            min_size=min_size,
            max_size=max_size,
            connect=self._connect,
            init=set_codecs,
            reset=_keep_session,
            max_inactive_connection_lifetime=300,
        )
        self._listener = Listener(self._connect)
        self.queries_run = 0  # statements sent, those of the unit of work itself included

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        min_size: int = 1,
        max_size: int = 10,
        connect_timeout_s: float = 5.0,
        statement_timeout_s: float = 5.0,
    ) -> Self:
        """Raises StoreUnavailable; StartupError when the login is refused or the schema was never migrated."""
        store = cls(
            dsn,
            connect_timeout_s=connect_timeout_s,
            statement_timeout_s=statement_timeout_s,
            min_size=min_size,
            max_size=max_size,
        )
        with translated():
            await store._pool
        return store

    async def aclose(self) -> None:
        """Waits for running units of work."""
        await self._listener.aclose()
        with translated():
            await self._pool.close()

    async def move_to(self, dsn: str) -> None:
        """New connections go to `dsn` (Postgres came back on another port); running units of work stay."""
        self._dsn = dsn
        await self._pool.expire_connections()

    async def ping(self) -> None:
        """Readiness. Raises StoreUnavailable within about a second."""
        with translated():
            async with self._pool.acquire(timeout=_PING_TIMEOUT_S) as connection:
                self._count()
                await connection.execute("SELECT 1", timeout=_PING_TIMEOUT_S)

    # -- units of work -----------------------------------------------------------------------

    @overload
    def tenant(
        self, tenant_id: TenantId, *, readonly: Literal[False] = False, by_index: bool = False
    ) -> AbstractAsyncContextManager[Transaction]: ...
    @overload
    def tenant(
        self, tenant_id: TenantId, *, readonly: Literal[True], by_index: bool = False
    ) -> AbstractAsyncContextManager[ReadTransaction]: ...
    def tenant(
        self, tenant_id: TenantId, *, readonly: bool = False, by_index: bool = False
    ) -> AbstractAsyncContextManager[ReadTransaction]:
        """One transaction that sees the rows of one tenant. Commits when the block ends, rolls back when it raises.
        `by_index`: for tables that are empty now and long in a minute, where a plan that was made for the short one
        must not stay.

        StoreUnavailable on leaving the block means that the outcome is unknown: writes carry a key that
        makes them safe to repeat."""
        # One round trip. A UUID is hex digits: nothing to escape.
        begin = f"BEGIN{_ACCESS_MODE[readonly]}; SET LOCAL tenfold.tenant_id = '{tenant_id.hex}'"
        return self._unit_of_work(begin + _BY_INDEX if by_index else begin)

    @overload
    def directory(
        self, *, readonly: Literal[False] = False, by_index: bool = False
    ) -> AbstractAsyncContextManager[Transaction]: ...
    @overload
    def directory(
        self, *, readonly: Literal[True], by_index: bool = False
    ) -> AbstractAsyncContextManager[ReadTransaction]: ...
    def directory(
        self, *, readonly: bool = False, by_index: bool = False
    ) -> AbstractAsyncContextManager[ReadTransaction]:
        """One transaction over the directory tables; tables of tenants show no rows and take none."""
        begin = f"BEGIN{_ACCESS_MODE[readonly]}"
        return self._unit_of_work(begin + _BY_INDEX if by_index else begin)

    # -- hints -------------------------------------------------------------------------------

    async def listen(self, channel: str, callback: Callable[[str], None]) -> None:
        """Calls `callback(payload)` for every hint on `channel`, from one dedicated connection, until `aclose`.

        A hint, no more: hints sent while the connection was away are lost (after it came back, every
        callback is called once with ""), so whoever waits also polls. Returns when the channel is heard.
        Raises StoreUnavailable; it goes on trying all the same."""
        await self._listener.listen(channel, callback, timeout_s=self._connect_timeout_s)

    async def notify(self, channel: str, payload: str = "") -> None:
        """A hint outside of any unit of work; inside one use `Transaction.notify`."""
        await self.notify_all([(channel, payload)])

    async def notify_all(self, hints: Sequence[tuple[str, str]]) -> None:
        """Hints (channel, payload), together and outside of any unit of work: one round trip, and nothing to flush."""
        channels, payloads = [channel for channel, _ in hints], [payload for _, payload in hints]
        for last_try in (False, True):
            with translated():
                connection = await self._pool.acquire(timeout=self._connect_timeout_s)
            try:
                self._count()
                with translated(connection):
                    await connection.execute(_NOTIFY, channels, payloads)
            except StoreUnavailable:
                await self._release(connection, broken=True)
                if last_try:  # the first connection may have died unnoticed, and a hint may come twice
                    raise
            except BaseException:
                await self._release(connection, broken=True)
                raise
            else:
                await self._release(connection)
                return

    # -- inside ------------------------------------------------------------------------------

    def _count(self) -> None:
        self.queries_run += 1

    async def _connect(self, *_args: object, **_kwargs: object) -> Connection:
        """In the pool's place of `asyncpg.connect`; its arguments are not used, so that the DSN can move."""
        return await connect(
            self._dsn,
            role=APP_ROLE,
            connect_timeout_s=self._connect_timeout_s,
            statement_timeout_s=self._statement_timeout_s,
        )

    @asynccontextmanager
    async def _unit_of_work(self, begin: str) -> AsyncIterator[Transaction]:
        connection = await self._begin(begin)
        ended = False

        def before_each() -> None:
            if ended:
                raise RuntimeError("the transaction is used after the end of its unit of work")
            self._count()

        try:
            try:
                yield Transaction(connection, before_each)
            except BaseException:
                with suppress(StoreUnavailable, asyncpg.InterfaceError):  # the first error is the one to tell
                    await self._run(connection, "ROLLBACK")
                raise
            if is_lost(connection):
                raise StoreUnavailable("The connection to the database was lost.")
            if not connection.is_in_transaction():
                raise RuntimeError("the transaction was ended inside the unit of work")
            if await self._run(connection, "COMMIT") != "COMMIT":
                raise RuntimeError("a statement failed inside the unit of work and its error was swallowed")
        finally:
            ended = True
            await self._release(connection)

    async def _begin(self, begin: str) -> PoolConnection:
        for last_try in (False, True):
            with translated():
                connection = await self._pool.acquire(timeout=self._connect_timeout_s)
            try:
                await self._run(connection, begin)
            except BaseException as error:
                await self._release(connection, broken=True)
                # A pooled connection may have died unnoticed. Nothing ran on it, so one more try is safe.
                if last_try or not isinstance(error, StoreUnavailable):
                    raise
            else:
                return connection
        raise AssertionError("the last try returns or raises")

    async def _run(self, connection: PoolConnection, statement: str) -> str:
        self._count()
        with translated(connection):
            return await connection.execute(statement)

    async def _release(self, connection: PoolConnection, *, broken: bool = False) -> None:
        if not is_lost(connection) and (broken or connection.is_in_transaction()):
            connection.terminate()  # in a transaction still: its ROLLBACK did not go through
        with translated(), suppress(asyncpg.InterfaceError):
            await self._pool.release(connection)


async def _keep_session(_connection: Connection) -> None:
    """Instead of asyncpg's reset on release (one round trip): a unit of work sets nothing beyond its transaction."""
