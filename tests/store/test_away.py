"""The database goes away, hangs or is busy: a typed error at once, and the same Store works again afterwards."""

import asyncio
import os
import signal

import asyncpg
import pytest

from tenfold.core.errors import StoreUnavailable
from tenfold.store import EmbeddedPostgres, StartupError, Store, migrate
from tenfold.store.connect import Connection
from tests.support.processes import is_silent, postmaster, signal_all, until


async def one(store: Store) -> int:
    async with store.directory(readonly=True) as tx:
        value: int = await tx.fetchval("SELECT 1")
        return value


async def test_the_store_recovers_by_itself_when_postgres_comes_back(postgres: EmbeddedPostgres) -> None:
    dsn = await postgres.start()
    await migrate(dsn)
    store = await Store.open(dsn, min_size=2, max_size=3)
    heard: asyncio.Queue[str] = asyncio.Queue()
    await store.listen("news", heard.put_nowait)

    signal_all(postgres.data_folder, signal.SIGKILL)
    await until(lambda: is_silent(postgres.log_file.parent.parent))
    with pytest.raises(StoreUnavailable):
        await one(store)
    with pytest.raises(StoreUnavailable):
        await store.ping()

    await store.move_to(await postgres.ensure_running())
    assert await one(store) == 1
    await store.ping()
    assert await heard.get() == ""  # whoever waits is told that it may have missed something
    await store.notify("news", "again")
    assert await heard.get() == "again"
    await store.aclose()


async def test_a_connection_that_died_unnoticed_is_replaced(store: Store, owner: Connection) -> None:
    assert await one(store) == 1
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user "
        "AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert await one(store) == 1


async def test_a_connection_lost_inside_a_unit_of_work_is_told(store: Store, owner: Connection) -> None:
    with pytest.raises(StoreUnavailable):
        async with store.directory() as tx:
            pid = await tx.fetchval("SELECT pg_backend_pid()")
            await owner.execute("SELECT pg_terminate_backend($1, 5000)", pid)
            await tx.fetch("SELECT 1")
    with pytest.raises(StoreUnavailable):
        async with store.directory() as tx:
            pid = await tx.fetchval("SELECT pg_backend_pid()")
            await owner.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    assert await one(store) == 1


async def test_a_hanging_server_is_not_waited_for(postgres: EmbeddedPostgres) -> None:
    dsn = await postgres.start()
    await migrate(dsn)
    store = await Store.open(dsn, max_size=2, connect_timeout_s=0.2, statement_timeout_s=0.1)
    signal_all(postgres.data_folder, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await store.ping()
        with pytest.raises(StoreUnavailable):
            await one(store)
    finally:
        signal_all(postgres.data_folder, signal.SIGCONT)
    assert await one(store) == 1
    await store.aclose()


async def test_a_slow_statement_is_ended(database: str) -> None:
    store = await Store.open(database, max_size=1, statement_timeout_s=0.05)
    with pytest.raises(StoreUnavailable, match="in time"):
        async with store.directory() as tx:
            await tx.fetch("SELECT pg_sleep(60)")
    assert await one(store) == 1
    await store.aclose()


async def test_when_all_connections_are_taken_the_next_one_is_told(database: str) -> None:
    store = await Store.open(database, max_size=1, connect_timeout_s=0.05)
    async with store.directory():
        with pytest.raises(StoreUnavailable):
            await one(store)
    assert await one(store) == 1
    await store.aclose()


async def test_nobody_listens_there() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await Store.open("postgresql://nobody:secret@127.0.0.1:1/none?sslmode=disable")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("broken", ["user", "password", "name"])
async def test_a_refused_login_says_what_to_check(database: str, broken: str) -> None:
    base = {"user": "tenfold_owner", "password": database.split(":")[2].split("@")[0], "name": "tenfold"}
    parts = base | {broken: "wrong"}
    port = database.split("@")[1].split("/")[0]
    with pytest.raises(StartupError, match=r"database\.url"):
        await Store.open(f"postgresql://{parts['user']}:{parts['password']}@{port}/{parts['name']}?sslmode=disable")


async def test_what_is_not_a_url_is_told() -> None:
    with pytest.raises(StartupError, match="postgresql://"):
        await Store.open("mysql://root@127.0.0.1/x")


async def test_a_server_that_was_never_migrated_says_so(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(StartupError, match="tenfold db migrate"):
        await Store.open(await postgres.start())


async def test_hints_come_with_the_commit(store: Store) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    await store.listen("news", heard.put_nowait)
    with pytest.raises(KeyError):
        async with store.directory() as tx:
            await tx.notify("news", "never")
            raise KeyError
    async with store.directory() as tx:
        await tx.notify("news", "first")
    assert await heard.get() == "first"


async def test_a_callback_that_fails_does_not_silence_the_others(store: Store) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    def fail(payload: str) -> None:
        raise ValueError(payload)

    await store.listen("news", fail)
    await store.listen("news", heard.put_nowait)
    await store.notify("news", "all the same")
    assert await heard.get() == "all the same"


async def test_a_listener_whose_connection_was_ended_listens_again(store: Store, owner: Connection) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    await store.listen("news", heard.put_nowait)
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE query LIKE 'LISTEN %' AND datname = current_database()"
    )
    assert await heard.get() == ""
    await store.notify("news", "again")
    assert await heard.get() == "again"


async def test_the_supervisor_brings_a_killed_postmaster_back(postgres: EmbeddedPostgres) -> None:
    dsn = await postgres.start()
    back: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(postgres.supervise(back.put_nowait))
    os.kill(postmaster(postgres.data_folder), signal.SIGKILL)
    assert await back.get() == dsn
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
