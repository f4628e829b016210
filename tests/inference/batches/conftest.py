"""Batches at rest in both forms, and the one thing a test does to them from outside: let time pass."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.principal import Principal
from tenfold.inference.batches.fake import FakeBatchRows
from tenfold.inference.batches.ports import BatchRows
from tenfold.inference.batches.queries import PostgresBatchRows
from tenfold.inference.files.fake import FakeFileRows
from tenfold.inference.files.ports import FileRows
from tenfold.inference.files.queries import PostgresFileRows
from tenfold.store import Store
from tests.ledger.samples import add_tenant
from tests.support.pipeline import principal


@dataclass(frozen=True, kw_only=True)
class Shelf:
    rows: BatchRows
    files: FileRows
    who: Principal
    other: Principal
    let_pass: Callable[[float], Awaitable[None]]  # seconds


@pytest.fixture(params=["fake", "postgres"])
def made_shelf(request: pytest.FixtureRequest) -> Shelf:
    if request.param == "fake":
        return fake_shelf()
    return _postgres(request.getfixturevalue("store"), request.getfixturevalue("database"))


@pytest.fixture
async def shelf(request: pytest.FixtureRequest, made_shelf: Shelf) -> Shelf:
    if isinstance(made_shelf.rows, PostgresBatchRows):
        store: Store = request.getfixturevalue("store")
        for who in (made_shelf.who, made_shelf.other):
            await add_tenant(store, who.tenant_id)
    return made_shelf


def fake_shelf() -> Shelf:
    clock = FakeClock()

    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    files = FakeFileRows(clock)
    rows = FakeBatchRows(clock, files)
    return Shelf(rows=rows, files=files, who=principal(), other=principal("other"), let_pass=let_pass)


def _postgres(store: Store, database: str) -> Shelf:
    async def let_pass(seconds: float) -> None:
        owner = await asyncpg.connect(database)
        try:
            for table, columns in {
                "files": ["expires_at"],
                "batches": ["expires_at", "in_progress_at", "ended_at", "delete_at"],
            }.items():
                moved = ", ".join(f"{column} = {column} - make_interval(secs => $1)" for column in columns)
                await owner.execute(f"UPDATE tenfold.{table} SET {moved}", seconds)
        finally:
            await owner.close()

    return Shelf(
        rows=PostgresBatchRows(store),
        files=PostgresFileRows(store),
        who=principal(),
        other=principal("other"),
        let_pass=let_pass,
    )
