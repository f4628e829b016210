"""`tenfold chaos`: break it on purpose and look whether its promises hold. Nothing of an installation is touched."""

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import json

T = TypeVar("T")

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


@click.group()
def chaos() -> None:
    """Break a Tenfold of its own on purpose, and audit it."""


@chaos.command()
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=3, show_default=True, help="How long.")
@click.option("--seconds", type=click.FloatRange(min=1), default=None, help="How long, in place of --minutes.")
@click.option("--calls", type=click.IntRange(0), default=0, help="Go on until the provider served so many, too.")
@click.option("--processes", type=click.IntRange(1, 64), default=4, show_default=True, help="Serving processes.")
@click.option("--clients", type=click.IntRange(1, 1000), default=24, show_default=True, help="Clients at once.")
@click.option("--seed", type=int, default=None, help="Repeats the faults of an earlier run.  [default: a new one]")
@click.option("--postgres", is_flag=True, help="Kill Postgres once, too.")
@click.option("--recovery", type=click.FloatRange(min=1), default=120, show_default=True, help="Seconds to come right.")
@click.option("--keep", is_flag=True, help="Keep the folder of the run: database, log, the provider's bill.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def money(
    minutes: float,
    seconds: float | None,
    calls: int,
    processes: int,
    clients: int,
    seed: int | None,
    postgres: bool,
    recovery: float,
    keep: bool,
    as_json: bool,
) -> None:
    """Kill processes, cut streams and exhaust budgets for a while; then hold the ledger against the provider's bill.

    Runs in a scratch folder with a database, a port and a scripted provider of its own, and leaves nothing behind. Exit
    code 0 only when every amount is right: no budget overshot, no call unsettled, no Idempotency-Key charged twice, and
    provider and ledger equal to the nano-dollar.
    """
    from tenfold.app.chaos.report import text
    from tenfold.app.chaos.run import Options, chaos_money, new_seed
    from tenfold.core.errors import TenfoldError

    options = Options(
        seconds=60 * minutes if seconds is None else seconds,
        calls=calls,
        processes=processes,
        seed=new_seed() if seed is None else seed,
        clients=clients,
        postgres=postgres,
        keep=keep,
        recovery_s=recovery,
    )

    try:
        report = asyncio.run(_interruptible(chaos_money(options, _progress)))
    except asyncio.CancelledError:
        raise SystemExit(INTERRUPTED) from None
    except TenfoldError as error:
        click.echo(f"tenfold: {error.message}", err=True)
        raise SystemExit(FAILED) from None
    click.echo(json.format(json.encode(report), indent=2).decode() if as_json else text(report))
    if not report.ok:
        raise SystemExit(FAILED)


@chaos.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port, 0 for a free one.")
@click.option("--fault", "faults", multiple=True, metavar="SPEC", help="What goes wrong: status=503@0.2. Repeatable.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed brings the same faults.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def provider(host: str, port: int, faults: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Run a model provider that goes wrong as it is told to, until SIGINT or SIGTERM.

    It speaks the dialects of OpenAI, Anthropic and Gemini and answers every call well unless a fault is set: with
    --fault, by the model's name (fault:mid-stream-cut), or while it runs (PUT /_faults). Prints its base URL in one
    line; for OpenAI's SDK, add /v1.
    """
    import uvloop

    from tenfold.app.faults import FaultSpecError, FaultyProvider

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with FaultyProvider(",".join(faults) or "none", seed=seed, host=host, port=port) as running:
            told = {"url": running.url, "openai_url": running.openai_url}
            click.echo(json.encode(told).decode() if as_json else running.url)
            await stop.wait()

    try:
        uvloop.run(work())
    except FaultSpecError as error:
        click.echo(f"tenfold: --fault: {error}", err=True)
        raise SystemExit(MISUSED) from None
    except OSError as error:
        click.echo(f"tenfold: {error}", err=True)
        raise SystemExit(FAILED) from None


@chaos.command()
@click.option("--quick", is_flag=True, help="Some faults and little load, and no judgement of times.")
@click.option("--only", type=click.Choice(["matrix", "load"]), default=None, help="One half of the run.")
@click.option("--seed", type=int, default=None, help="Repeats the faults of an earlier run.  [default: a new one]")
@click.option(
    "--write-tables",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="Put the tables into this Markdown file, between its markers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def providers(quick: bool, only: str | None, seed: int | None, file: Path | None, as_json: bool) -> None:
    """Make providers fail in every way there is, and look at what clients get.

    First the matrix: each fault of `tenfold chaos provider`, each dialect, whole and streamed, each policy. Then load:
    a primary provider that goes down and comes back, and one that is offered four times what it can take. Runs in a
    scratch folder with a database, ports and providers of its own, and leaves nothing behind. Exit code 0 only when
    nothing was cut in silence, hung, or failed without a typed error, and the figures are as promised.
    """
    import uvloop

    from tenfold.app.chaos.outages.report import tables, text
    from tenfold.app.chaos.outages.run import Options, chaos_providers
    from tenfold.app.chaos.run import new_seed
    from tenfold.app.chaos.tables import write_into
    from tenfold.core.errors import TenfoldError

    options = Options(
        seed=new_seed() if seed is None else seed, quick=quick, with_matrix=only != "load", with_load=only != "matrix"
    )
    try:
        run = uvloop.run(_interruptible(chaos_providers(options, _progress)))
        if file is not None:
            write_into(file, tables(run.report, run.results))
    except asyncio.CancelledError:
        raise SystemExit(INTERRUPTED) from None
    except (TenfoldError, ValueError, OSError) as error:
        click.echo(f"tenfold: {error.message if isinstance(error, TenfoldError) else error}", err=True)
        raise SystemExit(FAILED) from None
    click.echo(json.format(json.encode(run.report), indent=2).decode() if as_json else text(run.report))
    if not run.report.ok:
        raise SystemExit(FAILED)


@chaos.command()
@click.option("--jobs", "count", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="How many.")
@click.option("--processes", type=click.IntRange(1, 64), default=3, show_default=True, help="Serving processes.")
@click.option("--seed", type=int, default=None, help="Repeats the faults of an earlier run.  [default: a new one]")
@click.option("--plain-provider", is_flag=True, help="A provider that does not heed Idempotency-Key.")
@click.option("--no-postgres", is_flag=True, help="Leave Postgres alive.")
@click.option(
    "--write-tables",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="Put the table into this Markdown file, between its markers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def jobs(
    count: int,
    processes: int,
    seed: int | None,
    plain_provider: bool,
    no_postgres: bool,
    file: Path | None,
    as_json: bool,
) -> None:
    """Kill the processes that do jobs, and Postgres, all the while; then look what became of every job.

    Exit code 0 only when every job that was accepted has ended with its own answer, and the provider was paid once for
    each: lost 0, stuck 0, paid twice 0, and its bill and the ledger equal. With --plain-provider what was interrupted
    is not asked again, and stands among the dead letters. Runs in a scratch folder with a database, a port and a
    provider of its own, and leaves nothing behind.
    """
    import uvloop

    from tenfold.app.chaos.durability.report import table, text
    from tenfold.app.chaos.durability.run import Options, chaos_jobs
    from tenfold.app.chaos.run import new_seed
    from tenfold.app.chaos.tables import write_into
    from tenfold.core.errors import TenfoldError

    options = Options(
        jobs=count,
        processes=processes,
        seed=new_seed() if seed is None else seed,
        heeds=not plain_provider,
        postgres=not no_postgres,
    )
    try:
        report = uvloop.run(_interruptible(chaos_jobs(options, _progress)))
        if file is not None:
            write_into(file, {f"jobs, {'plain' if plain_provider else 'keyed'}": table(report)})
    except asyncio.CancelledError:
        raise SystemExit(INTERRUPTED) from None
    except (TenfoldError, ValueError, OSError) as error:
        click.echo(f"tenfold: {error.message if isinstance(error, TenfoldError) else error}", err=True)
        raise SystemExit(FAILED) from None
    click.echo(json.format(json.encode(report), indent=2).decode() if as_json else text(report))
    if not report.ok:
        raise SystemExit(FAILED)


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """SIGINT and SIGTERM cancel it, once."""
    task = asyncio.current_task()
    assert task is not None
    stop = asyncio.Event()

    def end() -> None:
        if not stop.is_set():  # asked twice, it still cleans up in peace
            stop.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    return await work


def _progress(line: str) -> None:
    click.echo(line, err=True)
