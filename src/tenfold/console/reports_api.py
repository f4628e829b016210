"""The JSON API of reports: what was used, by whom and for what, what a success cost, and where costs drift. Amounts are
decimal USD as text, and None where nothing can be said."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from tenfold.console.api_parts import PROBLEMS, Body, Word, amount_of, bearer
from tenfold.console.services import ConsoleServices
from tenfold.core.errors import InvalidRequest
from tenfold.core.ids import TenantId
from tenfold.core.money import format_usd
from tenfold.core.principal import SCOPE_USAGE, Principal
from tenfold.ledger.reports.types import (
    CostFigures,
    Drift,
    DriftReport,
    Outcome,
    OutcomeKind,
    OutcomeLine,
    OutcomeReport,
    Page,
    Range,
    UsageQuery,
    UsageSum,
)


class ReportService(Protocol):
    """See tenfold.ledger.reports.handlers.Reports."""

    def range(self, since: datetime | None = None, until: datetime | None = None) -> Range: ...

    def query(
        self,
        group_by: str = "total",
        filters: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> UsageQuery: ...

    async def usage(
        self, tenant_id: TenantId, query: UsageQuery, *, cursor: str | None = None, limit: int = 100
    ) -> Page[UsageSum]: ...

    def export_receipts(self, tenant_id: TenantId, range_: Range) -> AsyncGenerator[str, None]: ...

    def export_sums(self, tenant_id: TenantId, query: UsageQuery) -> AsyncGenerator[str, None]: ...

    def export_focus(self, tenant_id: TenantId, account_name: str, range_: Range) -> AsyncGenerator[str, None]: ...

    def outcome(
        self, task: str, outcome: OutcomeKind, at: datetime | None = None, value_nano: int | None = None
    ) -> Outcome: ...

    async def report_outcomes(self, tenant_id: TenantId, outcomes: list[Outcome]) -> None: ...

    async def outcome_report(self, tenant_id: TenantId, range_: Range) -> OutcomeReport: ...

    async def drift(
        self,
        tenant_id: TenantId,
        *,
        until: datetime | None = None,
        days: int = 7,
        threshold_basis_points: int = 1500,
    ) -> DriftReport: ...


class UsageLine(BaseModel):
    group: str | None = Field(description="Null: calls without this mark, or all of them.")
    calls: int
    failed: int
    cache_hits: int
    estimated: int = Field(description="Calls that stand on an estimate nothing has corrected yet.")
    unpriced: int = Field(description="Calls no price is known of; cost_usd leaves them out.")
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: str
    input_usd: str
    output_usd: str
    mean_latency_ms: int


class UsagePage(BaseModel):
    since: datetime
    until: datetime
    group_by: str
    data: list[UsageLine]
    next_cursor: str | None


class NewOutcome(Body):
    task: Word = Field(description="What the calls said in Tenfold-Task.")
    outcome: Literal["success", "failure"]
    at: datetime | None = Field(None, description="Now, where it is left out.")
    value_usd: Word | None = Field(None, description='What the outcome is worth: decimal USD, such as "12.50".')


class NewOutcomes(Body):
    outcomes: list[NewOutcome] = Field(min_length=1, max_length=1000)


class Reported(BaseModel):
    reported: int


class OutcomeCosts(BaseModel):
    feature: str | None
    successes: int
    failures: int
    cost_usd: str = Field(description="Of all calls of these tasks, failed ones and retries included.")
    cost_per_success_usd: str | None = Field(description="Null without a success.")
    value_usd: str
    calls: int
    unpriced: int
    calls_without_task: int
    cost_without_task_usd: str
    tasks_without_outcome: int
    calls_without_outcome: int
    cost_without_outcome_usd: str


class OutcomesBody(BaseModel):
    since: datetime
    until: datetime
    total: OutcomeCosts
    tasks_without_calls: int
    features: list[OutcomeCosts] = Field(description="A task counts in each feature it called, in the total once.")


class FiguresBody(BaseModel):
    calls: int = Field(description="Those with a price.")
    unpriced: int
    mean_usd: str | None
    p50_usd: str | None = Field(description="Percentiles are within 3.1 %.")
    p95_usd: str | None
    p99_usd: str | None


class PartBody(BaseModel):
    factor: Literal["price", "model_mix", "tokens", "cache_share"]
    change_usd: str
    change_percent: str | None


class DriftBody(BaseModel):
    feature: str | None
    verdict: Literal["steady", "changed", "too_few", "new", "gone"]
    before: FiguresBody
    after: FiguresBody
    change_usd: str | None
    change_percent: str | None
    parts: list[PartBody] = Field(description="They add up to the change exactly.")


class DriftReportBody(BaseModel):
    since: datetime = Field(description="Of the days before.")
    middle: datetime
    until: datetime
    findings: int
    features: list[DriftBody]


_Filter = Annotated[str | None, Query(max_length=200)]


def filters(
    key: _Filter = None,
    operation: _Filter = None,
    model: _Filter = None,
    provider: _Filter = None,
    feature: _Filter = None,
    status: _Filter = None,
    task: _Filter = None,
    run: _Filter = None,
    end_user: _Filter = None,
) -> dict[str, str]:
    """Only calls with exactly these values; an empty one is those without."""
    return {name: value for name, value in locals().items() if value is not None}


def reports_routes(services: ConsoleServices, reports: ReportService) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["reports"])
    caller = Annotated[Principal, Depends(bearer(services))]
    only = Annotated[dict[str, str], Depends(filters)]

    @routes.get("/usage", summary="Sums of usage and cost")
    async def usage(
        who: caller,
        only: only,
        group_by: str = "total",
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> UsagePage:
        who.require(SCOPE_USAGE)
        query = reports.query(group_by, only, since, until)
        page = await reports.usage(who.tenant_id, query, cursor=cursor, limit=limit)
        return UsagePage(
            since=query.range.since,
            until=query.range.until,
            group_by=group_by,
            data=[_usage(line) for line in page.items],
            next_cursor=page.cursor,
        )

    @routes.get("/usage/export", summary="Receipts or sums as CSV, or cost as FOCUS", response_class=StreamingResponse)
    async def export(
        who: caller,
        only: only,
        format: Literal["csv", "focus"] = "csv",  # noqa: A002  (the word of the address)
        group_by: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Response:
        """CSV of receipts; with `group_by` CSV of sums."""
        who.require(SCOPE_USAGE)
        if only and (group_by is None or format == "focus"):
            raise InvalidRequest("Filters are for sums: give a group_by.", param=min(only))
        if format == "focus":
            pieces = reports.export_focus(who.tenant_id, who.tenant_slug, reports.range(since, until))
        elif group_by is None:
            pieces = reports.export_receipts(who.tenant_id, reports.range(since, until))
        else:
            pieces = reports.export_sums(who.tenant_id, reports.query(group_by, only, since, until))
        return await _csv(pieces, "focus" if format == "focus" else "usage" if group_by else "receipts")

    @routes.post("/outcomes", summary="Report what became of tasks")
    async def report_outcomes(body: NewOutcomes, who: caller) -> Reported:
        """The last report of a task holds; reporting the same again changes nothing."""
        who.require(SCOPE_USAGE)
        told = [
            reports.outcome(
                each.task,
                each.outcome,
                each.at,
                None if each.value_usd is None else amount_of(each.value_usd, f"outcomes.{place}.value_usd"),
            )
            for place, each in enumerate(body.outcomes)
        ]
        await reports.report_outcomes(who.tenant_id, told)
        return Reported(reported=len(told))

    @routes.get("/outcomes/report", summary="What a successful outcome costs")
    async def outcome_report(who: caller, since: datetime | None = None, until: datetime | None = None) -> OutcomesBody:
        who.require(SCOPE_USAGE)
        report = await reports.outcome_report(who.tenant_id, reports.range(since, until))
        return OutcomesBody(
            since=report.range.since,
            until=report.range.until,
            total=_outcomes(report.total),
            tasks_without_calls=report.uncalled,
            features=[_outcomes(line) for line in report.features],
        )

    @routes.get("/drift", summary="Which features cost more or less a request than before, and why")
    async def drift(
        who: caller,
        until: datetime | None = None,
        days: int = 7,
        threshold_percent: Annotated[int, Query(ge=1, le=10_000)] = 15,
    ) -> DriftReportBody:
        who.require(SCOPE_USAGE)
        report = await reports.drift(
            who.tenant_id, until=until, days=days, threshold_basis_points=threshold_percent * 100
        )
        return DriftReportBody(
            since=report.before.since,
            middle=report.after.since,
            until=report.after.until,
            findings=report.findings,
            features=[_drift(each) for each in report.features],
        )

    return routes


async def _csv(pieces: AsyncGenerator[str, None], name: str) -> Response:
    """The header and the first rows are made before the status is sent: what fails at once fails as a problem."""
    first = [await anext(pieces), await anext(pieces, "")]

    async def body() -> AsyncIterator[str]:
        async with aclosing(pieces):
            for piece in first:
                yield piece
            async for piece in pieces:
                yield piece

    return StreamingResponse(
        body(),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="tenfold-{name}.csv"'},
    )


def _usage(line: UsageSum) -> UsageLine:
    same = {name: getattr(line, name) for name in UsageLine.model_fields if hasattr(line, name)}
    return UsageLine(
        **same,
        cost_usd=format_usd(line.total_nano),
        input_usd=format_usd(line.input_nano),
        output_usd=format_usd(line.output_nano),
        mean_latency_ms=round(line.latency_ms / line.calls),
    )


def _outcomes(line: OutcomeLine) -> OutcomeCosts:
    return OutcomeCosts(
        feature=line.feature,
        successes=line.successes,
        failures=line.failures,
        cost_usd=format_usd(line.total_nano),
        cost_per_success_usd=_usd(line.nano_per_success),
        value_usd=format_usd(line.value_nano),
        calls=line.calls,
        unpriced=line.unpriced,
        calls_without_task=line.untasked_calls,
        cost_without_task_usd=format_usd(line.untasked_nano),
        tasks_without_outcome=line.open_tasks,
        calls_without_outcome=line.open_calls,
        cost_without_outcome_usd=format_usd(line.open_nano),
    )


def _drift(drift: Drift) -> DriftBody:
    return DriftBody(
        feature=drift.feature,
        verdict=drift.verdict,
        before=_figures(drift.before),
        after=_figures(drift.after),
        change_usd=_usd(drift.change_nano),
        change_percent=_percent(drift.change_basis_points),
        parts=[
            PartBody(factor=part.factor, change_usd=format_usd(part.nano), change_percent=_percent(part.basis_points))
            for part in drift.parts
        ],
    )


def _figures(figures: CostFigures) -> FiguresBody:
    return FiguresBody(
        calls=figures.calls,
        unpriced=figures.unpriced,
        mean_usd=_usd(figures.mean_nano),
        p50_usd=_usd(figures.p50_nano),
        p95_usd=_usd(figures.p95_nano),
        p99_usd=_usd(figures.p99_nano),
    )


def _usd(nano: int | None) -> str | None:
    return None if nano is None else format_usd(nano)


def _percent(basis_points: int | None) -> str | None:
    if basis_points is None:
        return None
    whole, rest = divmod(abs(basis_points), 100)
    return f"{'-' if basis_points < 0 else ''}{whole}.{rest:02d}"
