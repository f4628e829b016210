"""`tenfold flag` and `tenfold kill`: feature flags and switches as the operator sets them, for all tenants or one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from msgspec import DecodeError, json

from tenfold.app.cli_parts import configured, json_option, paged, run, show, table

if TYPE_CHECKING:
    from tenfold.app.flagging import Flagging
    from tenfold.app.settings import Settings
    from tenfold.core.ids import TenantId
    from tenfold.rollout.types import Change, Flag, Kill

_for_tenant = click.option("--tenant", "slug", default=None, help="For this tenant alone; default: for all tenants.")
_reason = click.option("--reason", default="", help="Why; for the log.")
_variants = click.option(
    "--variant", "variants", multiple=True, metavar="NAME=JSON", help="A variant and its value. Repeatable."
)
_default = click.option("--default", "default_variant", default=None, help="Variant where no rule holds.")
_rules = click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="JSON",
    help='A rule, such as {"conditions": [{"attribute": "plan", "equals": "pro"}], "variant": "on"}. Repeatable.',
)
_split = click.option(
    "--split",
    default=None,
    metavar="NAME=N,NAME=N",
    help="One rule for all: shares by weight, such as on=10,off=90; sticky.",
)
_by = click.option("--by", default=None, help="Attribute that --split sticks to.  [default: targetingKey]")
_description = click.option("--description", default=None, help="What it is for.")


# -- flags -----------------------------------------------------------------------------------


@click.group()
def flag() -> None:
    """Feature flags, with OpenFeature's semantics. Running processes follow within a second."""


@flag.command("create")
@click.argument("key")
@click.option(
    "--type",
    "type_",
    type=click.Choice(["boolean", "string", "number", "object"]),
    default="boolean",
    show_default=True,
    help="Of all its variants.",
)
@_variants
@_default
@_rules
@_split
@_by
@click.option("--disabled", is_flag=True, help="Its rules rest: it gives its default.")
@_description
@_for_tenant
@_reason
@json_option
@configured
def flag_create(
    settings: "Settings",
    key: str,
    type_: str,
    variants: tuple[str, ...],
    default_variant: str | None,
    rules: tuple[str, ...],
    split: str | None,
    by: str | None,
    disabled: bool,
    description: str | None,
    slug: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Create the flag KEY. A boolean one needs no variants: they are on and off, and off is the default."""
    given = _variants_of(variants)
    told_rules = _rules_of(rules, split, by)

    async def work(flagging: "Flagging", owner: "TenantId | None") -> None:
        created = await flagging.admin.create(
            owner,
            key,
            type=type_,
            variants=given,
            default_variant=default_variant,
            rules=told_rules or (),
            enabled=not disabled,
            description=description or "",
            reason=reason,
            actor=flagging.actor,
            by="operator",
        )
        show(created, as_json, f"created flag {_flag_words(created)}")

    _with_flags(settings, slug, work)


@flag.command("list")
@_for_tenant
@paged
@json_option
@configured
def flag_list(settings: "Settings", slug: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List the flags of the installation, the newest first; with --tenant that tenant's as well."""

    async def work(flagging: "Flagging", owner: "TenantId | None") -> None:
        page = await flagging.admin.list(owner, cursor=after, limit=limit)
        show(page, as_json, table([_flag_words(each) for each in page.items], page.cursor))

    _with_flags(settings, slug, work)


@flag.command("show")
@click.argument("key")
@_for_tenant
@json_option
@configured
def flag_show(settings: "Settings", key: str, slug: str | None, as_json: bool) -> None:
    """Show the flag KEY with its variants and rules."""

    async def work(flagging: "Flagging", owner: "TenantId | None") -> None:
        found = await flagging.admin.show(owner, key)
        definition = json.format(json.encode(found.definition), indent=2).decode()
        show(found, as_json, f"{_flag_words(found)}\n{definition}")

    _with_flags(settings, slug, work)


@flag.command("set")
@click.argument("key")
@click.option("--enabled/--disabled", "enabled", default=None, help="Whether its rules count.")
@_variants
@_default
@_rules
@_split
@_by
@click.option("--no-rules", is_flag=True, help="It gives its default to everybody.")
@_description
@_for_tenant
@_reason
@json_option
@configured
def flag_set(
    settings: "Settings",
    key: str,
    enabled: bool | None,
    variants: tuple[str, ...],
    default_variant: str | None,
    rules: tuple[str, ...],
    split: str | None,
    by: str | None,
    no_rules: bool,
    description: str | None,
    slug: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Change the flag KEY; what is not named stays. New variants, and new rules, take the place of all old ones."""
    if no_rules and (rules or split):
        raise click.UsageError("Give either --no-rules, or rules.")
    given = _variants_of(variants)
    told_rules: list[object] | None = [] if no_rules else _rules_of(rules, split, by)

    async def work(flagging: "Flagging", owner: "TenantId | None") -> None:
        changed = await flagging.admin.change(
            owner,
            key,
            variants=given,
            default_variant=default_variant,
            rules=told_rules,
            enabled=enabled,
            description=description,
            reason=reason,
            actor=flagging.actor,
            by="operator",
        )
        show(changed, as_json, f"set flag {_flag_words(changed)}")

    _with_flags(settings, slug, work)


@flag.command("end")
@click.argument("key")
@_for_tenant
@_reason
@json_option
@configured
def flag_end(settings: "Settings", key: str, slug: str | None, reason: str, as_json: bool) -> None:
    """End the flag KEY: code that asks for it goes on with its own default."""

    async def work(flagging: "Flagging", owner: "TenantId | None") -> None:
        await flagging.admin.end(owner, key, reason=reason, actor=flagging.actor, by="operator")
        show({"ended": key}, as_json, f"ended {key}")

    _with_flags(settings, slug, work)


@flag.command("log")
@click.argument("subject", required=False)
@_for_tenant
@paged
@json_option
@configured
def flag_log(
    settings: "Settings", subject: str | None, slug: str | None, limit: int, after: str | None, as_json: bool
) -> None:
    """List who changed which flag and switch, the newest first; of SUBJECT alone (a key, or such as feature:search)."""

    async def work(flagging: "Flagging", owner: "TenantId | None") -> None:
        page = await flagging.admin.changes(owner, subject=subject, cursor=after, limit=limit)
        show(page, as_json, table([_change_words(each) for each in page.items], page.cursor))

    _with_flags(settings, slug, work)


@flag.command("evaluate")
@click.argument("key")
@click.option("--tenant", "slug", default="default", show_default=True, help="To whom.")
@click.option("--targeting-key", default=None, help="The unit, such as a user's id.")
@click.option("--context", "context", multiple=True, metavar="NAME=JSON", help="An attribute. Repeatable.")
@json_option
@configured
def flag_evaluate(
    settings: "Settings", key: str, slug: str, targeting_key: str | None, context: tuple[str, ...], as_json: bool
) -> None:
    """Tell what the flag KEY says to a tenant in a context, and why. Exit code 1 when it cannot be evaluated."""
    attributes = dict(_named(each, "--context") for each in context)
    if targeting_key is not None:
        attributes["targetingKey"] = targeting_key

    async def work(flagging: "Flagging", _owner: "TenantId | None") -> None:
        from tenfold.app.cli_parts import FAILED
        from tenfold.rollout.book import Flags

        who = (await flagging.tenants.tenant(slug)).principal(frozenset())
        await flagging.book.start()
        found = await Flags(flagging.book).evaluate(who, key, attributes)
        told: dict[str, Any] = {
            "key": found.key,
            "value": found.value,
            "variant": found.variant,
            "reason": found.reason,
            "error_code": found.error_code,
            "error_details": found.error_details,
        }
        failure = f"{found.error_code}: {found.error_details}"
        said = f"{json.encode(found.value).decode()}  ({found.variant}, {found.reason})"
        show(told, as_json, failure if found.error_code else said)
        if found.error_code is not None:
            raise SystemExit(FAILED)

    _with_flags(settings, None, work)


# -- switches --------------------------------------------------------------------------------


@click.group()
def kill() -> None:
    """Switch AI off: a feature, a tenant, a model, a provider. On every process within a second, without a deploy."""


@kill.command("feature")
@click.argument("name")
@_for_tenant
@_reason
@json_option
@configured
def kill_feature(settings: "Settings", name: str, slug: str | None, reason: str, as_json: bool) -> None:
    """Switch off the feature NAME: calls get its declared degraded answer."""
    _kill(settings, "feature", name, slug, reason, as_json)


@kill.command("tenant")
@click.argument("slug")
@_reason
@json_option
@configured
def kill_tenant(settings: "Settings", slug: str, reason: str, as_json: bool) -> None:
    """Switch off all calls of the tenant SLUG."""
    _kill(settings, "tenant", slug, slug, reason, as_json)


@kill.command("model")
@click.argument("name")
@_for_tenant
@_reason
@json_option
@configured
def kill_model(settings: "Settings", name: str, slug: str | None, reason: str, as_json: bool) -> None:
    """Switch off the model NAME: its routes go on with the others they have."""
    _kill(settings, "model", name, slug, reason, as_json)


@kill.command("provider")
@click.argument("name")
@_for_tenant
@_reason
@json_option
@configured
def kill_provider(settings: "Settings", name: str, slug: str | None, reason: str, as_json: bool) -> None:
    """Switch off the provider NAME, as the settings name it."""
    _kill(settings, "provider", name, slug, reason, as_json)


@kill.command("list")
@_for_tenant
@paged
@json_option
@configured
def kill_list(settings: "Settings", slug: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List what is switched off for all tenants, the newest first; with --tenant for that one as well."""

    async def work(flagging: "Flagging", owner: "TenantId | None") -> None:
        page = await flagging.admin.kills(owner, cursor=after, limit=limit)
        show(page, as_json, table([_kill_words(each) for each in page.items], page.cursor))

    _with_flags(settings, slug, work)


@kill.command("end")
@click.argument("kill_id")
@_for_tenant
@_reason
@json_option
@configured
def kill_end(settings: "Settings", kill_id: str, slug: str | None, reason: str, as_json: bool) -> None:
    """Switch on again what KILL_ID switched off; with --tenant what was switched off for that one alone."""

    async def work(flagging: "Flagging", owner: "TenantId | None") -> None:
        await flagging.admin.end_kill(owner, kill_id, reason=reason, actor=flagging.actor, by="operator")
        show({"ended": kill_id}, as_json, f"ended {kill_id}")

    _with_flags(settings, slug, work)


# -- shared ----------------------------------------------------------------------------------


def _with_flags(settings: "Settings", slug: str | None, work: Callable[["Flagging", "TenantId | None"], Any]) -> None:
    from tenfold.app.flagging import open_flags

    async def opened() -> None:
        async with open_flags(settings) as flagging:
            owner = None if slug is None else (await flagging.tenants.tenant(slug)).id
            await work(flagging, owner)

    run(opened())


def _kill(settings: "Settings", scope: str, subject: str, slug: str | None, reason: str, as_json: bool) -> None:
    async def work(flagging: "Flagging", owner: "TenantId | None") -> None:
        thrown = await flagging.admin.kill(
            owner, scope=scope, subject=subject, reason=reason, actor=flagging.actor, by="operator"
        )
        show(thrown, as_json, f"switched off: {_kill_words(thrown)}")

    _with_flags(settings, slug, work)


def _variants_of(given: tuple[str, ...]) -> dict[str, Any] | None:
    return dict(_named(each, "--variant") for each in given) or None


def _named(given: str, option: str) -> tuple[str, Any]:
    """NAME=JSON; what is no JSON is text."""
    name, separator, value = given.partition("=")
    if not separator:
        raise click.UsageError(f"{option} is NAME=VALUE, not {given!r}.")
    try:
        return name, json.decode(value)
    except DecodeError:
        return name, value


def _rules_of(rules: tuple[str, ...], split: str | None, by: str | None) -> list[object] | None:
    """None: they stay."""
    if rules and split:
        raise click.UsageError("Give either --rule or --split.")
    if by is not None and split is None:
        raise click.UsageError("--by goes with --split.")
    if split is not None:
        pairs = [part.partition("=") for part in split.split(",")]
        if not all(weight.isascii() and weight.isdigit() for _, _, weight in pairs):
            raise click.UsageError("--split is NAME=N,NAME=N with whole numbers.")
        return [{"split": {"weights": {name.strip(): int(weight) for name, _, weight in pairs}, "by": by}}]
    try:
        return [json.decode(rule) for rule in rules] or None
    except DecodeError as error:
        raise click.UsageError(f"--rule is no JSON: {error}") from None


def _flag_words(flag: "Flag") -> str:
    definition = flag.definition
    state = "enabled" if definition.enabled else "disabled"
    whose = "all" if flag.tenant_id is None else flag.owner
    rules = f"{len(definition.rules)} rule{'' if len(definition.rules) == 1 else 's'}"
    return f"{flag.key}: {definition.type}, {state}, default {definition.default_variant}, {rules}, of {whose}"


def _kill_words(kill: "Kill") -> str:
    whose = "all" if kill.tenant_id is None else kill.owner
    reason = f": {kill.reason}" if kill.reason else ""
    return f"{kill.id}  {kill.scope} {kill.subject} (of {whose}, {kill.created_at:%Y-%m-%d %H:%M:%S}Z){reason}"


def _change_words(change: "Change") -> str:
    reason = f": {change.reason}" if change.reason else ""
    return f"{change.at:%Y-%m-%d %H:%M:%S}Z  {change.actor} {change.action} {change.kind} {change.subject}{reason}"
