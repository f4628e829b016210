"""Receipts at rest: one contract for the fake and for Postgres, then what only Postgres must uphold."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from uuid import UUID

import asyncpg
import pytest
from msgspec import structs

from tenfold.core.call import CacheState
from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.ledger.fake import FakeReceiptRows
from tenfold.ledger.ports import ReceiptRows
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.types import Cursor, GroupBy, Receipt
from tenfold.store import Store, Transaction

from .samples import START, add_tenant, bare_receipt, full_receipt, receipt

Tenants = tuple[TenantId, TenantId]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def test_a_receipt_comes_back_as_it_was(rows: ReceiptRows, tenants: Tenants) -> None:
    full, bare = full_receipt(tenants[0]), bare_receipt(tenants[0], second=1)
    await rows.add(tenants[0], [full, bare])
    assert await rows.recent(tenants[0], limit=10) == [bare, full]


async def test_a_receipt_added_again_counts_once(rows: ReceiptRows, tenants: Tenants) -> None:
    first, second = receipt(tenants[0]), receipt(tenants[0], second=1)
    await rows.add(tenants[0], [first])
    await rows.add(tenants[0], [first, second])
    await rows.add(tenants[0], [second, first])
    (total,) = await rows.spend(tenants[0], since=LONG_AGO, group_by="total")
    assert (total.calls, total.total_nano) == (2, 660_000)


async def test_adding_tells_which_were_not_there_before(rows: ReceiptRows, tenants: Tenants) -> None:
    first, second, third = (receipt(tenants[0], second=n) for n in range(3))
    assert await rows.add(tenants[0], [first, second]) == [first, second]
    assert await rows.add(tenants[0], [second, third, first, third]) == [third]
    assert await rows.add(tenants[0], [first]) == []


async def test_of_two_with_one_id_the_first_is_kept(rows: ReceiptRows, tenants: Tenants) -> None:
    first = receipt(tenants[0])
    assert await rows.add(tenants[0], [first, structs.replace(first, status="error")]) == [first]
    assert await rows.recent(tenants[0], limit=9) == [first]


async def test_every_state_of_the_cache_can_be_told(rows: ReceiptRows, tenants: Tenants) -> None:
    states = get_args(CacheState)
    await rows.add(tenants[0], [receipt(tenants[0], cache=state) for state in states])
    assert {one.cache for one in await rows.recent(tenants[0], limit=9)} == set(states)
    (total,) = await rows.spend(tenants[0], since=LONG_AGO, group_by="total")
    assert total.cache_hits == 2  # hit, coalesced


class Heard:
    """An effect, in both forms, that may be told to fail."""

    def __init__(self) -> None:
        self.told: list[Receipt] = []
        self.fails = False

    async def on_fake(self, _tenant_id: TenantId, receipts: Sequence[Receipt]) -> None:
        if self.fails:
            raise ValueError("no")
        self.told += receipts

    async def on_postgres(self, tx: Transaction, tenant_id: TenantId, receipts: Sequence[Receipt]) -> None:
        kept = await tx.fetchval("SELECT count(*) FROM receipts WHERE tenant_id = $1", tenant_id)
        assert kept >= len(receipts)  # the same transaction
        await self.on_fake(tenant_id, receipts)


async def test_effects_hear_of_each_new_receipt_once_and_of_none_that_is_not_kept(
    rows: ReceiptRows, tenants: Tenants, request: pytest.FixtureRequest
) -> None:
    one, heard = tenants[0], Heard()
    if isinstance(rows, PostgresReceiptRows):
        rows = PostgresReceiptRows(request.getfixturevalue("store"), effects=[heard.on_postgres])
    else:
        rows = FakeReceiptRows(effects=[heard.on_fake])
    first, second, third = (receipt(one, second=n) for n in range(3))
    await rows.add(one, [first, second])
    await rows.add(one, [second, first])
    assert heard.told == [first, second]
    heard.fails = True
    with pytest.raises(ValueError, match="no"):
        await rows.add(one, [second, third])
    assert await rows.recent(one, limit=9) == [second, first]
    heard.fails = False
    await rows.add(one, [second, third])
    assert heard.told == [first, second, third]


async def test_pages_hold_every_receipt_once_also_of_the_same_moment(rows: ReceiptRows, tenants: Tenants) -> None:
    kept = [receipt(tenants[0], second=n // 3) for n in range(10)]
    await rows.add(tenants[0], kept)
    seen = []
    before: Cursor | None = None
    while page := await rows.recent(tenants[0], limit=4, before=before):
        seen += page
        before = Cursor(at=page[-1].at, id=page[-1].id)
    assert seen == sorted(kept, key=lambda r: (r.at, r.id), reverse=True)


async def test_a_tenant_sees_its_own_only(rows: ReceiptRows, tenants: Tenants) -> None:
    await rows.add(tenants[0], [receipt(tenants[0])])
    assert await rows.recent(tenants[1], limit=10) == []
    assert await rows.spend(tenants[1], since=LONG_AGO, group_by="total") == []


async def test_spend_sums_what_is_known_and_counts_what_is_not(rows: ReceiptRows, tenants: Tenants) -> None:
    await rows.add(
        tenants[0],
        [
            receipt(tenants[0], second=-60),  # before
            receipt(tenants[0]),
            receipt(tenants[0], cache="hit", input_nano=0, output_nano=0, total_nano=0),
            bare_receipt(tenants[0]),
        ],
    )
    (total,) = await rows.spend(tenants[0], since=START, group_by="total")
    assert (total.group, total.calls, total.failed, total.cache_hits, total.unpriced) == (None, 3, 1, 1, 1)
    assert (total.input_tokens, total.output_tokens, total.total_nano) == (3000, 600, 330_000)


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [
        ("model", ["dear", "gpt-4o-mini-2024-07-18", "asked"]),
        ("feature", ["support", None, "search"]),
        ("operation", ["chat", "embeddings"]),
        ("status", ["ok", "error"]),
        ("day", ["2026-08-15", "2026-08-16"]),
        ("key", ["00000000-0000-0000-0000-000000000007", None]),
        ("provider", ["main", None]),
        ("end_user", [None]),
        ("task", [None]),
        ("run", [None, "run-9"]),
    ],
)
async def test_spend_by_group_tells_the_dearest_first(
    rows: ReceiptRows, tenants: Tenants, group_by: GroupBy, groups: list[str | None]
) -> None:
    one = tenants[0]
    await rows.add(
        one,
        [
            receipt(one, model_used="dear", total_nano=9_000_000, feature="support", key_id=KeyId(UUID(int=7))),
            receipt(one),
            receipt(one, second=86_400, model_used=None, model_asked="asked", operation="embeddings", total_nano=1)
            if group_by not in ("feature", "run")
            else receipt(one, feature="search", run="run-9", total_nano=1),
            bare_receipt(one) if group_by in ("status", "provider") else receipt(one, total_nano=2),
        ],
    )
    assert [spend.group for spend in await rows.spend(one, since=LONG_AGO, group_by=group_by)] == groups


async def test_nothing_to_add_is_fine(rows: ReceiptRows, tenants: Tenants) -> None:
    assert await rows.add(tenants[0], []) == []
    assert await rows.recent(tenants[0], limit=1) == []


# -- Postgres alone --------------------------------------------------------------------------


async def test_receipts_land_in_the_partition_of_their_day(store: Store, database: str) -> None:
    rows, tenant_id = PostgresReceiptRows(store), TenantId(uuid7())
    await add_tenant(store, tenant_id)
    await rows.prepare_days(START.date(), 2)
    await rows.add(
        tenant_id, [receipt(tenant_id), receipt(tenant_id, second=86_400), receipt(tenant_id, second=-86_400)]
    )
    owner = await asyncpg.connect(database)
    try:
        found = await owner.fetch(
            "SELECT tableoid::regclass::text AS part FROM tenfold.receipts WHERE tenant_id = $1 ORDER BY at", tenant_id
        )
    finally:
        await owner.close()
    assert [row["part"] for row in found] == [
        "tenfold.receipts_other",
        "tenfold.receipts_20260815",
        "tenfold.receipts_20260816",
    ]


async def test_days_can_be_prepared_again_and_after_receipts_of_them_came(store: Store) -> None:
    rows, tenant_id = PostgresReceiptRows(store), TenantId(uuid7())
    await add_tenant(store, tenant_id)
    await rows.add(tenant_id, [receipt(tenant_id)])  # no partition yet
    await rows.prepare_days(START.date() - timedelta(days=1), 3)
    await rows.prepare_days(START.date() - timedelta(days=1), 3)
    await rows.add(tenant_id, [receipt(tenant_id, second=1)])
    assert len(await rows.recent(tenant_id, limit=10)) == 2


async def test_the_app_can_ask_for_partitions_and_nothing_else_of_the_kind(store: Store) -> None:
    with pytest.raises(asyncpg.RaiseError, match="1 to 62"):
        await PostgresReceiptRows(store).prepare_days(date(2026, 1, 1), 4000)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with store.directory() as tx:
            await tx.execute("CREATE TABLE tenfold.mine (a int)")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE receipts SET total_nano = 0",
        "DELETE FROM receipts",
        "SELECT * FROM receipts_other",
        "INSERT INTO receipts_other (tenant_id) SELECT tenant_id FROM receipts",
    ],
)
async def test_the_app_cannot_change_a_receipt_or_go_round_its_policy(store: Store, statement: str) -> None:
    tenant_id = TenantId(uuid7())
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with store.tenant(tenant_id) as tx:
            await tx.execute(statement)


async def test_a_row_from_before_steps_were_named_can_be_read(store: Store) -> None:
    rows, tenant_id = PostgresReceiptRows(store), TenantId(uuid7())
    await add_tenant(store, tenant_id)
    async with store.tenant(tenant_id) as tx:
        await tx.execute(
            "INSERT INTO receipts (tenant_id, at, id, operation, client_dialect, model_asked, status, http_status,"
            " latency_ms, cache, stream, estimated)"
            " VALUES ($1, now(), $2, 'chat', 'openai', 'm', 'ok', 200, 1, 'hit', false, false)",
            tenant_id,
            uuid7(),
        )
    (read,) = await rows.recent(tenant_id, limit=1)
    assert (read.degraded, read.attempts) == (None, 1)


async def test_a_receipt_of_another_tenant_is_refused(store: Store) -> None:
    mine, other = TenantId(uuid7()), TenantId(uuid7())
    await add_tenant(store, mine)
    await add_tenant(store, other)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with store.tenant(mine) as tx:
            await tx.execute(
                "INSERT INTO receipts (tenant_id, at, id, operation, client_dialect, model_asked, status, http_status,"
                " latency_ms, cache, stream, estimated)"
                " VALUES ($1, now(), $2, 'chat', 'openai', 'm', 'ok', 200, 1, 'miss', false, false)",
                other,
                uuid7(),
            )
