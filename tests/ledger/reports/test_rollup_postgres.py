"""The roll-up in Postgres equals its receipts: whatever the batches, with corrections, and made anew."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.core.errors import Conflict
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.usage import Usage
from tenfold.ledger.prices import Cost
from tenfold.ledger.queries import PostgresReceiptRows, insert_receipts
from tenfold.ledger.reports.buckets import LARGEST, LOWEST, bucket_of
from tenfold.ledger.reports.counting import adjustment
from tenfold.ledger.reports.fake import FakeReportRows
from tenfold.ledger.reports.queries import PostgresReportRows, roll_up_receipts
from tenfold.ledger.reports.types import Adjustment, CostDay, Counted, HourRow, Range
from tenfold.ledger.types import Receipt
from tenfold.store import Store, Transaction
from tests.ledger.reports.samples import DAY, MONTH, Place, call, calls
from tests.ledger.samples import add_tenant

COST_DAYS = "SELECT day::text, feature, bucket, calls FROM cost_days WHERE tenant_id = $1"


async def new_tenant(store: Store) -> TenantId:
    tenant_id = TenantId(uuid7())
    await add_tenant(store, tenant_id)
    return tenant_id


async def place_with_days(store: Store) -> Place:
    """The days of the samples have partitions: their receipts can be told from dropped ones."""
    await PostgresReceiptRows(store).prepare_days((DAY - timedelta(days=1)).date(), 3)
    return Place(PostgresReportRows(store), store)


async def rolled(store: Store, tenant_id: TenantId) -> tuple[list[HourRow], set[CostDay]]:
    found = await PostgresReportRows(store).hours(tenant_id, MONTH, limit=10**6)
    async with store.tenant(tenant_id, readonly=True) as tx:
        rows = await tx.fetch(COST_DAYS, tenant_id)
    return by_key(found), {CostDay(**dict(row)) for row in rows}


def by_key(rows: Sequence[HourRow]) -> list[HourRow]:
    """In an order that is no collation's."""
    return sorted(rows, key=lambda row: [str(getattr(row, name)) for name in HourRow.__struct_fields__])


async def recomputed(fake: FakeReportRows, tenant_id: TenantId) -> tuple[list[HourRow], set[CostDay]]:
    costs = set()
    for day in (DAY - timedelta(days=1), DAY):
        uses = await fake.feature_uses(tenant_id, Range(since=day, until=day + timedelta(days=1)))
        costs |= {
            CostDay(day=day.date().isoformat(), feature=feature, bucket=bucket, calls=calls)
            for feature, use in uses.items()
            for bucket, calls in use.costs.items()
        }
    return by_key(await fake.hours(tenant_id, MONTH, limit=10**6)), costs


def to_cost(nano: int, source: str) -> Any:
    def decide(now: Counted) -> Adjustment:
        cost = Cost(input_nano=nano // 3, output_nano=nano // 2, total_nano=nano)
        return adjustment(now, source, Usage(input_tokens=nano % 1000, output_tokens=nano % 7), cost)

    return decide


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_it_equals_its_receipts_always(store: Store, data: st.DataObject) -> None:
    tenant_id = await new_tenant(store)
    place, fake = await place_with_days(store), FakeReportRows()
    told: list[Receipt] = []
    for _ in range(data.draw(st.integers(1, 3))):
        batch = [call(tenant_id, **facts) for facts in data.draw(calls())]
        repeated = data.draw(st.lists(st.sampled_from(told), unique_by=lambda one: one.id)) if told else []
        await place.add(tenant_id, data.draw(st.permutations([*batch, *repeated])))
        told += batch
    fake.add(told)
    corrected = data.draw(st.lists(st.sampled_from(told), max_size=4)) if told else []
    for number, receipt in enumerate(corrected):
        nano, source = data.draw(st.integers(0, 10**10)), f"source-{number % 2}"
        for rows in (place.rows, fake):
            await rows.correct(tenant_id, receipt.id, receipt.at, source, to_cost(nano, source))

    kept = await rolled(store, tenant_id)
    assert kept == await recomputed(fake, tenant_id)

    assert await place.rows.rebuild(tenant_id, DAY) == 0
    assert await place.rows.rebuild(tenant_id, DAY - timedelta(days=1)) == 0
    assert await rolled(store, tenant_id) == kept


async def test_a_rebuild_puts_right_what_is_wrong(store: Store) -> None:
    tenant_id = await new_tenant(store)
    place = await place_with_days(store)
    estimate = call(tenant_id, 900, estimated=True, feature="search")
    await place.add(tenant_id, [estimate, call(tenant_id, 7), call(tenant_id, 8, minute=24 * 60)])
    await place.rows.correct(tenant_id, estimate.id, estimate.at, "provider", to_cost(100, "provider"))
    kept = await rolled(store, tenant_id)
    async with store.tenant(tenant_id) as tx:
        await tx.execute("UPDATE usage_hours SET total_nano = total_nano + 1 WHERE tenant_id = $1", tenant_id)
        await tx.execute("UPDATE cost_days SET bucket = bucket + 1000 WHERE tenant_id = $1", tenant_id)
    # Of the day: two rows of hours; two buckets that are not true and two that are missing.
    assert await place.rows.rebuild(tenant_id, DAY) == 6
    assert await place.rows.rebuild(tenant_id, DAY) == 0
    assert await place.rows.rebuild(tenant_id, DAY + timedelta(days=1)) == 3
    assert await rolled(store, tenant_id) == kept


async def test_receipts_of_before_the_roll_up_get_into_it(store: Store) -> None:
    tenant_id, place = await new_tenant(store), await place_with_days(store)
    async with store.tenant(tenant_id) as tx:
        await insert_receipts(tx, tenant_id, [call(tenant_id, 5), call(tenant_id, None)])
    assert await place.rows.rebuild(tenant_id, DAY) == 2
    [hour], costs = await rolled(store, tenant_id)
    assert (hour.calls, hour.unpriced, hour.total_nano, len(costs)) == (2, 1, 5, 1)


async def test_writers_and_a_rebuild_at_once(store: Store) -> None:
    """Nothing is lost or counted twice, and nobody waits in a circle."""
    tenant_id = await new_tenant(store)
    place, fake = await place_with_days(store), FakeReportRows()
    batches = [
        [call(tenant_id, nano, minute=minute, feature=str(minute % 3)) for minute in (0, 70, 140)]
        for nano in range(1, 31)
    ]
    for batch in batches:
        fake.add(batch)

    async def write(mine: Sequence[Sequence[Receipt]]) -> None:
        for batch in mine:
            await place.add(tenant_id, batch)

    async def rebuild() -> None:
        for _ in range(8):
            assert await place.rows.rebuild(tenant_id, DAY) == 0

    await asyncio.gather(write(batches[:15]), write(batches[:14:-1]), rebuild())
    assert await rolled(store, tenant_id) == await recomputed(fake, tenant_id)


async def test_a_transaction_that_fails_leaves_no_trace(store: Store) -> None:
    tenant_id = await new_tenant(store)

    async def no_budget(tx: Transaction, tenant_id: TenantId, leases: Sequence[object], delta_nano: int) -> None:
        raise RuntimeError("the budgets cannot be charged")

    rows = PostgresReportRows(store, no_budget)
    place = Place(rows, store)
    estimate = call(tenant_id, 900, estimated=True)
    await place.add(tenant_id, [estimate])
    kept = await rolled(store, tenant_id)
    with pytest.raises(RuntimeError, match="budgets"):
        await rows.correct(tenant_id, estimate.id, estimate.at, "provider", to_cost(1, "provider"))
    assert await rolled(store, tenant_id) == kept
    assert len(await rows.estimated(tenant_id, MONTH, limit=9)) == 1
    with pytest.raises(RuntimeError, match="undo"):
        async with store.tenant(tenant_id) as tx:
            told = [call(tenant_id, 1)]
            await insert_receipts(tx, tenant_id, told)
            await roll_up_receipts(tx, tenant_id, told)
            raise RuntimeError("undo")
    assert await rolled(store, tenant_id) == kept


async def test_a_correction_charges_the_leases_of_the_call(store: Store) -> None:
    tenant_id, lease = await new_tenant(store), uuid7()
    charged: list[tuple[object, ...]] = []

    async def charge(tx: Transaction, tenant_id: TenantId, leases: Sequence[object], delta_nano: int) -> None:
        charged.append((tenant_id, tuple(leases), delta_nano))

    place = Place(PostgresReportRows(store, charge), store)
    estimate = call(tenant_id, 900, estimated=True, leases=(lease,))
    await place.add(tenant_id, [estimate])
    for _ in range(2):
        await place.rows.correct(tenant_id, estimate.id, estimate.at, "provider", to_cost(100, "provider"))
    assert charged == [(tenant_id, (lease,), -800)]


async def test_corrections_of_one_receipt_at_once(store: Store) -> None:
    tenant_id = await new_tenant(store)
    place = Place(PostgresReportRows(store), store)
    estimate = call(tenant_id, 900, estimated=True)
    await place.add(tenant_id, [estimate])
    done = await asyncio.gather(
        *(place.rows.correct(tenant_id, estimate.id, estimate.at, "provider", to_cost(100, "provider")) for _ in "1234")
    )
    assert sum(each is not None for each in done) == 1
    [hour], _ = await rolled(store, tenant_id)
    assert (hour.total_nano, hour.estimated) == (100, 0)


async def test_the_database_finds_the_same_buckets(store: Store) -> None:
    amounts = [0, 1, 31, 32, 33, LARGEST, *(edge + step for edge in LOWEST[::37] for step in (-1, 0, 1))]
    async with store.directory(readonly=True) as tx:
        rows = await tx.fetch(
            "SELECT width_bucket(a, $2::bigint[]) AS b FROM unnest($1::bigint[]) AS a", amounts, LOWEST
        )
    assert [row["b"] for row in rows] == [bucket_of(amount) for amount in amounts]


# -- retention -------------------------------------------------------------------------------


async def partitions(database: str, *days: datetime) -> set[str]:
    """Makes the partitions of these days, as the owner; returns the names of all there are."""
    owner = await asyncpg.connect(database)
    try:
        for day in days:
            await owner.execute("SELECT tenfold.ensure_receipt_partitions($1, 1)", day.date())
        rows = await owner.fetch(
            "SELECT inhrelid::regclass::text AS n FROM pg_inherits WHERE inhparent = 'tenfold.receipts'::regclass"
        )
        return {row["n"].rpartition(".")[2] for row in rows}
    finally:
        await owner.close()


async def test_whole_days_of_old_receipts_are_dropped(store: Store, database: str) -> None:
    tenant_id, now = await new_tenant(store), datetime.now(UTC)
    old, edge = now - timedelta(days=41), now - timedelta(days=40)
    before = await partitions(database, old, edge)
    place = Place(PostgresReportRows(store), store)
    await place.add(tenant_id, [call(tenant_id, 5, at=old), call(tenant_id, 6, at=edge), call(tenant_id, 7, at=now)])

    name = f"receipts_{old:%Y%m%d}"
    assert await place.rows.drop_receipts(40) == [name]
    assert await place.rows.drop_receipts(40) == []
    assert await partitions(database) == before - {name}
    span = Range(since=now - timedelta(days=60), until=now + timedelta(days=1))
    assert [one.total_nano for one in await place.rows.receipts(tenant_id, span, limit=9)] == [6, 7]

    # The sums of that day stay, and cannot be lost by making them anew from nothing.
    assert sum(row.total_nano for row in await place.rows.hours(tenant_id, span, limit=9)) == 18
    with pytest.raises(Conflict):
        await place.rows.rebuild(tenant_id, old.replace(hour=0, minute=0, second=0, microsecond=0))


async def test_the_database_itself_keeps_what_is_young(store: Store) -> None:
    with pytest.raises(asyncpg.RaiseError, match="35 days at least"):
        async with store.directory() as tx:
            await tx.fetchval("SELECT tenfold.drop_receipt_partitions(34)")


async def test_a_day_that_is_in_use_is_dropped_later(store: Store, database: str) -> None:
    old = datetime.now(UTC) - timedelta(days=41)
    await partitions(database, old)
    reader = await asyncpg.connect(database)
    try:
        async with reader.transaction():
            await reader.execute(f"SELECT FROM tenfold.receipts_{old:%Y%m%d}")
            assert await PostgresReportRows(store).drop_receipts(40) == []
        assert len(await PostgresReportRows(store).drop_receipts(40)) == 1
    finally:
        await reader.close()
