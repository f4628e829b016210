"""One transaction is one tenant, and only the unit of work ends it."""

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.store import Store
from tenfold.store.connect import Connection

ADD = "INSERT INTO notes (tenant_id, id, body) VALUES ($1, $2, $3)"


def new_tenant() -> TenantId:
    return TenantId(uuid7())


@pytest.mark.usefixtures("notes")
class TestTenants:
    async def test_a_row_is_seen_by_its_tenant_only(self, store: Store) -> None:
        mine, other = new_tenant(), new_tenant()
        async with store.tenant(mine) as tx:
            await tx.execute(ADD, mine, uuid7(), "hello")
        async with store.tenant(mine, readonly=True) as tx:
            assert await tx.fetchval("SELECT body FROM notes") == "hello"
        async with store.tenant(other) as tx:
            assert await tx.fetch("SELECT * FROM notes") == []
            assert await tx.execute("UPDATE notes SET body = '1'") == "UPDATE 0"
            assert await tx.execute("DELETE FROM notes") == "DELETE 0"

    async def test_a_row_of_another_tenant_cannot_be_written(self, store: Store) -> None:
        mine, other = new_tenant(), new_tenant()
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with store.tenant(mine) as tx:
                await tx.execute(ADD, other, uuid7(), "smuggled")

    async def test_a_row_cannot_be_moved_to_another_tenant(self, store: Store) -> None:
        mine, other = new_tenant(), new_tenant()
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with store.tenant(mine) as tx:
                await tx.execute(ADD, mine, uuid7(), "mine")
                await tx.execute("UPDATE notes SET tenant_id = $1", other)

    async def test_without_a_tenant_there_are_no_rows_and_none_can_be_added(self, store: Store) -> None:
        mine = new_tenant()
        async with store.tenant(mine) as tx:
            await tx.execute(ADD, mine, uuid7(), "hello")
        async with store.directory(readonly=True) as tx:
            assert await tx.fetch("SELECT * FROM notes") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with store.directory() as writing:
                await writing.execute(ADD, mine, uuid7(), "nobody's")

    async def test_the_tenant_does_not_stay_on_the_connection(self, database: str) -> None:
        store = await Store.open(database, min_size=1, max_size=1)
        mine = new_tenant()
        async with store.tenant(mine) as tx:
            assert await tx.fetchval("SELECT tenfold.tenant_id()") == mine
        async with store.directory() as tx:
            assert await tx.fetchval("SELECT tenfold.tenant_id()") is None
        await store.aclose()

    async def test_an_error_undoes_the_whole_unit_of_work(self, store: Store, owner: Connection) -> None:
        mine = new_tenant()
        with pytest.raises(KeyError):
            async with store.tenant(mine) as tx:
                await tx.execute(ADD, mine, uuid7(), "hello")
                raise KeyError
        assert await owner.fetchval("SELECT count(*) FROM tenfold.notes") == 0

    async def test_cancelling_undoes_it_and_gives_the_connection_back(self, database: str, owner: Connection) -> None:
        store = await Store.open(database, min_size=1, max_size=1)
        mine = new_tenant()
        written = asyncio.Event()

        async def write() -> None:
            async with store.tenant(mine) as tx:
                await tx.execute(ADD, mine, uuid7(), "hello")
                written.set()
                await tx.execute("SELECT pg_sleep(60)")

        task = asyncio.create_task(write())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store.ping()  # on the only connection there is
        assert await owner.fetchval("SELECT count(*) FROM tenfold.notes") == 0
        await store.aclose()

    async def test_an_error_that_was_swallowed_does_not_pass_for_a_commit(self, store: Store) -> None:
        mine = new_tenant()
        with pytest.raises(RuntimeError, match="swallowed"):
            async with store.tenant(mine) as tx:
                with pytest.raises(asyncpg.UndefinedTableError):
                    await tx.execute("DELETE FROM nothing")

    async def test_nobody_but_the_unit_of_work_commits(self, store: Store) -> None:
        with pytest.raises(RuntimeError, match="ended inside"):
            async with store.tenant(new_tenant()) as tx:
                await tx.execute("COMMIT")

    async def test_a_readonly_unit_of_work_cannot_write(self, store: Store) -> None:
        mine = new_tenant()
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with store.tenant(mine, readonly=True) as tx:
                await tx.fetch(ADD + " RETURNING id", mine, uuid7(), "hello")

    async def test_many_rows_at_once(self, store: Store) -> None:
        mine = new_tenant()
        async with store.tenant(mine) as tx:
            await tx.executemany(ADD, [(mine, uuid7(), {"n": n}) for n in range(50)])
            row = await tx.fetchrow("SELECT count(*) AS rows, sum((body->>'n')::int) AS total FROM notes")
            assert row is not None
            assert (row["rows"], row["total"]) == (50, 1225)


async def test_the_app_is_bound_by_row_level_security(store: Store) -> None:
    async with store.directory() as tx:
        assert await tx.fetchval("SELECT current_user") == "tenfold_app"
        assert await tx.fetchval("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user") is False


async def test_a_transaction_is_of_no_use_after_its_end(store: Store) -> None:
    async with store.directory() as tx:
        pass
    with pytest.raises(RuntimeError, match="after the end"):
        await tx.fetch("SELECT 1")


async def test_statements_are_counted(store: Store) -> None:
    before = store.queries_run
    async with store.directory() as tx:
        await tx.fetch("SELECT 1")
    assert store.queries_run - before == 3  # BEGIN, SELECT, COMMIT


async def test_errors_of_our_own_sql_are_not_hidden(store: Store) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with store.directory() as tx:
            await tx.fetch("SELECT * FROM nothing")


async def test_a_deadlock_may_be_tried_again(store: Store) -> None:
    first_done, second_done = asyncio.Event(), asyncio.Event()

    async def take(mine: int, done: asyncio.Event, other: int, other_done: asyncio.Event) -> None:
        async with store.directory() as tx:
            await tx.execute("SELECT pg_advisory_xact_lock($1)", mine)
            done.set()
            await other_done.wait()
            await tx.execute("SELECT pg_advisory_xact_lock($1)", other)

    outcomes = await asyncio.gather(
        take(1, first_done, 2, second_done), take(2, second_done, 1, first_done), return_exceptions=True
    )
    losers = [outcome for outcome in outcomes if outcome is not None]
    assert len(losers) == 1
    assert isinstance(losers[0], StoreUnavailable)
    assert losers[0].retryable


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values)
async def test_json_comes_back_as_it_was(store: Store, value: Any) -> None:
    async with store.directory(readonly=True) as tx:
        assert await tx.fetchval("SELECT $1::jsonb", value) == value
        assert await tx.fetchval("SELECT $1::json", value) == value


async def test_structs_can_be_written_as_json(store: Store) -> None:
    class Point(msgspec.Struct):
        x: int

    async with store.directory(readonly=True) as tx:
        assert await tx.fetchval("SELECT $1::jsonb -> 'x'", Point(x=7)) == 7
