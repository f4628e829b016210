"""The JSON API of budgets and alerts. What is made here is the tenant's own: it can only tighten what the operator has
set."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from tenfold.console.api_parts import CONFLICT, MISSING, PROBLEMS, Body, OwnerWord, PageSize, Word, amount_of, bearer
from tenfold.console.services import BudgetLine, ConsoleServices, MoneyServices
from tenfold.core.money import format_usd
from tenfold.core.principal import SCOPE_BUDGETS, SCOPE_USAGE, Principal
from tenfold.ledger.budgets.handlers import DEFAULT_ALERTS
from tenfold.ledger.budgets.types import Budget, BudgetAlert, BudgetState


class StateBody(BaseModel):
    subject: str | None = Field(description="Which key, feature, ...; null for the tenant as a whole.")
    period_start: datetime
    period_end: datetime | None = Field(description="Null for a budget in total.")
    settled_usd: str = Field(description="Spent: the sum of the receipts.")
    held_usd: str = Field(description="Set aside for calls in flight, or for those to come of a serving process.")
    remaining_usd: str = Field(description="What may still be set aside.")


class BudgetBody(BaseModel):
    id: str
    per: str
    subject: str | None = Field(description="Null: each key (feature, model, ...) has this much for itself.")
    period: str
    limit_usd: str
    hard: bool = Field(description="False: it alerts and refuses nothing.")
    alerts: list[int] = Field(description="Percentages of the limit.")
    owner: OwnerWord
    created_at: datetime


class BudgetWithStates(BudgetBody):
    states: list[StateBody] = Field(
        description="The running period; where each has the limit for itself, of each that has spent."
    )
    more_states: bool = Field(description="There are further ones than those told.")


class BudgetsPage(BaseModel):
    data: list[BudgetWithStates]
    next_cursor: str | None


class NewBudgetBody(Body):
    per: Word = Field(description="tenant, key, feature, endpoint, model or run.")
    subject: Word | None = Field(None, description="Which one; left out: each of them has this much for itself.")
    period: Word = Field(description="day, month (both UTC) or total.")
    limit_usd: Word = Field(description='Decimal USD, such as "25.50"; with 0 nothing that costs is let through.')
    hard: bool = True
    alerts: list[int] = Field(default=list(DEFAULT_ALERTS), max_length=20)


class BudgetChangeBody(Body):
    limit_usd: Word | None = None
    hard: bool | None = None
    alerts: list[int] | None = Field(None, max_length=20)


class AlertBody(BaseModel):
    id: str
    at: datetime
    budget_id: str
    per: str
    subject: str | None
    period: str
    period_start: datetime
    percent: int
    spent_usd: str
    limit_usd: str
    delivered: bool = Field(description="The webhook has taken it, or the log where there is none.")


class AlertsPage(BaseModel):
    data: list[AlertBody]
    next_cursor: str | None


def budget_api_routes(services: ConsoleServices, money: MoneyServices) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["budgets"])
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.get("/budgets", summary="List the tenant's budgets and what is left of them")
    async def list_budgets(who: caller, cursor: str | None = None, limit: PageSize = 20) -> BudgetsPage:
        who.require(SCOPE_USAGE)
        page = await money.budgets.lines(who.tenant_id, cursor=cursor, limit=limit)
        return BudgetsPage(data=[_line(line) for line in page.items], next_cursor=page.cursor)

    @routes.post("/budgets", status_code=201, summary="Create a budget", responses=CONFLICT)
    async def create_budget(body: NewBudgetBody, who: caller) -> BudgetBody:
        who.require(SCOPE_BUDGETS)
        created = await money.budgets.create(
            who.tenant_id,
            per=body.per,
            period=body.period,
            limit_nano=amount_of(body.limit_usd, "limit_usd"),
            subject=body.subject,
            hard=body.hard,
            alerts=body.alerts,
        )
        return BudgetBody(**_budget(created))

    @routes.get("/budgets/{budget_id}", summary="One budget and what is left of it", responses=MISSING)
    async def get_budget(budget_id: str, who: caller) -> BudgetWithStates:
        who.require(SCOPE_USAGE)
        return _line(await money.budgets.line(who.tenant_id, budget_id))

    @routes.patch("/budgets/{budget_id}", summary="Change a budget", responses=MISSING)
    async def change_budget(budget_id: str, body: BudgetChangeBody, who: caller) -> BudgetBody:
        who.require(SCOPE_BUDGETS)
        changed = await money.budgets.change(
            who.tenant_id,
            budget_id,
            limit_nano=None if body.limit_usd is None else amount_of(body.limit_usd, "limit_usd"),
            hard=body.hard,
            alerts=body.alerts,
        )
        return BudgetBody(**_budget(changed))

    @routes.delete("/budgets/{budget_id}", status_code=204, summary="End a budget", responses=MISSING)
    async def end_budget(budget_id: str, who: caller) -> Response:
        who.require(SCOPE_BUDGETS)
        await money.budgets.end(who.tenant_id, budget_id)
        return Response(status_code=204)

    @routes.get("/alerts", summary="List the alerts of the tenant's budgets")
    async def list_alerts(who: caller, cursor: str | None = None, limit: PageSize = 20) -> AlertsPage:
        who.require(SCOPE_USAGE)
        page = await money.alerts.alerts(who.tenant_id, cursor=cursor, limit=limit)
        return AlertsPage(data=[_alert(alert) for alert in page.items], next_cursor=page.cursor)

    return routes


def _budget(budget: Budget) -> dict[str, object]:
    return {
        "id": str(budget.id),
        "per": budget.per,
        "subject": budget.subject,
        "period": budget.period,
        "limit_usd": format_usd(budget.limit_nano),
        "hard": budget.hard,
        "alerts": list(budget.alerts),
        "owner": budget.owner,
        "created_at": budget.created_at,
    }


def _line(line: BudgetLine) -> BudgetWithStates:
    states = [_state(state) for state in line.states]
    return BudgetWithStates(**_budget(line.budget), states=states, more_states=line.more)


def _state(state: BudgetState) -> StateBody:
    return StateBody(
        subject=state.subject or None,
        period_start=state.period_start,
        period_end=state.period_end,
        settled_usd=format_usd(state.settled_nano),
        held_usd=format_usd(state.held_nano),
        remaining_usd=format_usd(state.remaining_nano),
    )


def _alert(alert: BudgetAlert) -> AlertBody:
    return AlertBody(
        id=str(alert.id),
        at=alert.at,
        budget_id=str(alert.budget_id),
        per=alert.per,
        subject=alert.subject or None,
        period=alert.period,
        period_start=alert.period_start,
        percent=alert.percent,
        spent_usd=format_usd(alert.spent_nano),
        limit_usd=format_usd(alert.limit_nano),
        delivered=alert.delivered,
    )
