"""What corrects a receipt: the difference, what is refused, what is flagged; and upkeep."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.clock import FakeClock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.usage import Usage
from tenfold.ledger.prices import Cost
from tenfold.ledger.reports.corrections import ReceiptCorrections
from tenfold.ledger.reports.counting import MAX_NANO, adjusted, adjustment, counted
from tenfold.ledger.reports.fake import FakeReportRows
from tenfold.ledger.reports.retention import Retention, each_tenant, rebuild
from tenfold.ledger.reports.types import Counted
from tests.ledger.reports.samples import DAY, MONTH, call, calls

TENANT = TenantId(UUID(int=1))


def cost(nano: int) -> Cost:
    return Cost(input_nano=nano // 2, output_nano=nano // 2, total_nano=nano)


@given(calls(max_size=1), st.integers(0, 10**12), st.integers(0, 10**6))
def test_after_a_correction_it_counts_as_the_source_says(
    facts: list[dict[str, object]], nano: int, tokens: int
) -> None:
    now = counted(call(TENANT, id=UUID(int=9), **(facts[0] if facts else {})))  # type: ignore[arg-type]
    usage = Usage(input_tokens=tokens, cache_read_tokens=tokens // 2, output_tokens=5)
    after = adjusted(now, adjustment(now, "provider", usage, cost(nano)))
    assert (after.total_nano, after.input_nano) == (nano, nano // 2)
    assert (after.input_tokens, after.cache_read_tokens, after.output_tokens) == (tokens, tokens // 2, 5)
    assert (after.estimated, after.corrected) == (False, True)


def test_what_no_call_can_have_used_or_cost_is_refused() -> None:
    now = counted(call(TENANT))
    for usage, said in [
        (None, cost(-2)),
        (None, cost(MAX_NANO + 2)),
        (None, Cost(input_nano=3, output_nano=3, total_nano=5)),
        (None, None),
        (Usage(input_tokens=1), None),
        (Usage(input_tokens=-1), cost(2)),
        (Usage(output_tokens=10**10), cost(2)),
        (Usage(input_tokens=1, cache_read_tokens=2), cost(2)),
        (Usage(output_tokens=1, reasoning_tokens=2), cost(2)),
    ]:
        with pytest.raises(InvalidRequest):
            adjustment(now, "provider", usage, said)
    for source in ("", "x" * 201):
        with pytest.raises(InvalidRequest):
            adjustment(now, source, None, cost(2))


def test_more_than_can_be_right_is_flagged() -> None:
    usd = 10**9
    for was, estimated, said, flagged in [
        (1000, True, 1000, False),
        (1000, True, 1001, True),
        (1000, False, 1001, False),
        (1000, False, usd + 1, True),
        (usd, False, 10 * usd, False),
        (usd, False, 10 * usd + 1, True),
        (None, False, usd, False),
    ]:
        now = counted(call(TENANT, was, estimated=estimated))
        assert adjustment(now, "provider", None, Cost(input_nano=0, output_nano=0, total_nano=said)).flagged is flagged


async def test_estimates_are_corrected_once() -> None:
    rows, lease = FakeReportRows(), uuid7()
    rows.add([call(TENANT, 900, estimated=True, leases=(lease,)), call(TENANT, 5)])
    corrections = ReceiptCorrections(rows)
    span = {"since": MONTH.since, "until": MONTH.until}
    [estimate] = await corrections.estimated(TENANT, **span, limit=10**6)
    assert await corrections.correct(estimate, Usage(input_tokens=1), cost(950), "provider")
    assert not await corrections.correct(estimate, Usage(input_tokens=2), cost(4), "provider")
    assert await corrections.estimated(TENANT, **span, limit=9) == []
    assert rows.charged == [(TENANT, (lease,), 50)]
    assert (corrections.corrected, corrections.flagged) == (1, 1)


async def test_a_usage_alone_is_priced() -> None:
    rows = FakeReportRows()
    estimate = call(TENANT, 900, estimated=True)
    rows.add([estimate])

    def pricing(receipt: Counted, usage: Usage) -> Cost | None:
        return cost(2 * usage.input_tokens) if receipt.id == estimate.id else None

    corrections = ReceiptCorrections(rows, pricing)
    usage = Usage(input_tokens=7)
    done = await corrections.correct_receipt(TENANT, estimate.id, estimate.at, source="file", usage=usage)
    assert done is not None
    assert done.total_nano == 14 - 900
    with pytest.raises(InvalidRequest):
        unpriced = ReceiptCorrections(rows)
        await unpriced.correct_receipt(TENANT, estimate.id, estimate.at, source="other", usage=usage)
    with pytest.raises(NotFound):
        await corrections.correct_receipt(TENANT, uuid7(), estimate.at, source="file", usage=usage)


# -- upkeep ----------------------------------------------------------------------------------


def test_how_short_figures_may_be_kept() -> None:
    rows, clock = FakeReportRows(), FakeClock(DAY)
    for receipt_days, report_days in [(34, 1000), (35, 365), (400, 399)]:
        with pytest.raises(ValueError, match="days at least"):
            Retention(rows, clock, receipt_days=receipt_days, report_days=report_days)


async def test_retention_goes_through_all_tenants() -> None:
    rows = FakeReportRows()
    tenants = [TenantId(UUID(int=n)) for n in range(1, 251)]
    for tenant_id in tenants:
        rows.add([call(tenant_id, 1), call(tenant_id, 2, at=DAY - timedelta(days=367))])
    assert [tenant_id async for tenant_id in each_tenant(rows)] == tenants
    retention = Retention(rows, FakeClock(DAY), receipt_days=35, report_days=366)
    assert (await retention.run()).forgotten == len(tenants)
    assert (await retention.run()).forgotten == 0


async def test_days_are_rebuilt_one_after_the_other() -> None:
    rows = FakeReportRows()
    rows.wrong = 3
    assert await rebuild(rows, TENANT, DAY + timedelta(hours=5), DAY + timedelta(days=2)) == 3
    with pytest.raises(InvalidRequest):
        await rebuild(rows, TENANT, DAY, DAY - timedelta(days=1))
    await rows.drop_receipts(35)
    with pytest.raises(Conflict):
        await rebuild(rows, TENANT, datetime(2020, 1, 1, tzinfo=UTC), DAY)
