"""`tenfold schedule`: jobs at the times that a cron expression names."""

from typing import TYPE_CHECKING, Any

import click

from tenfold.app.cli_parts import (
    MISUSED,
    at_desk,
    configured,
    fail,
    json_option,
    paged,
    read_json,
    show,
    table,
    tenant_option,
)

if TYPE_CHECKING:
    from tenfold.app.scheduling import Desk
    from tenfold.app.settings import Settings
    from tenfold.core.principal import Principal
    from tenfold.jobs.schedules.types import Schedule

_zone_help = "Time zone, such as Europe/Berlin."
_missed_help = "What becomes of runs that passed while nothing ran."
_MISSED = click.Choice(["skip", "last", "all"])


@click.group()
def schedule() -> None:
    """Schedules: jobs made by cron, each run once however many processes there are."""


@schedule.command("create")
@click.argument("name")
@click.argument("cron")
@click.argument("kind")
@click.argument("given", metavar="INPUT")
@click.option("--zone", default="UTC", show_default=True, help=_zone_help)
@click.option("--missed", type=_MISSED, default="last", show_default=True, help=_missed_help)
@click.option("--paused", is_flag=True, help="Make nothing yet.")
@tenant_option
@json_option
@configured
def schedule_create(
    settings: "Settings",
    name: str,
    cron: str,
    kind: str,
    given: str,
    zone: str,
    missed: str,
    paused: bool,
    slug: str,
    as_json: bool,
) -> None:
    """Create the schedule NAME: at the times of CRON (five fields) a job of KIND with INPUT (JSON, @FILE, or -)."""
    asked = read_json(given)

    async def work(desk: "Desk", who: "Principal") -> None:
        made = await desk.given.schedules.create(
            who, name, cron=cron, zone=zone, kind=kind, asked=asked, missed=missed, paused=paused
        )
        show(_told(made), as_json, f"created {_words(made)}")

    at_desk(settings, slug, work)


@schedule.command("list")
@tenant_option
@paged
@json_option
@configured
def schedule_list(settings: "Settings", slug: str, limit: int, after: str | None, as_json: bool) -> None:
    """List a tenant's schedules, the newest first."""

    async def work(desk: "Desk", who: "Principal") -> None:
        page = await desk.given.schedules.list(who.tenant_id, cursor=after, limit=limit)
        told = {"items": [_told(each) for each in page.items], "cursor": page.cursor}
        show(told, as_json, table([_words(each) for each in page.items], page.cursor))

    at_desk(settings, slug, work)


@schedule.command("show")
@click.argument("schedule_id", metavar="SCHEDULE")
@tenant_option
@json_option
@configured
def schedule_show(settings: "Settings", schedule_id: str, slug: str, as_json: bool) -> None:
    """Show the schedule SCHEDULE and its next runs."""

    async def work(desk: "Desk", who: "Principal") -> None:
        from tenfold.jobs.schedules.handlers import next_runs

        found = await desk.given.schedules.find(who.tenant_id, schedule_id)
        runs = [f"next: {_local(at, found.zone)}" for at in next_runs(found)]
        last = [] if found.last_at is None else [f"last: {_local(found.last_at, found.zone)}"]
        show(_told(found), as_json, "\n".join([_words(found), *last, *runs]))

    at_desk(settings, slug, work)


@schedule.command("set")
@click.argument("schedule_id", metavar="SCHEDULE")
@click.option("--name", default=None, help="Another name.")
@click.option("--cron", default=None, help="Other times.")
@click.option("--zone", default=None, help=_zone_help)
@click.option("--input", "given", default=None, help="Another input: JSON, @FILE, or -.")
@click.option("--missed", type=_MISSED, default=None, help=_missed_help)
@tenant_option
@json_option
@configured
def schedule_set(
    settings: "Settings",
    schedule_id: str,
    name: str | None,
    cron: str | None,
    zone: str | None,
    given: str | None,
    missed: str | None,
    slug: str,
    as_json: bool,
) -> None:
    """Change the schedule SCHEDULE; what is not named stays."""
    asked = None if given is None else read_json(given)
    _change(settings, schedule_id, slug, as_json, "set", name=name, cron=cron, zone=zone, asked=asked, missed=missed)


@schedule.command("pause")
@click.argument("schedule_id", metavar="SCHEDULE")
@tenant_option
@json_option
@configured
def schedule_pause(settings: "Settings", schedule_id: str, slug: str, as_json: bool) -> None:
    """Make no jobs of SCHEDULE until it is resumed."""
    _change(settings, schedule_id, slug, as_json, "paused", paused=True)


@schedule.command("resume")
@click.argument("schedule_id", metavar="SCHEDULE")
@tenant_option
@json_option
@configured
def schedule_resume(settings: "Settings", schedule_id: str, slug: str, as_json: bool) -> None:
    """Go on with the next run of SCHEDULE; those of the pause were not missed."""
    _change(settings, schedule_id, slug, as_json, "resumed", paused=False)


@schedule.command("run")
@click.argument("schedule_id", metavar="SCHEDULE")
@tenant_option
@json_option
@configured
def schedule_run(settings: "Settings", schedule_id: str, slug: str, as_json: bool) -> None:
    """Make a job of SCHEDULE now, beside its runs."""

    async def work(desk: "Desk", who: "Principal") -> None:
        from tenfold.jobs.names import job_name

        job = job_name((await desk.given.schedules.run(who.tenant_id, schedule_id)).id)
        show({"job": job}, as_json, f"made {job}")

    at_desk(settings, slug, work)


@schedule.command("end")
@click.argument("schedule_id", metavar="SCHEDULE")
@tenant_option
@json_option
@configured
def schedule_end(settings: "Settings", schedule_id: str, slug: str, as_json: bool) -> None:
    """Remove the schedule SCHEDULE; jobs that it made stay."""

    async def work(desk: "Desk", who: "Principal") -> None:
        await desk.given.schedules.remove(who.tenant_id, schedule_id)
        show({"ended": schedule_id}, as_json, f"ended {schedule_id}")

    at_desk(settings, slug, work)


@schedule.command("next")
@click.argument("cron")
@click.option("--zone", default="UTC", show_default=True, help=_zone_help)
@click.option("--count", type=click.IntRange(1, 100), default=5, show_default=True, help="How many.")
@json_option
def schedule_next(cron: str, zone: str, count: int, as_json: bool) -> None:
    """Tell when CRON would run next. Needs no database."""
    from datetime import UTC, datetime
    from itertools import islice

    from tenfold.core.errors import InvalidRequest
    from tenfold.jobs.schedules.cron import Cron

    try:
        found = list(islice(Cron(cron, zone).after(datetime.now(UTC)), count))
    except InvalidRequest as error:
        fail(error.message, MISUSED)
    show({"next_runs": found}, as_json, "\n".join(_local(at, zone) for at in found) or "never")


# -- shared ----------------------------------------------------------------------------------


def _change(settings: "Settings", schedule_id: str, slug: str, as_json: bool, done: str, **given: Any) -> None:
    async def work(desk: "Desk", who: "Principal") -> None:
        changed = await desk.given.schedules.change(who.tenant_id, schedule_id, **given)
        show(_told(changed), as_json, f"{done} {_words(changed)}")

    at_desk(settings, slug, work)


def _told(schedule: "Schedule") -> Any:
    """As the JSON API does."""
    from tenfold.console.schedules_api import schedule_body

    return schedule_body(schedule).model_dump(mode="json")


def _words(schedule: "Schedule") -> str:
    from tenfold.jobs.schedules.handlers import schedule_name

    if schedule.paused:
        state = "paused"
    else:
        state = "never again" if schedule.next_at is None else f"next {_local(schedule.next_at, schedule.zone)}"
    failure = f"; the last run became no job: {schedule.error}" if schedule.error else ""
    when = f"{schedule.cron} ({schedule.zone})"
    return f"{schedule_name(schedule.id)}  {schedule.name}: {schedule.kind} at {when}, {state}{failure}"


def _local(at: Any, zone: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %z}"
    except ZoneInfoNotFoundError:
        return f"{at:%Y-%m-%d %H:%M}Z"
