"""`tenfold report`: what was used and what it cost, what a success cost, where costs drift, and files of all that.

`report drift` exits with 1 when a feature's cost changed by more than the threshold, as checks do."""

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tenfold.app.cli_parts import FAILED, configured, json_option, run, show, tenant_option

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tenfold.access.types import Tenant
    from tenfold.app.settings import Settings
    from tenfold.ledger.reports.handlers import Reports
    from tenfold.ledger.reports.queries import PostgresReportRows
    from tenfold.ledger.reports.types import Drift, OutcomeLine

F = TypeVar("F", bound="Callable[..., Any]")

_GROUPS = (
    "total", "hour", "day", "key", "operation", "model", "provider", "feature", "status", "task", "run", "end_user"
)  # fmt: skip
_DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]


def _range_options(command: F) -> F:
    since = click.option("--since", type=click.DateTime(_DATES), default=None, help="From then on (UTC); 30 days.")
    until = click.option("--until", type=click.DateTime(_DATES), default=None, help="Before then (UTC); now.")
    return since(until(command))


def _filter_option(command: F) -> F:
    return click.option("--only", multiple=True, metavar="NAME=VALUE", help="feature=search, model=..., repeatable.")(
        command
    )


def _open(settings: "Settings", slug: str) -> "AbstractAsyncContextManager[tuple[Reports, PostgresReportRows, Tenant]]":
    """Raises StoreUnavailable, NotFound."""
    from tenfold.access.handlers import Tenants
    from tenfold.access.queries import PostgresAccessRows
    from tenfold.app.database import open_database
    from tenfold.core.clock import SystemClock
    from tenfold.ledger.reports.handlers import Reports
    from tenfold.ledger.reports.queries import PostgresReportRows

    @asynccontextmanager
    async def opened() -> "AsyncIterator[tuple[Reports, PostgresReportRows, Tenant]]":
        async with open_database(settings) as (_, store):
            owner = await Tenants(PostgresAccessRows(store), SystemClock()).tenant(slug)
            rows = PostgresReportRows(store)
            yield Reports(rows, SystemClock()), rows, owner

    return opened()


@click.group()
def report() -> None:
    """Usage, cost, outcomes and drift of a tenant."""


@report.command("usage")
@tenant_option
@click.option("--by", "group_by", type=click.Choice(_GROUPS), default="total", show_default=True, help="Group by.")
@_filter_option
@_range_options
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Rows at most.")
@click.option("--after", default=None, help="Go on after this row (`cursor` of the page before).")
@json_option
@configured
def report_usage(
    settings: "Settings",
    slug: str,
    group_by: str,
    only: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """Sums of calls, tokens and cost, the dearest first."""

    async def work() -> None:
        async with _open(settings, slug) as (reports, _, owner):
            query = reports.query(group_by, _filters(only), _utc(since), _utc(until))
            page = await reports.usage(owner.id, query, cursor=after, limit=limit)
            lines = [
                f"{each.group or '-':<40} {each.calls:>10} calls {each.input_tokens + each.output_tokens:>14} tokens "
                f"{_usd(each.total_nano):>18} USD{_notes(each.unpriced, each.estimated)}"
                for each in page.items
            ]
            more = [f"more: --after {page.cursor}"] if page.cursor else []
            show(page, as_json, "\n".join([*lines, *more]) or "none")

    run(work())


@report.command("outcomes")
@tenant_option
@_range_options
@json_option
@configured
def report_outcomes(
    settings: "Settings", slug: str, since: datetime | None, until: datetime | None, as_json: bool
) -> None:
    """What a successful outcome costs: all calls of the tasks reported in the range, failed ones included."""

    async def work() -> None:
        async with _open(settings, slug) as (reports, _, owner):
            found = await reports.outcome_report(owner.id, reports.range(_utc(since), _utc(until)))
            lines = [_outcome_line("all", found.total)]
            lines += [_outcome_line(line.feature or "-", line) for line in found.features]
            lines += [f"{found.uncalled} reported tasks have no calls"] if found.uncalled else []
            show(found, as_json, "\n".join(lines))

    run(work())


@report.command("drift")
@tenant_option
@click.option("--until", type=click.DateTime(_DATES[:1]), default=None, help="Days before this one (UTC); today.")
@click.option("--days", type=click.IntRange(1, 1850), default=7, show_default=True, help="Days on each side.")
@click.option(
    "--threshold", type=click.IntRange(1, 10_000), default=15, show_default=True, help="Percent that are a finding."
)
@json_option
@configured
def report_drift(
    settings: "Settings", slug: str, until: datetime | None, days: int, threshold: int, as_json: bool
) -> None:
    """Cost of a request for each feature, the last days against those before, and why it changed. Exit code 1 when one
    changed by more than the threshold."""

    async def work() -> int:
        async with _open(settings, slug) as (reports, _, owner):
            found = await reports.drift(owner.id, until=_utc(until), days=days, threshold_basis_points=threshold * 100)
            show(found, as_json, "\n".join(line for each in found.features for line in _drift_lines(each)) or "none")
            return found.findings

    if run(work()):
        raise SystemExit(FAILED)


@report.command("export")
@tenant_option
@click.option(
    "--format", "format_", type=click.Choice(["csv", "focus"]), default="csv", show_default=True, help="Of the file."
)
@click.option("--by", "group_by", type=click.Choice(_GROUPS), default=None, help="Sums by this; default: receipts.")
@_filter_option
@_range_options
@click.option("--out", type=click.File("w", encoding="utf-8", lazy=True), default="-", help="File; default: stdout.")
@configured
def report_export(
    settings: "Settings",
    slug: str,
    format_: str,
    group_by: str | None,
    only: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    out: Any,
) -> None:
    """Write receipts or sums as CSV, or hourly cost as FOCUS."""
    if (only and group_by is None) or (format_ == "focus" and group_by is not None):
        raise click.UsageError("--only is for sums, which --by asks for; FOCUS has neither.")

    async def work() -> None:
        async with _open(settings, slug) as (reports, _, owner):
            range_ = reports.range(_utc(since), _utc(until))
            if format_ == "focus":
                pieces = reports.export_focus(owner.id, owner.slug, range_)
            elif group_by is None:
                pieces = reports.export_receipts(owner.id, range_)
            else:
                query = reports.query(group_by, _filters(only), range_.since, range_.until)
                pieces = reports.export_sums(owner.id, query)
            async for piece in pieces:
                out.write(piece)

    run(work())


@report.command("rebuild")
@tenant_option
@click.option("--since", type=click.DateTime(_DATES[:1]), required=True, help="First day (UTC).")
@click.option("--until", type=click.DateTime(_DATES[:1]), default=None, help="Last day (UTC); today.")
@json_option
@configured
def report_rebuild(settings: "Settings", slug: str, since: datetime, until: datetime | None, as_json: bool) -> None:
    """Make the hourly sums anew from the receipts, and say how many rows were wrong."""
    from tenfold.ledger.reports.retention import rebuild

    async def work() -> None:
        async with _open(settings, slug) as (_, rows, owner):
            first, last = since.replace(tzinfo=UTC), _utc(until) or datetime.now(UTC)
            wrong = await rebuild(rows, owner.id, first, last)
            show({"wrong": wrong}, as_json, f"{wrong} rows were wrong and are right now")

    run(work())


def _filters(only: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.partition("=") for each in only]
    if not all(equals for _, equals, _ in pairs):
        raise click.UsageError("--only is NAME=VALUE, such as feature=search.")
    return {name: value for name, _, value in pairs}


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _outcome_line(name: str, line: "OutcomeLine") -> str:
    each = "no success" if line.nano_per_success is None else f"{_usd(line.nano_per_success)} USD a success"
    loose = f"; {line.untasked_calls} calls without a task ({_usd(line.untasked_nano)} USD)"
    loose += f", {line.open_tasks} tasks without an outcome ({_usd(line.open_nano)} USD)"
    return (
        f"{name:<30} {line.successes} of {line.successes + line.failures} succeeded, {_usd(line.total_nano)} USD: "
        f"{each}{loose}"
    )


def _drift_lines(drift: "Drift") -> list[str]:
    before, after = _usd(drift.before.mean_nano), _usd(drift.after.mean_nano)
    change = "" if drift.change_basis_points is None else f" ({drift.change_basis_points / 100:+.2f} %)"
    lines = [
        f"{drift.feature or '-':<30} {drift.verdict:<8} mean {before} -> {after} USD a request{change}; "
        f"P95 {_usd(drift.before.p95_nano)} -> {_usd(drift.after.p95_nano)}, "
        f"{drift.before.calls} -> {drift.after.calls} calls"
    ]
    if drift.verdict == "changed":
        lines += [f"    {part.factor:<12} {_usd(part.nano):>16} USD" for part in drift.parts]
    return lines


def _notes(unpriced: int, estimated: int) -> str:
    notes = [f"{unpriced} without a price"] * bool(unpriced) + [f"{estimated} estimated"] * bool(estimated)
    return f"  ({', '.join(notes)})" if notes else ""


def _usd(nano: int | None) -> str:
    from tenfold.core.money import format_usd

    return "-" if nano is None else format_usd(nano)
