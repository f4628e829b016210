"""`tenfold limit`: rate limits of a tenant, set by the operator. A tenant can tighten them, not loosen them."""

from typing import TYPE_CHECKING

import click

from tenfold.app.cli_parts import configured, json_option, paged, run, show, table, tenant_option

if TYPE_CHECKING:
    from tenfold.app.settings import Settings
    from tenfold.limits.types import Limit

_WINDOWS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


@click.group()
def limit() -> None:
    """Rate limits: requests, tokens, money and calls at once."""


@limit.command("create")
@tenant_option
@click.option(
    "--per",
    type=click.Choice(["tenant", "key", "model", "end_user"]),
    default="tenant",
    show_default=True,
    help="Whom it holds.",
)
@click.option("--subject", default=None, help="Which key (its id), model or end user; default: each for itself.")
@click.option("--requests", type=int, default=None, help="Requests in the window.")
@click.option("--tokens", type=int, default=None, help="Tokens in the window, input and output.")
@click.option("--usd", default=None, help="Money in the window, decimal USD.")
@click.option("--concurrency", type=int, default=None, help="Calls at once; has no window.")
@click.option("--every", type=click.Choice(list(_WINDOWS_S)), default="minute", show_default=True, help="The window.")
@click.option("--burst", default=None, help="How much at one moment after a pause; default: the whole amount.")
@json_option
@configured
def limit_create(
    settings: "Settings",
    slug: str,
    per: str,
    subject: str | None,
    requests: int | None,
    tokens: int | None,
    usd: str | None,
    concurrency: int | None,
    every: str,
    burst: str | None,
    as_json: bool,
) -> None:
    """Create a limit, such as `--per key --requests 600 --every minute`. Running processes follow within a second."""
    from tenfold.app.budgeting import open_money

    given = {"requests": requests, "tokens": tokens, "usd": usd, "concurrency": concurrency}
    measures = [measure for measure, amount in given.items() if amount is not None]
    if len(measures) != 1:
        raise click.UsageError("Give one of --requests, --tokens, --usd and --concurrency.")
    measure = measures[0]

    async def work() -> None:
        async with open_money(settings) as money:
            owner = await money.tenants.tenant(slug)
            created = await money.limits.create(
                owner.id,
                per=per,
                measure=measure,
                amount=_amount(measure, given[measure]),
                window_s=None if measure == "concurrency" else _WINDOWS_S[every],
                subject=subject,
                burst=None if burst is None else _amount(measure, burst),
                by="operator",
            )
            show(created, as_json, f"created limit {created.id}: {_words(created)}")

    run(work())


@limit.command("list")
@tenant_option
@paged
@json_option
@configured
def limit_list(settings: "Settings", slug: str, limit: int, after: str | None, as_json: bool) -> None:
    """List a tenant's limits, the newest first."""
    from tenfold.app.budgeting import open_money

    async def work() -> None:
        async with open_money(settings) as money:
            owner = await money.tenants.tenant(slug)
            page = await money.limits.list(owner.id, cursor=after, limit=limit)
            lines = [f"{each.id}  {each.owner:<9} {_words(each)}" for each in page.items]
            show(page, as_json, table(lines, page.cursor))

    run(work())


@limit.command("end")
@click.argument("limit_id")
@tenant_option
@json_option
@configured
def limit_end(settings: "Settings", limit_id: str, slug: str, as_json: bool) -> None:
    """End the limit LIMIT_ID."""
    from tenfold.app.budgeting import open_money

    async def work() -> None:
        async with open_money(settings) as money:
            owner = await money.tenants.tenant(slug)
            await money.limits.end(owner.id, limit_id, by="operator")
            show({"ended": limit_id}, as_json, f"ended {limit_id}")

    run(work())


@limit.command("weight")
@click.argument("weight", type=int)
@tenant_option
@json_option
@configured
def limit_weight(settings: "Settings", weight: int, slug: str, as_json: bool) -> None:
    """Give a tenant WEIGHT shares, beside the 1 of others, of a process that has all the calls it may have."""
    from tenfold.app.budgeting import open_money

    async def work() -> None:
        async with open_money(settings) as money:
            owner = await money.tenants.tenant(slug)
            await money.limits.set_weight(owner.id, weight, by="operator")
            show({"tenant": slug, "weight": weight}, as_json, f"{slug} has the weight {weight}")

    run(work())


def _amount(measure: str, given: int | str | None) -> int:
    from tenfold.core.errors import InvalidRequest
    from tenfold.core.money import parse_usd

    try:
        return parse_usd(str(given)) if measure == "usd" else int(given or 0)
    except ValueError as error:
        message = f"{error}" if measure == "usd" else "a burst is a whole number"
        raise InvalidRequest(f"{message[0].upper()}{message[1:]}.", param=measure) from None


def _words(limit: "Limit") -> str:
    from tenfold.core.money import format_usd

    amount = f"{format_usd(limit.amount)} usd" if limit.measure == "usd" else f"{limit.amount} {limit.measure}"
    names = {seconds: f"an {name}" if name == "hour" else f"a {name}" for name, seconds in _WINDOWS_S.items()}
    window = "" if limit.window_s is None else f" {names.get(limit.window_s, f'in {limit.window_s} s')}"
    return f"{limit.per} {limit.subject or '*'}: {amount}{window}"
