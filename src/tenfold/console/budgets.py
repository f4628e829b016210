"""The Budgets page: what may be spent and how fast, what is left of it, and which alerts there were."""

from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tenfold.console.services import BudgetLine, MoneyServices
from tenfold.console.site import Site, see_other
from tenfold.console.views import BudgetsPage, BudgetView, Choices, FormError, LimitView, SpendBar, cost
from tenfold.core.errors import Conflict, InvalidRequest, NotFound
from tenfold.core.ids import TenantId
from tenfold.core.money import parse_usd
from tenfold.ledger.budgets.types import BudgetState
from tenfold.limits.types import Limit

PAGE_SIZE = 20
ALERTS = 10
CHOICES = Choices(
    budget_pers=(
        ("tenant", "All calls together"),
        ("key", "API key"),
        ("feature", "Feature"),
        ("endpoint", "Endpoint"),
        ("model", "Model"),
        ("run", "Agent run"),
    ),
    periods=(("month", "A month"), ("day", "A day"), ("total", "In total")),
    limit_pers=(
        ("tenant", "All calls together"),
        ("key", "API key"),
        ("model", "Model"),
        ("end_user", "End user"),
    ),
    measures=(
        ("requests", "Requests"),
        ("tokens", "Tokens"),
        ("usd", "USD"),
        ("concurrency", "Calls at once"),
    ),
    windows=(("60", "A minute"), ("3600", "An hour"), ("86400", "A day"), ("1", "A second")),
)
_WINDOWS = {1: "a second", 60: "a minute", 3600: "an hour", 86_400: "a day"}
_NOUNS = {"end_user": "end user", "key": "API key", "run": "agent run"}

_Form = Literal["budget", "limit"]
_FIELDS: dict[_Form, dict[str, str]] = {  # what the rules call by another name than the forms
    "budget": {},
    "limit": {"per": "limit_per", "subject": "limit_subject", "window_s": "window"},
}


def budget_routes(site: Site, money: MoneyServices) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    page = _page_of(money)

    @routes.get("/budgets")
    async def list_budgets(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        return site.show(request, await page(request, visitor.session.principal.tenant_id), visitor)

    async def made(request: Request, form: _Form) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        fields = await site.visitors.form(request, visitor)
        tenant_id = visitor.session.principal.tenant_id
        make = _create_budget if form == "budget" else _create_limit
        try:
            await make(money, tenant_id, fields)
        except (InvalidRequest, Conflict, NotFound) as error:
            refused = FormError(message=error.message, field=_FIELDS[form].get(error.param or "", error.param))
            return site.show(request, await page(request, tenant_id, form, refused, fields), visitor, error.status)
        return see_other("/budgets")

    async def ended(request: Request, end: Callable[[TenantId], Awaitable[None]]) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        await site.visitors.form(request, visitor)
        await end(visitor.session.principal.tenant_id)
        return see_other("/budgets")

    @routes.post("/budgets")
    async def create_budget(request: Request) -> Response:
        return await made(request, "budget")

    @routes.post("/budgets/{budget_id}/end")
    async def end_budget(request: Request, budget_id: str) -> Response:
        return await ended(request, lambda tenant_id: money.budgets.end(tenant_id, budget_id))

    @routes.post("/limits")
    async def create_limit(request: Request) -> Response:
        return await made(request, "limit")

    @routes.post("/limits/{limit_id}/end")
    async def end_limit(request: Request, limit_id: str) -> Response:
        return await ended(request, lambda tenant_id: money.limits.end(tenant_id, limit_id))

    return routes


async def _create_budget(money: MoneyServices, tenant_id: TenantId, fields: dict[str, str]) -> None:
    await money.budgets.create(
        tenant_id,
        per=fields.get("per", ""),
        period=fields.get("period", ""),
        limit_nano=_usd(fields.get("limit_usd", ""), "limit_usd"),
        subject=fields.get("subject", "").strip() or None,
        hard=fields.get("hard") != "no",
        alerts=_percentages(fields.get("alerts", "")),
    )


async def _create_limit(money: MoneyServices, tenant_id: TenantId, fields: dict[str, str]) -> None:
    measure = fields.get("measure", "")
    await money.limits.create(
        tenant_id,
        per=fields.get("limit_per", ""),
        measure=measure,
        amount=_amount(measure, fields.get("amount", "")),
        window_s=None if measure == "concurrency" else _window_s(fields.get("window", "")),
        subject=fields.get("limit_subject", "").strip() or None,
    )


def _page_of(money: MoneyServices) -> Callable[..., Awaitable[BudgetsPage]]:
    async def page(
        request: Request,
        tenant_id: TenantId,
        form: _Form | None = None,
        error: FormError | None = None,
        sent: dict[str, str] | None = None,
    ) -> BudgetsPage:
        query = request.query_params if request.method == "GET" else {}
        budgets = await money.budgets.lines(tenant_id, cursor=query.get("cursor"), limit=PAGE_SIZE)
        limits = await money.limits.list(tenant_id, cursor=query.get("limits"), limit=PAGE_SIZE)
        alerts = await money.alerts.alerts(tenant_id, limit=ALERTS)
        return BudgetsPage(
            budgets=[_budget(line) for line in budgets.items],
            cursor=budgets.cursor,
            limits=[_limit(limit) for limit in limits.items],
            limits_cursor=limits.cursor,
            alerts=alerts.items,
            choices=CHOICES,
            refused=form,
            error=error,
            sent=sent or {},
        )

    return page


def _budget(line: BudgetLine) -> BudgetView:
    budget = line.budget
    return BudgetView(
        id=str(budget.id),
        what=_what(budget.per, budget.subject),
        period=budget.period,
        limit_nano=budget.limit_nano,
        hard=budget.hard,
        alerts=", ".join(f"{percent} %" for percent in budget.alerts),
        operators=budget.owner == "operator",
        bars=[_bar(state) for state in line.states],
        more=line.more,
    )


def _bar(state: BudgetState) -> SpendBar:
    whole = max(1, state.budget.limit_nano)
    spent = min(100.0, round(100 * state.settled_nano / whole, 2))
    held = min(100.0 - spent, round(100 * state.held_nano / whole, 2))
    return SpendBar(
        who=state.subject if state.budget.subject is None else "",
        spent=spent,
        held=held,
        settled_nano=state.settled_nano,
        held_nano=state.held_nano,
        remaining_nano=state.remaining_nano,
        ends=state.period_end,
        used_up=state.settled_nano >= state.budget.limit_nano,
    )


def _limit(limit: Limit) -> LimitView:
    if limit.measure == "concurrency":
        rate = f"{limit.amount} calls at once"
    else:
        amount = cost(limit.amount) if limit.measure == "usd" else f"{limit.amount} {limit.measure}"
        rate = f"{amount} {_WINDOWS.get(limit.window_s or 0, f'in {limit.window_s} s')}"
    operators = limit.owner == "operator"
    return LimitView(id=str(limit.id), what=_what(limit.per, limit.subject), rate=rate, operators=operators)


def _what(per: str, subject: str | None) -> str:
    if per == "tenant":
        return "All calls together"
    noun = _NOUNS.get(per, per)
    return f"Each {noun}" if subject is None else f"{noun[0].upper()}{noun[1:]} {subject}"


def _percentages(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace("%", " ").replace(",", " ").split()]
    except ValueError:
        raise InvalidRequest("Write percentages of the limit, such as 80, 100.", param="alerts") from None


def _usd(text: str, param: str) -> int:
    try:
        return parse_usd(text)
    except ValueError as error:
        message = str(error)
        raise InvalidRequest(f"{message[0].upper()}{message[1:]}.", param=param) from None


def _amount(measure: str, text: str) -> int:
    if measure == "usd":
        return _usd(text, "amount")
    if not (text.strip().isascii() and text.strip().isdigit() and len(text) < 20):
        raise InvalidRequest("Write a whole number.", param="amount")
    return int(text)


def _window_s(text: str) -> int:
    if text not in {value for value, _ in CHOICES.windows}:
        raise InvalidRequest("Choose one of the times offered.", param="window")
    return int(text)
