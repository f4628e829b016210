"""The `tenfold` command. Imports what a command needs when it runs, so that `--help` and `version` are instant.

Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage or configuration, 3 the database is away.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import json

from tenfold import __version__
from tenfold.app.cli_chaos import chaos
from tenfold.core.errors import StoreUnavailable, TenfoldError

if TYPE_CHECKING:
    from tenfold.app.settings import Settings

FAILED, MISUSED, DATABASE_AWAY = 1, 2, 3

F = TypeVar("F", bound=Callable[..., Any])


def configured(command: F) -> F:
    """Adds --home and --config, and gives the command `settings` in their place."""

    @click.option(
        "--home",
        type=click.Path(path_type=Path),
        envvar="TENFOLD_HOME",
        default=Path(".tenfold"),
        show_default=True,
        help="Folder of everything Tenfold writes.  [env: TENFOLD_HOME]",
    )
    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="TENFOLD_CONFIG",
        default=None,
        help="Configuration file; default: ./tenfold.toml when it is there.  [env: TENFOLD_CONFIG]",
    )
    @wraps(command)
    def wrapper(home: Path, config: Path | None, **options: Any) -> Any:
        from tenfold.app.settings import SettingsError

        try:
            return command(settings=_settings(home, config, options), **options)
        except SettingsError as error:
            _fail(str(error), MISUSED)
        except StoreUnavailable as error:
            _fail(error.message, DATABASE_AWAY)
        except (TenfoldError, OSError) as error:
            _fail(error.message if isinstance(error, TenfoldError) else str(error), FAILED)

    return wrapper  # type: ignore[return-value]  # the same command, with two options more


def _settings(home: Path, config: Path | None, options: dict[str, Any]) -> "Settings":
    """Takes out of `options` what is a setting."""
    from tenfold.app.settings import environment, load

    if config is None and Path("tenfold.toml").exists():
        config = Path("tenfold.toml")
    server = {key: options.pop(key) for key in ("host", "port", "workers") if key in options}
    given = {key: value for key, value in server.items() if value is not None}
    return load(config, home.expanduser().absolute(), environment(), {"server": given})


def _fail(message: str, code: int) -> None:
    click.echo(f"tenfold: {message}", err=True)
    raise SystemExit(code)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def _show(value: Any, as_json: bool, text: str) -> None:
    click.echo(json.format(json.encode(value), indent=2).decode() if as_json else text)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
page_options = (
    click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True, help="Rows at most."),
    click.option("--after", default=None, help="Go on after this row (`cursor` of the page before)."),
)


def paged(command: F) -> F:
    for option in page_options:
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tenfold")
def main() -> None:
    """Tenfold: the backbone of an AI-powered SaaS. `tenfold up` starts it; the README says the rest."""


main.add_command(chaos)


@main.command()
@click.option("--host", default=None, help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, default=None, help="Port to listen on, 0 for a free one.  [default: 8080]")
@click.option("--workers", type=int, default=None, help="Serving processes.  [default: 1]")
@configured
def up(settings: "Settings") -> None:
    """Serve until stopped: database, API, pages."""
    from tenfold.app.server import serve
    from tenfold.app.supervisor import StartFailed

    try:
        serve(settings)
    except StartFailed as error:
        _fail(str(error), FAILED)


@main.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version."""
    _show({"version": __version__}, as_json, __version__)


# -- tenant ----------------------------------------------------------------------------------


@main.group()
def tenant() -> None:
    """Tenants: who is served and billed."""


@tenant.command("create")
@click.argument("slug")
@click.option("--name", default=None, help="Name for people; default: the slug.")
@json_option
@configured
def tenant_create(settings: "Settings", slug: str, name: str | None, as_json: bool) -> None:
    """Create the tenant SLUG (letters, digits, hyphens)."""
    from tenfold.app.admin import open_access

    async def work() -> None:
        async with open_access(settings) as access:
            created = await access.tenants.create_tenant(slug, name or slug)
            _show(created, as_json, f"created tenant {created.slug} ({created.id})")

    _run(work())


@tenant.command("list")
@paged
@json_option
@configured
def tenant_list(settings: "Settings", limit: int, after: str | None, as_json: bool) -> None:
    """List the tenants by slug."""
    from tenfold.app.admin import open_access

    async def work() -> None:
        async with open_access(settings) as access:
            page = await access.tenants.list_tenants(cursor=after, limit=limit)
            lines = [f"{item.slug:<30} {item.id}  {item.name}" for item in page.items]
            _show(page, as_json, _table(lines, page.cursor))

    _run(work())


# -- key -------------------------------------------------------------------------------------


@main.group()
def key() -> None:
    """API keys of a tenant."""


@key.command("create")
@click.option("--tenant", "slug", default="default", show_default=True, help="Whose key.")
@click.option("--name", default="key", show_default=True, help="What it is for.")
@click.option("--scope", "scopes", multiple=True, help="What it may do; default: everything. Repeatable.")
@json_option
@configured
def key_create(settings: "Settings", slug: str, name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Create a key. Its secret is printed once and cannot be shown again."""
    from tenfold.app.admin import open_access
    from tenfold.core.principal import ALL_SCOPES

    async def work() -> None:
        async with open_access(settings) as access:
            owner = await access.tenants.tenant(slug)
            created = await access.keys.create_key(owner.id, name, scopes=scopes or ALL_SCOPES)
            _show({"secret": created.secret, "key": created.key}, as_json, created.secret)

    _run(work())


@key.command("list")
@click.option("--tenant", "slug", default="default", show_default=True, help="Whose keys.")
@paged
@json_option
@configured
def key_list(settings: "Settings", slug: str, limit: int, after: str | None, as_json: bool) -> None:
    """List a tenant's keys, the newest first."""
    from tenfold.app.admin import open_access

    async def work() -> None:
        async with open_access(settings) as access:
            owner = await access.tenants.tenant(slug)
            page = await access.keys.list_keys(owner.id, cursor=after, limit=limit)
            lines = [
                f"{item.id}  {item.prefix:<14} {'revoked' if item.revoked_at else 'active':<8} {item.name}"
                for item in page.items
            ]
            _show(page, as_json, _table(lines, page.cursor))

    _run(work())


@key.command("revoke")
@click.argument("key_id")
@click.option("--tenant", "slug", default="default", show_default=True, help="Whose key.")
@json_option
@configured
def key_revoke(settings: "Settings", key_id: str, slug: str, as_json: bool) -> None:
    """Revoke the key KEY_ID; running processes refuse it within a second."""
    from tenfold.app.admin import open_access

    async def work() -> None:
        async with open_access(settings) as access:
            owner = await access.tenants.tenant(slug)
            revoked = await access.keys.revoke_key(owner.id, key_id)
            _show(revoked, as_json, f"revoked {revoked.id}")

    _run(work())


# -- provider, doctor, db --------------------------------------------------------------------


@main.group()
def provider() -> None:
    """Configured upstreams."""


@provider.command("check")
@click.argument("name", required=False)
@json_option
@configured
def provider_check(settings: "Settings", name: str | None, as_json: bool) -> None:
    """Make one cheap call with each provider's key (or NAME's alone). Exit code 1 when one fails."""
    from tenfold.app.checks import check_providers

    _report(_run(check_providers(settings, name)), as_json)


@main.command()
@json_option
@configured
def doctor(settings: "Settings", as_json: bool) -> None:
    """Check everything Tenfold needs, and say what to do about what is missing. Exit code 1 when something is."""
    from tenfold.app.checks import check_everything

    _report(_run(check_everything(settings)), as_json)


@main.group()
def db() -> None:
    """The database."""


@db.command("migrate")
@json_option
@configured
def db_migrate(settings: "Settings", as_json: bool) -> None:
    """Bring the schema up to date; safe to run any number of times, by any number of processes."""
    from tenfold.app.database import Database

    async def work() -> None:
        database = Database(settings)
        await database.start()
        try:
            applied = [file.name for file in await database.migrate()]
        finally:
            await database.stop()
        _show({"applied": applied}, as_json, "\n".join(applied) or "nothing to do: the schema is up to date")

    _run(work())


def _report(results: "list[tuple[str, bool, str]]", as_json: bool) -> None:
    """(what, fine, in words) of each check."""
    rows = [{"check": what, "ok": fine, "message": message} for what, fine, message in results]
    lines = [f"{'ok  ' if fine else 'FAIL'}  {what}: {message}" for what, fine, message in results]
    _show({"checks": rows}, as_json, "\n".join(lines))
    if not all(fine for _, fine, _ in results):
        raise SystemExit(FAILED)


def _table(lines: list[str], next_cursor: str | None) -> str:
    more = [f"more: --after {next_cursor}"] if next_cursor else []
    return "\n".join([*lines, *more]) or "none"


if __name__ == "__main__":
    main()
