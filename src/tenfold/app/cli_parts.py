"""What the commands share: their settings, their exit codes, and how they print. Imports late, to start fast."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from msgspec import DecodeError, json

from tenfold.core.errors import StoreUnavailable, TenfoldError

if TYPE_CHECKING:
    from tenfold.app.scheduling import Desk
    from tenfold.app.settings import Settings
    from tenfold.core.principal import Principal

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
            fail(str(error), MISUSED)
        except StoreUnavailable as error:
            fail(error.message, DATABASE_AWAY)
        except (TenfoldError, OSError) as error:
            fail(error.message if isinstance(error, TenfoldError) else str(error), FAILED)

    return wrapper  # type: ignore[return-value]  # the same command, with two options more


def fail(message: str, code: int) -> NoReturn:
    click.echo(f"tenfold: {message}", err=True)
    raise SystemExit(code)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def show(value: Any, as_json: bool, text: str) -> None:
    click.echo(json.format(json.encode(value), indent=2).decode() if as_json else text)


def table(lines: list[str], next_cursor: str | None) -> str:
    more = [f"more: --after {next_cursor}"] if next_cursor else []
    return "\n".join([*lines, *more]) or "none"


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
tenant_option = click.option("--tenant", "slug", default="default", show_default=True, help="Whose.")
page_options = (
    click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True, help="Rows at most."),
    click.option("--after", default=None, help="Go on after this row (`cursor` of the page before)."),
)


def paged(command: F) -> F:
    for option in page_options:
        command = option(command)
    return command


def read_json(given: str) -> Any:
    """JSON as it stands, of @FILE, or of standard input."""
    try:
        if given == "-":
            data = sys.stdin.buffer.read()
        elif given.startswith("@"):
            data = Path(given[1:]).read_bytes()
        else:
            data = given.encode()
        return json.decode(data)
    except OSError as error:
        raise click.UsageError(f"INPUT: {error}") from None
    except (DecodeError, ValueError) as error:
        hint = "" if given == "-" or given.startswith("@") else " A file is named as @FILE, standard input as -."
        raise click.UsageError(f"INPUT is no JSON: {error}.{hint}") from None


def at_desk(settings: "Settings", slug: str, work: Callable[["Desk", "Principal"], Awaitable[None]]) -> None:
    """Work on jobs and schedules, on behalf of a tenant."""
    from tenfold.app.scheduling import open_desk

    async def opened() -> None:
        async with open_desk(settings) as desk:
            await work(desk, await desk.principal(slug))

    run(opened())


def _settings(home: Path, config: Path | None, options: dict[str, Any]) -> "Settings":
    """Takes out of `options` what is a setting."""
    from tenfold.app.settings import environment, load

    if config is None and Path("tenfold.toml").exists():
        config = Path("tenfold.toml")
    server = {key: options.pop(key) for key in ("host", "port", "workers") if key in options}
    given = {key: value for key, value in server.items() if value is not None}
    return load(config, home.expanduser().absolute(), environment(), {"server": given})
