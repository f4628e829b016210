"""Report rows: one contract for the fake and for Postgres."""

from datetime import timedelta
from typing import get_args

import pytest
from msgspec import structs

from tenfold.core.errors import InvalidRequest, NotFound
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.usage import Usage
from tenfold.ledger.prices import Cost
from tenfold.ledger.reports.counting import adjustment, counted
from tenfold.ledger.reports.types import (
    Adjustment,
    Counted,
    Dimension,
    Grouping,
    LooseCost,
    Outcome,
    Range,
    SumCursor,
    TaskCost,
    UsageQuery,
    UsageSum,
)
from tenfold.ledger.types import Cursor, Receipt
from tests.ledger.reports.samples import DAY, MONTH, Place, call, key

COST = Cost(input_nano=40, output_nano=60, total_nano=100)


def varied(tenant_id: TenantId) -> list[Receipt]:
    return [
        call(tenant_id, 500, minute=1, feature="search", key_id=key(7), task="t-1", end_user="Zoë", run="r-1"),
        call(tenant_id, 300, minute=2, feature="search", key_id=key(8), model_used="large-1", status="cut"),
        call(tenant_id, 300, minute=61, feature="chat", provider="other", operation="embeddings", task="t-2"),
        call(tenant_id, 0, minute=62, cache="hit"),
        call(tenant_id, 0, minute=63, cache="coalesced"),
        call(tenant_id, None, minute=24 * 60, model_used=None, provider=None, usage=None, status="error"),
    ]


def decide(cost: Cost = COST, source: str = "provider", usage: Usage | None = None) -> "Decide":
    return Decide(cost, source, usage)


class Decide:
    def __init__(self, cost: Cost, source: str, usage: Usage | None) -> None:
        self.cost, self.source, self.usage = cost, source, usage
        self.asked: list[Counted] = []

    def __call__(self, now: Counted) -> Adjustment:
        self.asked.append(now)
        return adjustment(now, self.source, self.usage, self.cost)


async def sums(
    place: Place, tenant_id: TenantId, group_by: Grouping = "total", filters: dict[Dimension, str] | None = None
) -> list[UsageSum]:
    query = UsageQuery(range=MONTH, group_by=group_by, filters=filters or {})
    return await place.rows.sums(tenant_id, query, limit=100)


async def test_a_total(place: Place, tenant: TenantId) -> None:
    await place.add(tenant, varied(tenant))
    [total] = await sums(place, tenant)
    assert total == UsageSum(
        group=None,
        calls=6,
        failed=2,
        cache_hits=2,
        estimated=0,
        unpriced=1,
        input_tokens=5 * 1500,
        output_tokens=5 * 300,
        cache_read_tokens=5 * 1000,
        cache_write_tokens=0,
        reasoning_tokens=0,
        input_nano=550,
        output_nano=550,
        total_nano=1100,
        latency_ms=6 * 812,
    )


async def test_groups(place: Place, tenant: TenantId) -> None:
    await place.add(tenant, varied(tenant))
    groups: dict[Grouping, list[tuple[str | None, int, int]]] = {
        "hour": [
            ("2026-08-15T00:00:00Z", 2, 800),
            ("2026-08-15T01:00:00Z", 3, 300),
            ("2026-08-16T00:00:00Z", 1, 0),
        ],
        "day": [("2026-08-15", 5, 1100), ("2026-08-16", 1, 0)],
        "key": [(str(key(7)), 1, 500), (None, 4, 300), (str(key(8)), 1, 300)],
        "operation": [("chat", 5, 800), ("embeddings", 1, 300)],
        "model": [("gpt-4o-mini-2024-07-18", 4, 800), ("large-1", 1, 300), ("gpt-4o-mini", 1, 0)],
        "provider": [("main", 4, 800), ("other", 1, 300), (None, 1, 0)],
        "feature": [("search", 2, 800), ("chat", 1, 300), (None, 3, 0)],
        "status": [("ok", 4, 800), ("cut", 1, 300), ("error", 1, 0)],
        "task": [(None, 4, 300), ("t-1", 1, 500), ("t-2", 1, 300)],
        "run": [(None, 5, 600), ("r-1", 1, 500)],
        "end_user": [(None, 5, 600), ("Zoë", 1, 500)],
    }
    for group_by, told in groups.items():
        found = [(each.group, each.calls, each.total_nano) for each in await sums(place, tenant, group_by)]
        assert sorted(found, key=str) == sorted(told, key=str), group_by
        if group_by not in ("hour", "day"):
            assert [nano for *_, nano in found] == sorted((nano for *_, nano in found), reverse=True)
        else:
            assert found == told


async def test_filters(place: Place, tenant: TenantId) -> None:
    await place.add(tenant, varied(tenant))
    told: list[tuple[Dimension, str, int]] = [
        ("key", str(key(7)), 1),
        ("key", "", 4),
        ("operation", "embeddings", 1),
        ("model", "large-1", 1),
        ("provider", "", 1),
        ("feature", "search", 2),
        ("feature", "", 3),
        ("status", "ok", 4),
        ("task", "t-1", 1),
        ("task", "", 4),
        ("run", "r-1", 1),
        ("end_user", "Zoë", 1),
    ]
    for name, value, calls in told:
        [total] = await sums(place, tenant, filters={name: value})
        assert total.calls == calls, (name, value)
    assert await sums(place, tenant, filters={"feature": "search", "provider": "other"}) == []
    [one] = await sums(place, tenant, "end_user", {"feature": "search", "status": "ok"})
    assert one.group == "Zoë"


async def test_a_range_of_no_whole_hours(place: Place, tenant: TenantId) -> None:
    await place.add(tenant, varied(tenant))
    cut = Range(since=DAY + timedelta(minutes=2), until=DAY + timedelta(minutes=62))
    [total] = await place.rows.sums(tenant, UsageQuery(range=cut), limit=1)
    assert (total.calls, total.total_nano) == (2, 600)


async def test_sums_in_pages(place: Place, tenant: TenantId) -> None:
    for group_by in get_args(Grouping):
        await place.add(tenant, varied(tenant))
        every = await sums(place, tenant, group_by)
        paged: list[UsageSum] = []
        after = None
        while True:
            query = UsageQuery(range=MONTH, group_by=group_by)
            page = await place.rows.sums(tenant, query, limit=1, after=after)
            if not page:
                break
            paged += page
            after = SumCursor(total_nano=page[-1].total_nano, group=page[-1].group or "")
        assert paged == every


async def test_receipts_and_hours_in_pages(place: Place, tenant: TenantId) -> None:
    told = varied(tenant)
    await place.add(tenant, told)
    assert await place.rows.receipts(tenant, MONTH, limit=100) == [counted(receipt) for receipt in told]
    first = await place.rows.receipts(tenant, MONTH, limit=2)
    rest = await place.rows.receipts(tenant, MONTH, limit=9, after=Cursor(at=first[-1].at, id=first[-1].id))
    assert [one.id for one in first + rest] == [receipt.id for receipt in told]

    every = await place.rows.hours(tenant, MONTH, limit=100)
    assert sum(row.calls for row in every) == 6
    paged = await place.rows.hours(tenant, MONTH, limit=2)
    while more := await place.rows.hours(tenant, MONTH, limit=2, after=paged[-1]):
        paged += more
    assert paged == every


async def test_another_tenants_figures_are_not_seen(place: Place, tenant: TenantId, other: TenantId) -> None:
    [mine] = [call(tenant, estimated=True, task="t")]
    await place.add(tenant, [mine])
    await place.rows.report_outcomes(tenant, [Outcome(task="t", outcome="success", at=DAY)])
    assert await sums(place, other) == []
    assert await place.rows.receipts(other, MONTH, limit=9) == []
    assert await place.rows.hours(other, MONTH, limit=9) == []
    assert await place.rows.feature_uses(other, MONTH) == {}
    assert await place.rows.outcomes(other, MONTH, limit=9) == []
    assert await place.rows.task_costs(other, ["t"]) == []
    assert await place.rows.loose_costs(other, MONTH) == []
    assert await place.rows.estimated(other, MONTH, limit=9) == []
    assert await place.rows.receipt(other, mine.id, mine.at) is None
    with pytest.raises(NotFound):
        await place.rows.correct(other, mine.id, mine.at, "provider", decide())


# -- drift -----------------------------------------------------------------------------------


async def test_what_a_feature_used(place: Place, tenant: TenantId) -> None:
    await place.add(tenant, varied(tenant))
    uses = await place.rows.feature_uses(tenant, Range(since=DAY, until=DAY + timedelta(days=2)))
    assert set(uses) == {"", "search", "chat"}
    bare = uses[""]
    assert bare.unpriced == 1
    assert bare.costs == {0: 2}
    [model] = bare.models.values()
    assert (model.calls, model.paid, model.input_tokens, model.total_nano) == (2, 0, 0, 0)
    assert {model.paid for model in uses["search"].models.values()} == {1}
    assert sum(uses["search"].costs.values()) == 2


# -- outcomes --------------------------------------------------------------------------------


async def test_the_last_report_of_a_task_holds(place: Place, tenant: TenantId) -> None:
    first = Outcome(task="t-1", outcome="failure", at=DAY)
    last = Outcome(task="t-1", outcome="success", at=DAY + timedelta(hours=1), value_nano=-5)
    second = Outcome(task="t-0", outcome="success", at=DAY)
    await place.rows.report_outcomes(tenant, [first, second])
    await place.rows.report_outcomes(tenant, [last])
    await place.rows.report_outcomes(tenant, [last])
    assert await place.rows.outcomes(tenant, MONTH, limit=9) == [second, last]
    assert await place.rows.outcomes(tenant, MONTH, limit=9, after=second) == [last]
    early = Range(since=DAY, until=DAY + timedelta(minutes=1))
    assert await place.rows.outcomes(tenant, early, limit=9) == [second]


async def test_what_tasks_cost(place: Place, tenant: TenantId) -> None:
    told = [
        call(tenant, 100, task="t-1", feature="search"),
        call(tenant, 50, task="t-1", feature="search", minute=40 * 24 * 60),
        call(tenant, 7, task="t-1"),
        call(tenant, None, task="t-2"),
        call(tenant, 1, task="t-3"),
        call(tenant, 2),
    ]
    await place.add(tenant, told)
    costs = await place.rows.task_costs(tenant, ["t-1", "t-2", "t-none"])
    assert sorted(costs, key=lambda cost: (cost.task, cost.feature)) == [
        TaskCost(task="t-1", feature="", calls=1, unpriced=0, total_nano=7),
        TaskCost(task="t-1", feature="search", calls=2, unpriced=0, total_nano=150),
        TaskCost(task="t-2", feature="", calls=1, unpriced=1, total_nano=0),
    ]


async def test_calls_that_no_outcome_accounts_for(place: Place, tenant: TenantId) -> None:
    told = [
        call(tenant, 100, task="reported"),
        call(tenant, 20, task="open", feature="search"),
        call(tenant, 30, task="open"),
        call(tenant, 4, feature="search"),
        call(tenant, 5),
    ]
    await place.add(tenant, told)
    await place.rows.report_outcomes(tenant, [Outcome(task="reported", outcome="failure", at=DAY)])
    loose = await place.rows.loose_costs(tenant, MONTH)
    assert sorted(loose, key=lambda cost: (cost.tasks, cost.feature is not None, cost.feature)) == [
        LooseCost(feature=None, calls=2, total_nano=9, tasks=0),
        LooseCost(feature="", calls=1, total_nano=5, tasks=0),
        LooseCost(feature="search", calls=1, total_nano=4, tasks=0),
        LooseCost(feature=None, calls=2, total_nano=50, tasks=1),
        LooseCost(feature="", calls=1, total_nano=30, tasks=1),
        LooseCost(feature="search", calls=1, total_nano=20, tasks=1),
    ]


# -- corrections -----------------------------------------------------------------------------


async def test_a_correction_counts_everywhere_and_once(place: Place, tenant: TenantId) -> None:
    bound = call(tenant, 1000, estimated=True, task="t-1", feature="search")
    await place.add(tenant, [bound, call(tenant, 5)])
    asked = decide(usage=Usage(input_tokens=10, output_tokens=6))
    done = await place.rows.correct(tenant, bound.id, bound.at, "provider", asked)
    again = await place.rows.correct(tenant, bound.id, bound.at, "provider", asked)
    assert (done is not None, again, len(asked.asked)) == (True, None, 1)

    now = await place.rows.receipt(tenant, bound.id, bound.at)
    assert now is not None
    assert (now.total_nano, now.input_tokens, now.estimated, now.corrected) == (100, 10, False, True)
    assert [one.total_nano for one in await place.rows.receipts(tenant, MONTH, limit=9) if one.corrected] == [100]
    asked_for: list[tuple[dict[Dimension, str], int]] = [
        ({}, 105),
        ({"task": "t-1"}, 100),
        ({"feature": "search"}, 100),
    ]
    for filters, nano in asked_for:
        [total] = await sums(place, tenant, filters=filters)
        assert (total.total_nano, total.estimated) == (nano, 0)
    [cost] = await place.rows.task_costs(tenant, ["t-1"])
    assert cost.total_nano == 100
    uses = await place.rows.feature_uses(tenant, MONTH)
    assert sum(uses["search"].costs.values()) == 1
    assert await place.rows.estimated(tenant, MONTH, limit=9) == []


async def test_a_second_source_corrects_the_first(place: Place, tenant: TenantId) -> None:
    bound = call(tenant, 1000, estimated=True)
    await place.add(tenant, [bound])
    await place.rows.correct(tenant, bound.id, bound.at, "provider", decide())
    invoice = Cost(input_nano=1, output_nano=2, total_nano=3)
    done = await place.rows.correct(tenant, bound.id, bound.at, "invoice", decide(invoice, "invoice"))
    assert done is not None
    assert done.total_nano == 3 - 100
    [total] = await sums(place, tenant)
    assert (total.total_nano, total.input_nano, total.output_nano) == (3, 1, 2)


async def test_a_correction_can_price_what_had_no_price(place: Place, tenant: TenantId) -> None:
    unpriced = call(tenant, None, task="t-1")
    await place.add(tenant, [unpriced])
    await place.rows.correct(tenant, unpriced.id, unpriced.at, "invoice", decide(source="invoice"))
    [total] = await sums(place, tenant)
    [by_task] = await sums(place, tenant, "task")
    assert (total.unpriced, total.total_nano) == (by_task.unpriced, by_task.total_nano) == (0, 100)
    [cost] = await place.rows.task_costs(tenant, ["t-1"])
    assert (cost.unpriced, cost.total_nano) == (0, 100)


async def test_a_refused_correction_changes_nothing(place: Place, tenant: TenantId) -> None:
    bound = call(tenant, 1000, estimated=True)
    await place.add(tenant, [bound])
    nonsense = decide(Cost(input_nano=0, output_nano=0, total_nano=-1))
    with pytest.raises(InvalidRequest):
        await place.rows.correct(tenant, bound.id, bound.at, "provider", nonsense)
    with pytest.raises(NotFound):
        await place.rows.correct(tenant, uuid7(), bound.at, "provider", decide())
    with pytest.raises(NotFound):
        await place.rows.correct(tenant, bound.id, bound.at + timedelta(seconds=1), "provider", decide())
    assert [one.id for one in await place.rows.estimated(tenant, MONTH, limit=9)] == [bound.id]


async def test_estimates_the_oldest_first(place: Place, tenant: TenantId) -> None:
    told = [call(tenant, 10, minute=minute, estimated=minute != 2) for minute in range(4)]
    await place.add(tenant, told)
    found = await place.rows.estimated(tenant, MONTH, limit=2)
    assert [one.id for one in found] == [told[0].id, told[1].id]
    later = structs.replace(MONTH, since=found[-1].at + timedelta(microseconds=1))
    assert [one.id for one in await place.rows.estimated(tenant, later, limit=9)] == [told[3].id]


# -- upkeep ----------------------------------------------------------------------------------


async def test_old_reports_are_forgotten(place: Place, tenant: TenantId, other: TenantId) -> None:
    for each in (tenant, other):
        await place.add(each, [call(each, 5), call(each, 7, minute=24 * 60)])
        await place.rows.report_outcomes(each, [Outcome(task="t", outcome="success", at=DAY)])
    assert await place.rows.forget(tenant, DAY + timedelta(days=1)) > 0
    [left] = await place.rows.hours(tenant, MONTH, limit=9)
    assert left.total_nano == 7
    assert await place.rows.outcomes(tenant, MONTH, limit=9) == []
    assert len(await place.rows.hours(other, MONTH, limit=9)) == 2
    assert len(await place.rows.outcomes(other, MONTH, limit=9)) == 1


async def test_tenants_in_pages(place: Place, tenant: TenantId, other: TenantId) -> None:
    for each in (tenant, other):
        await place.add(each, [call(each)])
    found = await place.rows.tenants(limit=1)
    found += await place.rows.tenants(limit=9, after=found[-1])
    assert found == sorted([tenant, other])


async def test_receipts_are_kept_for_a_month_at_least(place: Place) -> None:
    with pytest.raises(ValueError, match="35 days"):
        await place.rows.drop_receipts(34)
    assert await place.rows.drop_receipts(35) == []


def test_the_filters_are_the_dimensions() -> None:
    assert set(get_args(Dimension)) == set(get_args(Grouping)) - {"total", "hour", "day"}
