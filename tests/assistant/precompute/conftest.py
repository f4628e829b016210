"""Frequent questions at rest in both forms, and what a test does to them from outside: let days pass, change
documents."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from tenfold.assistant.precompute.fake import FakeQuestionRows
from tenfold.assistant.precompute.ports import QuestionRows
from tenfold.assistant.precompute.queries import PostgresQuestionRows
from tenfold.cache.grounds import document_of
from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.store import Store
from tests.ledger.samples import add_tenant

_MOVED = (
    ("question_days", "day = day - $1::int"),
    ("question_askers", "day = day - $1::int"),
    ("precompute_runs", "started_at = started_at - make_interval(days => $1::int)"),
)
_BASE = """
INSERT INTO tenfold.knowledge_bases (tenant_id, id, name, analyzer) VALUES ($1, $2, $3, 1) ON CONFLICT DO NOTHING
"""
_DOCUMENT = """
INSERT INTO tenfold.documents (tenant_id, kb_id, id, hash, title, url, metadata)
SELECT $1, id, $3, $4, '', '', '{}' FROM tenfold.knowledge_bases WHERE tenant_id = $1 AND name = $2
ON CONFLICT (tenant_id, kb_id, id) DO UPDATE SET hash = excluded.hash
"""


@dataclass(frozen=True, kw_only=True)
class Shelf:
    rows: QuestionRows
    tenant: TenantId
    other: TenantId
    let_pass: Callable[[int], Awaitable[None]]  # days
    put: Callable[[TenantId, str], Awaitable[None]]  # this version of a document is the current one


def fake_shelf() -> Shelf:
    clock = FakeClock()
    rows = FakeQuestionRows(clock)

    async def let_pass(days: int) -> None:
        clock.advance(days * 86_400.0)

    async def put(tenant_id: TenantId, document: str) -> None:
        name = document.rpartition("@")[0]
        rows.current = {each for each in rows.current if each[1].rpartition("@")[0] != name} | {(tenant_id, document)}

    return Shelf(rows=rows, tenant=TenantId(uuid7()), other=TenantId(uuid7()), let_pass=let_pass, put=put)


def postgres_shelf(database: str, store: Store) -> Shelf:
    async def let_pass(days: int) -> None:
        await as_owner([(f"UPDATE tenfold.{table} SET {moved}", (days,)) for table, moved in _MOVED])

    async def put(tenant_id: TenantId, document: str) -> None:
        it = document_of(document)
        base = (_BASE, (tenant_id, uuid7(), it.kb))
        await as_owner([base, (_DOCUMENT, (tenant_id, it.kb, it.name, it.version))])

    async def as_owner(statements: list[tuple[str, tuple[object, ...]]]) -> None:
        owner = await asyncpg.connect(database)
        try:
            for statement, args in statements:
                await owner.execute(statement, *args)
        finally:
            await owner.close()

    rows = PostgresQuestionRows(store)
    return Shelf(rows=rows, tenant=TenantId(uuid7()), other=TenantId(uuid7()), let_pass=let_pass, put=put)


@pytest.fixture(params=["fake", "postgres"])
def made_shelf(request: pytest.FixtureRequest) -> Shelf:
    if request.param == "fake":
        return fake_shelf()
    return postgres_shelf(request.getfixturevalue("database"), request.getfixturevalue("store"))


@pytest.fixture
async def shelf(request: pytest.FixtureRequest, made_shelf: Shelf) -> Shelf:
    if isinstance(made_shelf.rows, PostgresQuestionRows):
        store: Store = request.getfixturevalue("store")
        for tenant_id in (made_shelf.tenant, made_shelf.other):
            await add_tenant(store, tenant_id)
    return made_shelf
