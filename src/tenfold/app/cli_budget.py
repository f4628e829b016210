"""`tenfold budget`: budgets of a tenant, set by the operator. A tenant can tighten them, not loosen them."""

from typing import TYPE_CHECKING

import click

from tenfold.app.cli_parts import configured, json_option, paged, run, show, table, tenant_option

if TYPE_CHECKING:
    from tenfold.app.settings import Settings
    from tenfold.console.services import BudgetLine
    from tenfold.ledger.budgets.types import Budget, BudgetState

_hard_option = click.option("--hard/--soft", default=None, help="Refuse what is beyond it (default), or alert alone.")
_alert_option = click.option(
    "--alert", "alerts", type=int, multiple=True, help="Alert at this percentage.  [default: 80 and 100]  Repeatable."
)


@click.group()
def budget() -> None:
    """Budgets: how much may be spent in a day, a month or in total."""


@budget.command("create")
@tenant_option
@click.option(
    "--per",
    type=click.Choice(["tenant", "key", "feature", "endpoint", "model", "run"]),
    default="tenant",
    show_default=True,
    help="What it counts.",
)
@click.option("--subject", default=None, help="Which key (its id), feature, model, ...; default: each for itself.")
@click.option(
    "--period",
    type=click.Choice(["day", "month", "total"]),
    default="month",
    show_default=True,
    help="UTC days, months.",
)
@click.option("--usd", required=True, help="The limit, decimal USD.")
@_hard_option
@_alert_option
@json_option
@configured
def budget_create(
    settings: "Settings",
    slug: str,
    per: str,
    subject: str | None,
    period: str,
    usd: str,
    hard: bool | None,
    alerts: tuple[int, ...],
    as_json: bool,
) -> None:
    """Create a budget, such as `--per feature --subject search --period day --usd 25`."""
    from tenfold.app.budgeting import open_money
    from tenfold.ledger.budgets.handlers import DEFAULT_ALERTS

    limit_nano = _usd(usd)

    async def work() -> None:
        async with open_money(settings) as money:
            owner = await money.tenants.tenant(slug)
            created = await money.budgets.create(
                owner.id,
                per=per,
                period=period,
                limit_nano=limit_nano,
                subject=subject,
                hard=hard is not False,
                alerts=alerts or DEFAULT_ALERTS,
                by="operator",
            )
            show(created, as_json, f"created budget {created.id}: {_words(created)}")

    run(work())


@budget.command("list")
@tenant_option
@paged
@json_option
@configured
def budget_list(settings: "Settings", slug: str, limit: int, after: str | None, as_json: bool) -> None:
    """List a tenant's budgets with what is spent of them."""
    from tenfold.app.budgeting import open_money

    async def work() -> None:
        async with open_money(settings) as money:
            owner = await money.tenants.tenant(slug)
            page = await money.budgets.lines(owner.id, cursor=after, limit=limit)
            lines = [text for line in page.items for text in _told(line)]
            show(page, as_json, table(lines, page.cursor))

    run(work())


@budget.command("show")
@click.argument("budget_id")
@tenant_option
@json_option
@configured
def budget_show(settings: "Settings", budget_id: str, slug: str, as_json: bool) -> None:
    """Show the budget BUDGET_ID: what is spent, held by processes, and left."""
    from tenfold.app.budgeting import open_money

    async def work() -> None:
        async with open_money(settings) as money:
            owner = await money.tenants.tenant(slug)
            line = await money.budgets.line(owner.id, budget_id)
            show(line, as_json, "\n".join(_told(line)))

    run(work())


@budget.command("change")
@click.argument("budget_id")
@tenant_option
@click.option("--usd", default=None, help="The new limit, decimal USD.")
@_hard_option
@_alert_option
@json_option
@configured
def budget_change(
    settings: "Settings",
    budget_id: str,
    slug: str,
    usd: str | None,
    hard: bool | None,
    alerts: tuple[int, ...],
    as_json: bool,
) -> None:
    """Change the budget BUDGET_ID; what is not given stays. Running processes follow within a second."""
    from tenfold.app.budgeting import open_money

    limit_nano = None if usd is None else _usd(usd)

    async def work() -> None:
        async with open_money(settings) as money:
            owner = await money.tenants.tenant(slug)
            changed = await money.budgets.change(
                owner.id, budget_id, limit_nano=limit_nano, hard=hard, alerts=alerts or None, by="operator"
            )
            show(changed, as_json, f"changed budget {changed.id}: {_words(changed)}")

    run(work())


@budget.command("end")
@click.argument("budget_id")
@tenant_option
@json_option
@configured
def budget_end(settings: "Settings", budget_id: str, slug: str, as_json: bool) -> None:
    """End the budget BUDGET_ID: it holds nothing back any more."""
    from tenfold.app.budgeting import open_money

    async def work() -> None:
        async with open_money(settings) as money:
            owner = await money.tenants.tenant(slug)
            await money.budgets.end(owner.id, budget_id, by="operator")
            show({"ended": budget_id}, as_json, f"ended {budget_id}")

    run(work())


def _usd(text: str) -> int:
    from tenfold.core.errors import InvalidRequest
    from tenfold.core.money import parse_usd

    try:
        return parse_usd(text)
    except ValueError as error:
        raise InvalidRequest(f"--usd: {error}.", param="usd") from None


def _told(line: "BudgetLine") -> list[str]:
    states = [f"    {_state(state)}" for state in line.states]
    more = ["    ..."] if line.more else []
    return [f"{line.budget.id}  {line.budget.owner:<9} {_words(line.budget)}", *states, *more]


def _words(budget: "Budget") -> str:
    from tenfold.core.money import format_usd

    whose = f"{budget.per} {budget.subject or '*'}" if budget.per != "tenant" else "tenant"
    period = "in total" if budget.period == "total" else f"a {budget.period}"
    alerts = f", alerts at {', '.join(f'{percent} %' for percent in budget.alerts)}" if budget.alerts else ""
    return f"{whose}: {format_usd(budget.limit_nano)} USD {period}, {'hard' if budget.hard else 'soft'}{alerts}"


def _state(state: "BudgetState") -> str:
    from tenfold.core.money import format_usd

    spent, held, left = (format_usd(nano) for nano in (state.settled_nano, state.held_nano, state.remaining_nano))
    whose = f"{state.subject}: " if state.subject else ""
    until = f", until {state.period_end:%Y-%m-%d %H:%M} UTC" if state.period_end else ""
    return f"{whose}spent {spent}, held {held}, left {left} USD{until}"
