"""Parts of batches at rest: one contract, in memory and in Postgres."""

from datetime import UTC, datetime

import pytest
from msgspec import structs

from tenfold.core.ids import TenantId, uuid7
from tenfold.inference.batches.queries import PostgresBatchRows
from tenfold.inference.handover.fake import FakePartRows
from tenfold.inference.handover.ports import PartRows
from tenfold.inference.handover.queries import PostgresPartRows
from tenfold.inference.handover.types import Part
from tenfold.store import Store
from tests.inference.batches.samples import spec_of
from tests.ledger.samples import add_tenant
from tests.support.pipeline import principal

AT = datetime(2026, 8, 15, 12, 0, 0, 123_000, tzinfo=UTC)
MINE, BATCH = principal(), uuid7()
OTHER = TenantId(uuid7())


@pytest.fixture(params=["fake", "postgres"])
def made(request: pytest.FixtureRequest) -> PartRows:
    return FakePartRows() if request.param == "fake" else PostgresPartRows(request.getfixturevalue("store"))


@pytest.fixture
async def rows(request: pytest.FixtureRequest, made: PartRows) -> PartRows:
    if isinstance(made, PostgresPartRows):
        store: Store = request.getfixturevalue("store")
        for tenant_id in (MINE.tenant_id, OTHER):
            await add_tenant(store, tenant_id)
        await PostgresBatchRows(store).add(spec_of(MINE, id=BATCH))
    return made


def part() -> Part:
    return Part(tenant_id=MINE.tenant_id, batch_id=BATCH, id=uuid7(), target="m@openai", at=AT, lines=(1, 2, 7))


async def test_parts_are_as_they_were_put(rows: PartRows) -> None:
    first, second = sorted((part(), part()), key=lambda one: one.id)
    for one in (second, first):
        await rows.add(one)
    assert await rows.of(MINE.tenant_id, BATCH) == [first, second]
    handed = structs.replace(first, lines=(1, 7), state="handed", vendor_id="batch_1")
    await rows.put(handed)
    assert await rows.of(MINE.tenant_id, BATCH) == [handed, second]
    await rows.add(first)
    assert await rows.of(MINE.tenant_id, BATCH) == [handed, second], "one that is there stays as it is"


async def test_of_another_tenant_or_batch_there_is_none(rows: PartRows) -> None:
    mine = part()
    await rows.add(mine)
    assert await rows.of(OTHER, BATCH) == []
    assert await rows.of(MINE.tenant_id, uuid7()) == []
    await rows.put(structs.replace(mine, tenant_id=OTHER, state="collected"))
    assert await rows.of(MINE.tenant_id, BATCH) == [mine]


def test_a_line_has_one_receipt_however_often_it_is_charged() -> None:
    one, other = part(), part()
    assert one.receipt_id(1) == structs.replace(one, state="handed").receipt_id(1)
    assert len({one.receipt_id(1), one.receipt_id(2), other.receipt_id(1)}) == 3
