"""Brings the schema up to date: each numbered file once, under a lock, by any number of processes at once.

Refuses a file that was changed after it ran, and leaves nothing half-done in the pre phase.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg

from tenfold.store.connect import Connection, connect
from tenfold.store.errors import MigrationError, translated
from tenfold.store.migration_files import MigrationFile, Phase, in_order, packaged_files, statements

_LOCK_KEY = 0x74656E66_6F6C6400  # "tenfold\0"; any constant that nothing else on the database uses
_STATEMENT_TIMEOUT_S: dict[Phase, int] = {"pre": 60, "post": 1800}  # post: indexes are built there
_TURN_POLL_S = 0.05

_CREATE_RECORD = """
CREATE SCHEMA IF NOT EXISTS tenfold;
CREATE TABLE IF NOT EXISTS tenfold.migrations (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""
_READ_RECORD = "SELECT name, checksum, applied_at FROM tenfold.migrations ORDER BY applied_at, name"
_WRITE_RECORD = "INSERT INTO tenfold.migrations (name, checksum) VALUES ($1, $2)"
# What a CREATE INDEX CONCURRENTLY leaves when it is interrupted; its IF NOT EXISTS would take it for done.
_BROKEN_INDEXES = """
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'tenfold' AND NOT i.indisvalid AND c.relkind = 'i'
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    name: str  # "0002_receipts.pre"
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MigrationStatus:
    """`changed`: the file is not the one that ran. `unknown`: it ran, and this version has no such file
    (a newer version of Tenfold migrated this database)."""

    name: str
    state: Literal["applied", "pending", "changed", "unknown"]
    applied_at: datetime | None = None


async def migrate(
    dsn: str,
    *,
    files: Sequence[MigrationFile] | None = None,
    phases: Sequence[Phase] = ("pre", "post"),
    lock_timeout_s: float = 5.0,
    wait_s: float = 120.0,
    connect_timeout_s: float = 5.0,
) -> list[Applied]:
    """Runs what is pending and returns it, in order. `phases=("pre",)` leaves the post files for later.
    A process that finds another one at work waits for it, at most `wait_s`; a statement waits for tables
    in use at most `lock_timeout_s`, because others queue up behind it.

    Raises MigrationError (a changed file, failing SQL, a table that stays locked) and StoreUnavailable."""
    known = packaged_files() if files is None else in_order(files)
    async with _owner_connection(dsn, connect_timeout_s, lock_timeout_s) as connection:
        if not _pending(known, await _record(connection), phases):
            return []
        await _take_turn(connection, wait_s)
        with translated(connection):
            await connection.execute(_CREATE_RECORD)
        # Read again: another process may have done it while this one waited for its turn.
        return [await _apply(connection, file) for file in _pending(known, await _record(connection), phases)]


async def migration_status(
    dsn: str, *, files: Sequence[MigrationFile] | None = None, connect_timeout_s: float = 5.0
) -> list[MigrationStatus]:
    """Every known file in order, then what this version does not know. Raises StoreUnavailable."""
    known = packaged_files() if files is None else in_order(files)
    async with _owner_connection(dsn, connect_timeout_s, lock_timeout_s=1.0) as connection:
        record = await _record(connection)
    result = []
    for file in known:
        done = record.pop(file.name, None)
        if done is None:
            result.append(MigrationStatus(name=file.name, state="pending"))
        else:
            state: Literal["applied", "changed"] = "applied" if done.checksum == file.checksum else "changed"
            result.append(MigrationStatus(name=file.name, state=state, applied_at=done.applied_at))
    result += [MigrationStatus(name=n, state="unknown", applied_at=d.applied_at) for n, d in record.items()]
    return result


@dataclass(frozen=True, kw_only=True, slots=True)
class _Done:
    checksum: str
    applied_at: datetime


@asynccontextmanager
async def _owner_connection(dsn: str, connect_timeout_s: float, lock_timeout_s: float) -> AsyncIterator[Connection]:
    connection = await connect(
        dsn,
        role=None,
        connect_timeout_s=connect_timeout_s,
        statement_timeout_s=_STATEMENT_TIMEOUT_S["post"],  # on the client's side; the server's is set for each file
        lock_timeout=f"{int(lock_timeout_s * 1000)}ms",
    )
    try:
        yield connection
    finally:
        connection.terminate()  # its locks go with it; a polite goodbye could hang with the server


async def _record(connection: Connection) -> dict[str, _Done]:
    with translated(connection):
        if await connection.fetchval("SELECT to_regclass('tenfold.migrations')") is None:
            return {}
        rows = await connection.fetch(_READ_RECORD)
    return {row["name"]: _Done(checksum=row["checksum"], applied_at=row["applied_at"]) for row in rows}


def _pending(known: Sequence[MigrationFile], record: dict[str, _Done], phases: Sequence[Phase]) -> list[MigrationFile]:
    for file in known:
        done = record.get(file.name)
        if done is not None and done.checksum != file.checksum:
            raise MigrationError(
                f"Migration {file.name} was changed after it ran on this database. Restore the file as it was "
                "and put the change into a new one."
            )
    return [file for file in known if file.name not in record and file.phase in phases]


async def _take_turn(connection: Connection, wait_s: float) -> None:
    """The lock ends with the connection. Polls: a session that blocks in pg_advisory_lock holds a snapshot, for
    which CREATE INDEX CONCURRENTLY in the process whose turn it is would wait for ever."""
    deadline = time.monotonic() + wait_s
    with translated(connection):
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):
            if time.monotonic() > deadline:
                raise MigrationError(f"Another process has been migrating this database for {wait_s:.0f} s. Try again.")
            await asyncio.sleep(_TURN_POLL_S)


async def _apply(connection: Connection, file: MigrationFile) -> Applied:
    started = time.monotonic()
    try:
        with translated(connection):
            await connection.execute(f"SET statement_timeout = '{_STATEMENT_TIMEOUT_S[file.phase]}s'")
        if file.phase == "pre":
            async with connection.transaction():
                await connection.execute(file.sql)
                await connection.execute(_WRITE_RECORD, file.name, file.checksum)
        else:
            for name in await connection.fetch(_BROKEN_INDEXES):
                await connection.execute(f"DROP INDEX CONCURRENTLY {name[0]}")
            for statement in statements(file.sql):
                await connection.execute(statement)
            await connection.execute(_WRITE_RECORD, file.name, file.checksum)
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError(f"Migration {file.name} waited too long for a table in use. Try again.") from error
    except asyncpg.PostgresError as error:
        raise MigrationError(_explain(file, error)) from error
    except (OSError, asyncpg.InterfaceError) as error:
        raise MigrationError(f"The connection was lost during migration {file.name}. Try again.") from error
    return Applied(name=file.name, seconds=time.monotonic() - started)


def _explain(file: MigrationFile, error: asyncpg.PostgresError) -> str:
    details = error.as_dict()
    parts = [f"Migration {file.name} failed: {details.get('message', error)}."]
    if "hint" in details:
        parts.append(details["hint"])
    if file.phase == "pre":
        parts.append("Nothing of this file was applied.")
    return " ".join(parts)
