"""The `tenfold` command. Imports what a command needs when it runs, so that `--help` and `version` are instant.

Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage or configuration, 3 the database is away.
"""

from typing import TYPE_CHECKING

import click

from tenfold import __version__
from tenfold.app.cli_budget import budget
from tenfold.app.cli_chaos import chaos
from tenfold.app.cli_flag import flag, kill
from tenfold.app.cli_index import index
from tenfold.app.cli_jobs import jobs
from tenfold.app.cli_limit import limit
from tenfold.app.cli_parts import FAILED, configured, fail, json_option, paged, run, show, table
from tenfold.app.cli_report import report
from tenfold.app.cli_route import route
from tenfold.app.cli_schedule import schedule
from tenfold.app.cli_webhook import webhook

if TYPE_CHECKING:
    from tenfold.app.settings import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tenfold")
def main() -> None:
    """Tenfold: the backbone of an AI-powered SaaS. `tenfold up` starts it; the README says the rest."""


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
        fail(str(error), FAILED)


@main.command()
@click.option("--processes", type=click.IntRange(1, 256), default=1, show_default=True, help="Worker processes.")
@configured
def worker(settings: "Settings", processes: int) -> None:
    """Do jobs until stopped, beside serving processes with the same database; serve nothing."""
    from tenfold.app.server import work_off
    from tenfold.app.supervisor import StartFailed

    try:
        work_off(settings, processes)
    except StartFailed as error:
        fail(str(error), FAILED)


@main.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version."""
    show({"version": __version__}, as_json, __version__)


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
            show(created, as_json, f"created tenant {created.slug} ({created.id})")

    run(work())


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
            lines = [f"{item.slug:<30} {item.id}  {item.plan or '-':<12} {item.name}" for item in page.items]
            show(page, as_json, table(lines, page.cursor))

    run(work())


@tenant.command("plan")
@click.argument("slug")
@click.argument("plan", required=False)
@click.option("--none", "is_none", is_flag=True, help="Take the tenant off its plan.")
@json_option
@configured
def tenant_plan(settings: "Settings", slug: str, plan: str | None, is_none: bool, as_json: bool) -> None:
    """Put the tenant SLUG on PLAN, which rules of routes go by; running processes follow within a second."""
    from tenfold.app.admin import open_access

    if (plan is None) is not is_none:
        raise click.UsageError("Give a plan, or --none.")

    async def work() -> None:
        async with open_access(settings) as access:
            changed = await access.tenants.set_plan(slug, plan)
            words = "on no plan" if changed.plan is None else f"on the plan {changed.plan}"
            show(changed, as_json, f"tenant {changed.slug} is {words}")

    run(work())


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
            show({"secret": created.secret, "key": created.key}, as_json, created.secret)

    run(work())


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
            show(page, as_json, table(lines, page.cursor))

    run(work())


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
            show(revoked, as_json, f"revoked {revoked.id}")

    run(work())


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

    _report(run(check_providers(settings, name)), as_json)


@main.command()
@json_option
@configured
def doctor(settings: "Settings", as_json: bool) -> None:
    """Check everything Tenfold needs, and say what to do about what is missing. Exit code 1 when something is."""
    from tenfold.app.checks import check_everything

    _report(run(check_everything(settings)), as_json)


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
        show({"applied": applied}, as_json, "\n".join(applied) or "nothing to do: the schema is up to date")

    run(work())


def _report(results: "list[tuple[str, bool, str]]", as_json: bool) -> None:
    """(what, fine, in words) of each check."""
    rows = [{"check": what, "ok": fine, "message": message} for what, fine, message in results]
    lines = [f"{'ok  ' if fine else 'FAIL'}  {what}: {message}" for what, fine, message in results]
    show({"checks": rows}, as_json, "\n".join(lines))
    if not all(fine for _, fine, _ in results):
        raise SystemExit(FAILED)


for more in (budget, limit, report, chaos, flag, kill, route, jobs, schedule, webhook, index):
    main.add_command(more)


if __name__ == "__main__":
    main()
