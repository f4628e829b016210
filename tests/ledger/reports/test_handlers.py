"""What may be asked of reports, on rows in memory."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.errors import InvalidRequest
from tenfold.core.ids import TenantId
from tenfold.ledger.reports.fake import FakeReportRows
from tenfold.ledger.reports.handlers import MAX_OUTCOMES, Reports
from tenfold.ledger.reports.types import MAX_PAGE, Outcome, OutcomeKind, Range
from tests.ledger.reports.samples import DAY, MONTH, call

TENANT = TenantId(UUID(int=1))
NOW = datetime(2026, 8, 15, 12, 34, 56, tzinfo=UTC)


@pytest.fixture
def rows() -> FakeReportRows:
    return FakeReportRows()


@pytest.fixture
def reports(rows: FakeReportRows) -> Reports:
    return Reports(rows, FakeClock(NOW))


# -- ranges and questions --------------------------------------------------------------------


def test_the_last_30_days_in_whole_hours(reports: Reports) -> None:
    end = datetime(2026, 8, 15, 13, tzinfo=UTC)
    assert reports.range() == Range(since=end - timedelta(days=30), until=end)
    east = datetime(2026, 8, 15, 2, tzinfo=timezone(timedelta(hours=2)))
    assert reports.range(since=east).since == datetime(2026, 8, 15, tzinfo=UTC)


def test_ranges_that_are_none(reports: Reports) -> None:
    for since, until in [
        (DAY, DAY),
        (DAY, DAY - timedelta(days=1)),
        (DAY.replace(tzinfo=None), None),
        (DAY.replace(year=1999), None),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=3))), None),
    ]:
        with pytest.raises(InvalidRequest):
            reports.range(since, until)


def test_questions_that_are_none(reports: Reports) -> None:
    for group_by, filters in [
        ("end user", {}),
        ("total", {"fleature": "x"}),
        ("total", {"feature": "x\0"}),
        ("total", {"task": "x" * 201}),
        ("total", {"hour": "2026"}),
    ]:
        with pytest.raises(InvalidRequest):
            reports.query(group_by, filters)


async def test_usage_in_pages(rows: FakeReportRows, reports: Reports) -> None:
    rows.add([call(TENANT, 10 * n, feature=f"f-{n}") for n in range(5)])
    query = reports.query("feature", since=MONTH.since, until=MONTH.until)
    first = await reports.usage(TENANT, query, limit=3)
    rest = await reports.usage(TENANT, query, limit=3, cursor=first.cursor)
    assert [line.group for line in first.items + rest.items] == ["f-4", "f-3", "f-2", "f-1", "f-0"]
    assert rest.cursor is None
    for bad in ("", "x", "é", "e30", "x" * 5000):
        with pytest.raises(InvalidRequest):
            await reports.usage(TENANT, query, cursor=bad)
    with pytest.raises(InvalidRequest):
        await reports.usage(TENANT, query, limit=0)


async def test_an_export_goes_on_over_its_pages(rows: FakeReportRows, reports: Reports) -> None:
    rows.add([call(TENANT, n, minute=n % 100, task=f"t-{n}") for n in range(MAX_PAGE + 5)])
    pieces = [piece async for piece in reports.export_receipts(TENANT, MONTH)]
    assert [piece.count("\r\n") for piece in pieces] == [1, MAX_PAGE, 5]
    sums = [piece async for piece in reports.export_sums(TENANT, reports.query("task", None, MONTH.since, MONTH.until))]
    assert [piece.count("\r\n") for piece in sums] == [1, MAX_PAGE, 5]
    focus = [piece async for piece in reports.export_focus(TENANT, "acme", MONTH)]
    assert [piece.count("\r\n") for piece in focus] == [1, 2]


# -- outcomes --------------------------------------------------------------------------------


def outcome(task: str, kind: OutcomeKind = "success", **facts: int) -> Outcome:
    return Outcome(task=task, outcome=kind, at=DAY, value_nano=facts.get("value_nano"))


async def test_what_a_success_costs(rows: FakeReportRows, reports: Reports) -> None:
    rows.add(
        [
            call(TENANT, 100, task="won", feature="search"),
            call(TENANT, 20, task="won", feature="search", status="error"),  # a failed try
            call(TENANT, 3, task="won", feature="rank"),
            call(TENANT, 50, task="lost", feature="search"),
            call(TENANT, 7, task="won-too", minute=-60 * 24 * 40),  # long before it was reported
            call(TENANT, 1000, feature="search"),
            call(TENANT, 2000, task="open", feature="search"),
        ]
    )
    told = [outcome("won", value_nano=9), outcome("lost", "failure"), outcome("won-too"), outcome("imagined")]
    await reports.report_outcomes(TENANT, told)
    report = await reports.outcome_report(TENANT, MONTH)
    total = report.total
    assert (total.successes, total.failures, total.calls, total.total_nano) == (3, 1, 5, 180)
    assert (total.nano_per_success, total.value_nano, report.uncalled) == (60, 9, 1)
    assert (total.untasked_calls, total.untasked_nano) == (1, 1000)
    assert (total.open_tasks, total.open_calls, total.open_nano) == (1, 1, 2000)
    lines = {line.feature: line for line in report.features}
    assert [line.feature for line in report.features] == ["search", None, "rank"]
    assert (lines["search"].successes, lines["search"].failures, lines["search"].nano_per_success) == (1, 1, 170)
    assert (lines["rank"].successes, lines["rank"].nano_per_success) == (1, 3)
    assert sum(line.total_nano for line in report.features) == total.total_nano


async def test_no_success_has_no_price(rows: FakeReportRows, reports: Reports) -> None:
    rows.add([call(TENANT, 5, task="lost")])
    await reports.report_outcomes(TENANT, [outcome("lost", "failure")])
    report = await reports.outcome_report(TENANT, MONTH)
    assert (report.total.nano_per_success, report.total.total_nano) == (None, 5)


async def test_many_tasks(rows: FakeReportRows, reports: Reports) -> None:
    rows.add([call(TENANT, 2, task=f"t-{n}") for n in range(MAX_PAGE + 1)])
    for start in (0, MAX_OUTCOMES):
        await reports.report_outcomes(TENANT, [outcome(f"t-{n}") for n in range(start, start + MAX_OUTCOMES)])
    report = await reports.outcome_report(TENANT, MONTH)
    assert (report.total.successes, report.total.total_nano) == (2 * MAX_OUTCOMES, 2 * (MAX_PAGE + 1))
    assert report.uncalled == MAX_OUTCOMES - 1


async def test_a_task_reported_twice_at_once(rows: FakeReportRows, reports: Reports) -> None:
    await reports.report_outcomes(TENANT, [outcome("t"), outcome("t", "failure")])
    assert [each.outcome for each in await rows.outcomes(TENANT, MONTH, limit=9)] == ["failure"]


async def test_outcomes_that_are_none(rows: FakeReportRows, reports: Reports) -> None:
    for bad in [
        [],
        [outcome("")],
        [outcome("x" * 201)],
        [outcome("a\0b")],
        [outcome("t", value_nano=2**63)],
        [outcome("fine"), outcome("\n")],
        [Outcome(task="t", outcome="success", at=DAY.replace(tzinfo=None))],
        [outcome(str(n)) for n in range(MAX_OUTCOMES + 1)],
    ]:
        with pytest.raises(InvalidRequest):
            await reports.report_outcomes(TENANT, bad)
    assert await rows.outcomes(TENANT, MONTH, limit=9) == []


def test_an_outcome_is_of_now(reports: Reports) -> None:
    assert reports.outcome("t", "success") == Outcome(task="t", outcome="success", at=NOW)


# -- drift -----------------------------------------------------------------------------------


async def test_this_week_against_the_last(rows: FakeReportRows, reports: Reports) -> None:
    for days_ago, nano in [(15, 7), (14, 100), (8, 100), (7, 200), (1, 200), (0, 9999)]:
        rows.add([call(TENANT, nano, minute=-60 * 24 * days_ago + n, feature="search") for n in range(40)])
    report = await reports.drift(TENANT)
    assert (report.before.since, report.after.since, report.after.until) == (
        DAY - timedelta(days=14),
        DAY - timedelta(days=7),
        DAY,
    )
    [search] = report.features
    assert (search.before.mean_nano, search.after.mean_nano, search.before.calls) == (100, 200, 80)
    assert (search.verdict, search.change_basis_points, report.findings) == ("changed", 10_000, 1)
    assert {part.factor for part in search.parts if part.nano} == {"price"}
    steady = await reports.drift(TENANT, threshold_basis_points=10_000)
    assert steady.findings == 0


async def test_drifts_that_are_none(reports: Reports) -> None:
    for question in [
        {"until": NOW},
        {"days": 0},
        {"days": 10**6},
        {"threshold_basis_points": 0},
        {"until": DAY.replace(tzinfo=None)},
        {"until": datetime(1, 1, 1, tzinfo=UTC)},
    ]:
        with pytest.raises(InvalidRequest):
            await reports.drift(TENANT, **question)  # type: ignore[arg-type]
