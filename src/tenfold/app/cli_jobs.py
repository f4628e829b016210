"""`tenfold jobs`: background work as the operator sees it, of one tenant at a time."""

import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click
from msgspec import json

from tenfold.app.cli_parts import (
    FAILED,
    at_desk,
    configured,
    json_option,
    paged,
    read_json,
    run,
    show,
    table,
    tenant_option,
)

if TYPE_CHECKING:
    from tenfold.app.scheduling import Desk
    from tenfold.app.settings import Settings
    from tenfold.core.principal import Principal
    from tenfold.jobs.types import Job, JobEvent, QueueState

_kind = click.option("--kind", default=None, help="Of this kind alone.")


@click.group()
def jobs() -> None:
    """Background jobs: how far they are, what came of them, and those that failed for good."""


@jobs.command("list")
@tenant_option
@click.option(
    "--state",
    type=click.Choice(["queued", "running", "done", "failed", "cancelled"]),
    default=None,
    help="failed: the dead letters.",
)
@_kind
@paged
@json_option
@configured
def jobs_list(
    settings: "Settings",
    slug: str,
    state: str | None,
    kind: str | None,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """List a tenant's jobs, the newest first."""

    async def work(desk: "Desk", who: "Principal") -> None:
        page = await desk.given.jobs.list(who.tenant_id, state=state, kind=kind, cursor=after, limit=limit)
        told = {"items": [_told(each) for each in page.items], "cursor": page.cursor}
        show(told, as_json, table([_words(each) for each in page.items], page.cursor))

    at_desk(settings, slug, work)


@jobs.command("show")
@click.argument("job")
@tenant_option
@json_option
@configured
def jobs_show(settings: "Settings", job: str, slug: str, as_json: bool) -> None:
    """Show the job JOB: progress, attempts, cost, and why it failed if it did."""

    async def work(desk: "Desk", who: "Principal") -> None:
        found = await desk.given.jobs.get(who.tenant_id, _id(job))
        show(_told(found), as_json, "\n".join(_details(found)))

    at_desk(settings, slug, work)


@jobs.command("submit")
@click.argument("kind")
@click.argument("given", metavar="INPUT")
@tenant_option
@click.option("--priority", type=click.IntRange(0, 9), default=None, help="The larger goes first.")
@click.option("--delay", "delay_s", type=float, default=0.0, help="Not before so many seconds from now.")
@click.option("--key", default=None, help="Submitted twice with the same one, it is there once.")
@click.option("--follow", is_flag=True, help="Stay until it has ended, as `tenfold jobs follow` does.")
@json_option
@configured
def jobs_submit(
    settings: "Settings",
    kind: str,
    given: str,
    slug: str,
    priority: int | None,
    delay_s: float,
    key: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Submit a job of KIND with INPUT: JSON, @FILE, or - for standard input."""
    asked = read_json(given)

    async def work(desk: "Desk", who: "Principal") -> None:
        made = await desk.given.submissions.submit(who, kind, asked, priority=priority, delay_s=delay_s, key=key)
        show(_told(made), as_json, f"submitted {_words(made)}")
        if follow:
            await _follow(desk, who, made.id, 0, as_json)

    at_desk(settings, slug, work)


@jobs.command("follow")
@click.argument("job")
@click.option("--after", type=click.IntRange(0), default=0, help="From the event behind this one on.")
@tenant_option
@json_option
@configured
def jobs_follow(settings: "Settings", job: str, after: int, slug: str, as_json: bool) -> None:
    """Tell what happens to the job JOB until it has ended. Exit code 1 when it failed or was cancelled."""

    async def work(desk: "Desk", who: "Principal") -> None:
        await _follow(desk, who, _id(job), after, as_json)

    at_desk(settings, slug, work)


@jobs.command("input")
@click.argument("job")
@tenant_option
@configured
def jobs_input(settings: "Settings", job: str, slug: str) -> None:
    """Print what the job JOB was given, as it is."""

    async def work(desk: "Desk", who: "Principal") -> None:
        from tenfold.core.errors import NotFound

        data = await desk.given.jobs.input(who.tenant_id, _id(job))
        if data is None:
            found = await desk.given.jobs.get(who.tenant_id, _id(job))
            raise NotFound(f"The input is dropped once it is of no more use; the job is {found.state}.")
        _print(data)

    at_desk(settings, slug, work)


@jobs.command("result")
@click.argument("job")
@tenant_option
@configured
def jobs_result(settings: "Settings", job: str, slug: str) -> None:
    """Print what came of the job JOB, as it is. Exit code 1 while it has not ended, or when it failed."""

    async def work(desk: "Desk", who: "Principal") -> None:
        from tenfold.core.errors import Conflict

        found = await desk.given.jobs.get(who.tenant_id, _id(job))
        if found.state != "done":
            raise Conflict(f"The job is {found.state}: it has no result.")
        _print(await desk.given.jobs.result(who.tenant_id, found.id) or b"")

    at_desk(settings, slug, work)


@jobs.command("cancel")
@click.argument("job")
@tenant_option
@json_option
@configured
def jobs_cancel(settings: "Settings", job: str, slug: str, as_json: bool) -> None:
    """Cancel the job JOB. One that runs ends a moment later."""

    async def work(desk: "Desk", who: "Principal") -> None:
        cancelled = await desk.given.jobs.cancel(who.tenant_id, _id(job))
        words = "cancelled" if cancelled.state == "cancelled" else "is to be cancelled:"
        show(_told(cancelled), as_json, f"{words} {_words(cancelled)}")

    at_desk(settings, slug, work)


@jobs.command("redrive")
@click.argument("job", required=False)
@click.option("--all", "is_all", is_flag=True, help="All dead letters of the tenant.")
@_kind
@tenant_option
@json_option
@configured
def jobs_redrive(
    settings: "Settings", job: str | None, is_all: bool, kind: str | None, slug: str, as_json: bool
) -> None:
    """Try the dead letter JOB again, with all its attempts; or --all of them."""
    _one_or_all(job, is_all, kind)

    async def work(desk: "Desk", who: "Principal") -> None:
        if job is None:
            count = await desk.given.jobs.redrive_all(who.tenant_id, kind=kind)
            show({"redriven": count}, as_json, f"redriven: {count}")
            return
        again = await desk.given.jobs.redrive(who.tenant_id, _id(job))
        show(_told(again), as_json, f"redriven {_words(again)}")

    at_desk(settings, slug, work)


@jobs.command("discard")
@click.argument("job", required=False)
@click.option("--all", "is_all", is_flag=True, help="All dead letters of the tenant.")
@_kind
@tenant_option
@json_option
@configured
def jobs_discard(
    settings: "Settings", job: str | None, is_all: bool, kind: str | None, slug: str, as_json: bool
) -> None:
    """Delete the ended job JOB with all that is kept of it; or --all dead letters."""
    _one_or_all(job, is_all, kind)

    async def work(desk: "Desk", who: "Principal") -> None:
        if job is None:
            count = await desk.given.jobs.discard_all(who.tenant_id, kind=kind)
            show({"discarded": count}, as_json, f"discarded: {count}")
            return
        await desk.given.jobs.discard(who.tenant_id, _id(job))
        show({"discarded": job}, as_json, f"discarded {job}")

    at_desk(settings, slug, work)


@jobs.command("queue")
@click.option("--tenant", "slug", default=None, help="Of this tenant alone; default: of all.")
@json_option
@configured
def jobs_queue(settings: "Settings", slug: str | None, as_json: bool) -> None:
    """Tell how full the queues are, and how fast they are worked off."""
    from tenfold.app.scheduling import open_desk

    async def opened() -> None:
        async with open_desk(settings) as desk:
            owner = None if slug is None else (await desk.tenants.tenant(slug)).id
            state = await desk.given.jobs.state(owner)
            show(state, as_json, "\n".join(_queue_words(state, of_one=slug is not None)))

    run(opened())


# -- shared ----------------------------------------------------------------------------------


async def _follow(desk: "Desk", who: "Principal", job_id: UUID, after: int, as_json: bool) -> None:
    """Raises SystemExit when it did not end well."""
    from contextlib import aclosing

    from tenfold.jobs.names import job_name

    async with aclosing(desk.given.jobs.follow(who.tenant_id, job_id, after=after)) as events:
        async for event in events:
            click.echo(_event(event, as_json))
    found = await desk.given.jobs.get(who.tenant_id, job_id)
    if found.state != "done":
        click.echo(f"tenfold: {job_name(job_id)} {found.state}{_why(found)}", err=True)
        raise SystemExit(FAILED)


def _event(event: "JobEvent", as_json: bool) -> str:
    from tenfold.jobs.submissions import told

    data = told(event.data)
    if as_json:
        return json.encode({"id": event.seq, "event": event.kind, "data": data}).decode()
    if event.kind == "progress" and isinstance(data, dict):
        return f"{event.seq}  {_progress(data.get('stage', ''), data.get('done', 0), data.get('total'))}"
    return f"{event.seq}  {event.kind}  {event.data.decode('utf-8', 'replace')}"


def _id(name: str) -> UUID:
    from tenfold.core.errors import NotFound
    from tenfold.jobs.names import job_id_of

    found = job_id_of(name)
    if found is None:
        raise NotFound("There is no such job; it is job_ and 32 digits.")
    return found


def _one_or_all(job: str | None, is_all: bool, kind: str | None) -> None:
    if (job is None) is not is_all:
        raise click.UsageError("Give a job, or --all.")
    if kind is not None and not is_all:
        raise click.UsageError("--kind goes with --all.")


def _print(data: bytes) -> None:
    click.echo(data, nl=sys.stdout.isatty() and not data.endswith(b"\n"))


def _told(job: "Job") -> Any:
    """As the JSON API does."""
    from tenfold.console.jobs_api import job_body

    return job_body(job).model_dump(mode="json")


def _words(job: "Job") -> str:
    from tenfold.jobs.names import job_name

    progress = job.progress
    far = f"  {_progress(progress.stage, progress.done, progress.total)}" if job.state == "running" else ""
    return f"{job_name(job.id)}  {job.kind} {job.state} ({job.created_at:%Y-%m-%d %H:%M:%S}Z){far}{_why(job)}"


def _details(job: "Job") -> list[str]:
    from tenfold.core.money import format_usd

    lines = [
        _words(job),
        f"attempts {job.attempts} of {job.max_attempts}, {job.crashes} ended with their process",
        f"cost so far {format_usd(job.cost_nano)} USD, priority {job.priority}",
    ]
    if job.subject is not None:
        lines.append(f"works on {job.subject}")
    lines += [f"{name}: {value}" for name, value in sorted(job.facts.items())]
    if job.eta_s is not None:
        lines.append(f"ready in about {job.eta_s:.0f} s")
    if job.expires_at is not None:
        lines.append(f"kept until {job.expires_at:%Y-%m-%d %H:%M:%S}Z")
    return lines


def _progress(stage: str, done: int, total: int | None) -> str:
    far = f"{done}/{total}" if total is not None else str(done)
    return f"{stage} {far}".strip()


def _why(job: "Job") -> str:
    return "" if job.error_code is None else f": {job.error_code}: {job.error_message}"


def _queue_words(state: "QueueState", *, of_one: bool) -> list[str]:
    lines = [
        f"waiting {state.waiting}, the longest for {state.oldest_wait_s:.1f} s",
        f"not due yet {state.later}",
        f"running {state.running}",
        f"all workers: {state.workers}, with {state.slots} slots, {state.drain_per_s:.1f} jobs a second",
    ]
    if of_one:
        lines.append(f"dead letters {state.dead}")
    return lines
