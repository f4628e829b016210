"""Migrations: once, in order, by any number of processes, and nothing half-done."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.store import MigrationError, Store, migrate, migration_status
from tenfold.store.migration_files import MigrationFile, packaged_files, read_files
from tests.support.postgres import PostgresServer


def pre(name: str, sql: str) -> MigrationFile:
    return MigrationFile(name=f"{name}.pre", phase="pre", sql=sql)


def post(name: str, sql: str) -> MigrationFile:
    return MigrationFile(name=f"{name}.post", phase="post", sql=sql)


def names(files: list[MigrationFile]) -> list[str]:
    return [file.name for file in files]


BASE = packaged_files()[:1]
THINGS = pre("0001_things", "CREATE TABLE things (id uuid PRIMARY KEY, kind text NOT NULL);")


@pytest.fixture
async def empty(postgres_server: PostgresServer) -> AsyncIterator[str]:
    dsn = await postgres_server.create(migrated=False)
    yield dsn
    await postgres_server.drop(dsn)


async def fetchval(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        connection.terminate()


async def state_of(dsn: str, files: list[MigrationFile]) -> dict[str, str]:
    return {status.name: status.state for status in await migration_status(dsn, files=files)}


async def test_each_file_runs_once_and_in_order(empty: str) -> None:
    files = [pre("0002_more", "ALTER TABLE things ADD size int;"), THINGS, *BASE]
    assert [applied.name for applied in await migrate(empty, files=files)] == [
        "0000_base.pre",
        "0001_things.pre",
        "0002_more.pre",
    ]
    assert await migrate(empty, files=files) == []
    assert set((await state_of(empty, files)).values()) == {"applied"}


async def test_many_processes_start_at_once(empty: str) -> None:
    outcomes = await asyncio.gather(*(migrate(empty) for _ in range(6)))
    applied = [one.name for outcome in outcomes for one in outcome]
    assert sorted(applied) == sorted(names(packaged_files()))


async def test_status_before_the_first_migration(empty: str) -> None:
    assert set((await state_of(empty, packaged_files())).values()) == {"pending"}
    assert await fetchval(empty, "SELECT to_regnamespace('tenfold')") is None  # asking changes nothing


async def test_the_post_phase_can_wait(empty: str) -> None:
    files = [*BASE, THINGS, post("0001_things", "CREATE INDEX CONCURRENTLY IF NOT EXISTS by_kind ON things (kind);")]
    await migrate(empty, files=files, phases=("pre",))
    assert (await state_of(empty, files))["0001_things.post"] == "pending"
    assert [applied.name for applied in await migrate(empty, files=files)] == ["0001_things.post"]
    assert await fetchval(empty, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'tenfold.by_kind'::regclass")


async def test_a_file_that_was_changed_after_it_ran_is_refused(empty: str) -> None:
    await migrate(empty, files=[*BASE, THINGS])
    changed = [*BASE, pre("0001_things", THINGS.sql + "\n-- and more"), pre("0002_new", "CREATE TABLE new ();")]
    with pytest.raises(MigrationError, match=r"0001_things\.pre was changed after it ran"):
        await migrate(empty, files=changed)
    assert (await state_of(empty, changed)) == {
        "0000_base.pre": "applied",
        "0001_things.pre": "changed",
        "0002_new.pre": "pending",
    }
    assert await fetchval(empty, "SELECT to_regclass('tenfold.new')") is None


async def test_line_ends_do_not_count_as_a_change(empty: str) -> None:
    await migrate(empty, files=[*BASE, pre("0001_things", "CREATE TABLE things (\n);\n")])
    assert await migrate(empty, files=[*BASE, pre("0001_things", "CREATE TABLE things (\r\n);\r\n")]) == []


async def test_a_database_from_a_newer_version_is_left_alone(empty: str) -> None:
    await migrate(empty, files=[*BASE, THINGS])
    assert await migrate(empty, files=BASE) == []
    assert await state_of(empty, BASE) == {"0000_base.pre": "applied", "0001_things.pre": "unknown"}


async def test_a_failing_file_leaves_nothing_behind(empty: str) -> None:
    broken = pre("0002_broken", "CREATE TABLE half (); INSERT INTO missing VALUES (1);")
    with pytest.raises(MigrationError, match=r"0002_broken\.pre failed: relation \"missing\" does not exist"):
        await migrate(empty, files=[*BASE, THINGS, broken])
    assert await fetchval(empty, "SELECT to_regclass('tenfold.half')") is None
    assert await fetchval(empty, "SELECT to_regclass('tenfold.things')") == "tenfold.things"
    mended = pre("0002_broken", "CREATE TABLE half ();")
    assert [one.name for one in await migrate(empty, files=[*BASE, THINGS, mended])] == ["0002_broken.pre"]


async def test_an_index_whose_build_was_broken_off_is_built_again(empty: str) -> None:
    unique = post("0001_things", "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one_of_a_kind ON things (kind);")
    await migrate(empty, files=[*BASE, THINGS])
    await fetchval(empty, "INSERT INTO tenfold.things VALUES (gen_random_uuid(), 'a'), (gen_random_uuid(), 'a')")
    with pytest.raises(MigrationError, match="could not create unique index"):
        await migrate(empty, files=[*BASE, THINGS, unique])
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'tenfold.one_of_a_kind'::regclass"
    assert await fetchval(empty, valid) is False

    await fetchval(empty, "DELETE FROM tenfold.things")
    await migrate(empty, files=[*BASE, THINGS, unique])
    assert await fetchval(empty, valid) is True


async def test_a_table_that_stays_locked_is_not_waited_for(empty: str) -> None:
    await migrate(empty, files=[*BASE, THINGS])
    reader = await asyncpg.connect(empty)
    async with reader.transaction():
        await reader.execute("SELECT FROM tenfold.things")
        with pytest.raises(MigrationError, match="in use"):
            more = pre("0002_more", "ALTER TABLE things ADD size int;")
            await migrate(empty, files=[*BASE, THINGS, more], lock_timeout_s=0.05)
    reader.terminate()


async def test_whoever_finds_another_at_work_waits_and_then_gives_up(empty: str) -> None:
    other = await asyncpg.connect(empty)
    await other.execute("SELECT pg_advisory_lock($1)", 0x74656E66_6F6C6400)
    with pytest.raises(MigrationError, match="Another process"):
        await migrate(empty, wait_s=0.05)
    other.terminate()


async def test_an_owner_who_is_no_superuser_can_migrate_and_serve(postgres_server: PostgresServer) -> None:
    """An external database: the user of database.url owns it and may make roles, no more."""
    dsn = await postgres_server.create(migrated=False)
    admin = await asyncpg.connect(dsn)
    name = urlsplit(dsn).path[1:]
    await admin.execute(
        "CREATE ROLE customer LOGIN PASSWORD 'pw'; GRANT tenfold_app TO customer; CREATE EXTENSION vector"
    )
    await admin.execute(f"ALTER DATABASE {name} OWNER TO customer")
    theirs = as_user(dsn, "customer")
    await migrate(theirs)
    store = await Store.open(theirs)
    async with store.tenant(TenantId(uuid7())) as tx:
        assert await tx.fetchval("SELECT current_user") == "tenfold_app"
    await store.aclose()
    admin.terminate()
    await postgres_server.drop(dsn)


async def test_an_owner_who_may_not_install_pgvector_is_told_what_to_ask_for(postgres_server: PostgresServer) -> None:
    dsn = await postgres_server.create(migrated=False)
    admin = await asyncpg.connect(dsn)
    await admin.execute("CREATE ROLE tenant_of_a_vendor LOGIN PASSWORD 'pw'; GRANT tenfold_app TO tenant_of_a_vendor")
    await admin.execute(f"ALTER DATABASE {urlsplit(dsn).path[1:]} OWNER TO tenant_of_a_vendor")
    with pytest.raises(MigrationError, match="CREATE EXTENSION vector"):
        await migrate(as_user(dsn, "tenant_of_a_vendor"))
    admin.terminate()
    await postgres_server.drop(dsn)


async def test_an_owner_who_may_not_become_the_app_role_is_told_what_to_ask_for(
    postgres_server: PostgresServer,
) -> None:
    dsn = await postgres_server.create(migrated=False)
    admin = await asyncpg.connect(dsn)
    await admin.execute("CREATE ROLE visitor LOGIN PASSWORD 'pw'")
    await admin.execute(f"ALTER DATABASE {urlsplit(dsn).path[1:]} OWNER TO visitor")
    with pytest.raises(MigrationError, match="GRANT tenfold_app TO visitor"):
        await migrate(as_user(dsn, "visitor"))
    admin.terminate()
    await postgres_server.drop(dsn)


def as_user(dsn: str, user: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{user}:pw@127.0.0.1:{parts.port}"))


@pytest.mark.parametrize("name", ["1_short.pre.sql", "0001_Upper.pre.sql", "0001_things.sql", "0001_things.mid.sql"])
def test_a_name_that_says_no_place_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(MigrationError, match="NNNN_subject"):
        read_files(tmp_path)


def test_two_subjects_with_one_number_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_one.pre.sql").touch()
    (tmp_path / "0001_two.pre.sql").touch()
    with pytest.raises(MigrationError, match="same number"):
        read_files(tmp_path)


def test_pre_comes_before_post_of_the_same_subject(tmp_path: Path) -> None:
    for name in ("0002_b.post.sql", "0002_b.pre.sql", "0001_a.post.sql", "0010_c.pre.sql"):
        (tmp_path / name).touch()
    (tmp_path / "README.md").touch()
    assert names(read_files(tmp_path)) == ["0001_a.post", "0002_b.pre", "0002_b.post", "0010_c.pre"]
