"""`tenfold route`: what the routes of the configuration are, and what would become of a call."""

from typing import TYPE_CHECKING, Any

import click

from tenfold.app.cli_parts import MISUSED, configured, fail, json_option, run, show, table

if TYPE_CHECKING:
    from tenfold.app.settings import Settings
    from tenfold.inference.explanation import Considered, Explanation
    from tenfold.inference.route import Route

_MAX_CHARS = 100_000_000


@click.group()
def route() -> None:
    """Routes: which models a name leads to, and which of them a call would ask."""


@route.command("list")
@json_option
@configured
def route_list(settings: "Settings", as_json: bool) -> None:
    """List the names that clients can ask for, and what each leads to. Needs no database."""
    from tenfold.app.routing import breaker_policy
    from tenfold.app.upstreams import routes_to_look_at
    from tenfold.health import Healths

    routes = routes_to_look_at(settings, Healths(policy=breaker_policy(settings)))
    rows = [_row(each) for each in sorted(routes, key=lambda each: each.model)]
    width = max((len(row["route"]) for row in rows), default=0)
    lines = [f"{row['route']:<{width}}  {', '.join(row['targets'])}{_policy_words(row)}" for row in rows]
    show({"items": rows}, as_json, table(lines, None))


@route.command("explain")
@click.argument("model")
@click.option("--task", default=None, help="As Tenfold-Task would say.")
@click.option("--feature", default=None, help="As Tenfold-Feature would say.")
@click.option("--tenant", "slug", default=None, help="Whose call; default: of a tenant without rules and switches.")
@click.option("--user", default=None, help="As Tenfold-User would say.")
@click.option("--plan", default=None, help="As if the tenant were on this plan.")
@click.option("--deadline-ms", type=click.IntRange(min=1), default=None, help="As Tenfold-Deadline-Ms would say.")
@click.option("--max-cost-usd", default=None, help="As Tenfold-Max-Cost-Usd would say, decimal USD.")
@click.option(
    "--input-chars",
    type=click.IntRange(0, _MAX_CHARS),
    default=0,
    show_default=True,
    help="Size of the request, for price bounds.",
)
@click.option(
    "--max-tokens", type=click.IntRange(min=1), default=None, help="Most output tokens; default: the model's most."
)
@json_option
@configured
def route_explain(
    settings: "Settings",
    model: str,
    task: str | None,
    feature: str | None,
    slug: str | None,
    user: str | None,
    plan: str | None,
    deadline_ms: int | None,
    max_cost_usd: str | None,
    input_chars: int,
    max_tokens: int | None,
    as_json: bool,
) -> None:
    """Tell whom a call of MODEL would ask, in order, and why; and whom not. Asks no provider. From the configuration,
    list prices, kill switches, and the circuits that the running processes hold open. Exit code 2: no such name."""
    from tenfold.app.explaining import open_explaining
    from tenfold.core.errors import ModelNotFound
    from tenfold.core.money import parse_usd
    from tenfold.inference.explanation import Inquiry

    try:
        max_cost_nano = None if max_cost_usd is None else parse_usd(max_cost_usd)
    except ValueError as error:
        raise click.UsageError(f"--max-cost-usd: {error}.") from None
    inquiry = Inquiry(
        model=model,
        task=task,
        feature=feature,
        end_user=user,
        deadline_ms=deadline_ms,
        max_cost_nano=max_cost_nano,
        input_chars=input_chars,
        max_tokens=max_tokens,
    )

    async def work() -> None:
        async with open_explaining(settings) as explaining:
            try:
                told = await explaining.explain(inquiry, slug, plan)
            except ModelNotFound as error:
                fail(error.message, MISUSED)
            show(told, as_json, "\n".join(_words(told)))

    run(work())


def _row(each: "Route") -> dict[str, Any]:
    policy = each.policy
    return {
        "route": each.model,
        "targets": [target.label for target in each.targets],
        "models": list(dict.fromkeys(target.model for target in each.targets)),
        "choose": policy.choose,
        "split": dict(policy.split),
        "rules": len(policy.rules),
        "regions": sorted(policy.regions),
        "retries": policy.retries,
        "deadline_s": policy.deadline_s,
        "stream": policy.on_break,
    }


def _policy_words(row: dict[str, Any]) -> str:
    """What is not as it is by default."""
    said = [f"{name} {row[name]}" for name in ("choose",) if row[name] != "order"]
    if row["split"]:
        said.append("split " + " : ".join(f"{model} {weight}" for model, weight in row["split"].items()))
    if row["rules"]:
        said.append(f"{row['rules']} rule{'s' * (row['rules'] > 1)}")
    if row["regions"]:
        said.append(f"only in {', '.join(row['regions'])}")
    if row["deadline_s"] is not None:
        said.append(f"within {row['deadline_s']:g} s")
    return f"  ({'; '.join(said)})" if said else ""


def _words(told: "Explanation") -> list[str]:
    lines = [_attempt(number, each) for number, each in enumerate(told.attempts, 1)]
    lines += [f"-  {each.label}: {_because(each)}" for each in told.skipped]
    if told.refused is not None:
        lines.append(f"refused: {told.refused.code}: {told.refused.message}")
    if told.then:
        lines.append(f"where nobody answers: {', then '.join(told.then)}")
    if told.ceiling_usd is not None:
        lines.append(f"ceiling: {told.ceiling_usd} USD")
    if told.deadline_ms is not None:
        lines.append(f"deadline: {told.deadline_ms} ms")
    return lines


def _attempt(number: int, each: "Considered") -> str:
    cost = "price unknown" if each.bound_usd is None else f"at most {each.bound_usd} USD"
    return f"{number}. {each.label}: {_because(each)}; {cost}"


def _because(each: "Considered") -> str:
    why = f"{each.why} ({each.detail})" if each.detail else each.why
    if each.state == "closed":
        return f"{why}, for another {each.asked_again_s:.1f} s" if each.asked_again_s else why
    return f"{why}, asked again in {each.asked_again_s:.1f} s" if each.asked_again_s else f"{why}, being probed"
