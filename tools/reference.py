"""Writes docs/reference from the code: settings, commands, metrics, errors. `make docs` runs it, a test compares."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tenfold.app import settings
from tenfold.app.cli import main as command_line
from tenfold.app.telemetry.metrics import HELP
from tenfold.core import errors

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"


def settings_page() -> str:
    """One table a settings table."""
    lines = [
        "# Settings",
        "",
        "One file, `tenfold.toml`; each key also by environment as `TENFOLD_<TABLE>_<KEY>`, which wins over the file.",
        "Named tables take their name in between: `TENFOLD_PROVIDERS_MAIN_BASE_URL`. `TENFOLD_CONFIG` and",
        "`TENFOLD_HOME` stand for `--config` and `--home`; `TENFOLD_BOOTSTRAP_KEY` makes that key valid for the tenant",
        "`default`.",
        "Tables inside a table (`targets`, `price`, `default_price`, `otlp_headers`) stand in the file only.",
        "A key that is unknown or of the wrong type stops the start with its line and the nearest valid name.",
    ]
    table = ""
    for key, kind, default, meaning in settings.describe():
        owner, _, name = key.rpartition(".")
        if owner != table:
            table = owner
            lines += ["", f"## [{owner}]", "", "| key | type | default | meaning |", "|---|---|---|---|"]
        lines.append(f"| `{name}` | {_cell(kind)} | {_cell(f'`{default}`')} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    lines = [
        "# Commands",
        "",
        "Every command has `--help`; those that scripts read have `--json`. Exit codes: 0 done, 1 failed (the message",
        "says why), 2 wrong usage or configuration, 3 the database is away.",
    ]
    for path, command in _commands(command_line, "tenfold"):
        lines += ["", f"## {path}", "", command.help or ""]
        rows = [_option(parameter) for parameter in command.params if isinstance(parameter, click.Option)]
        if rows:
            lines += ["", "| option | meaning |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    lines = [
        "# Metrics",
        "",
        "`GET /metrics` in the Prometheus text format, summed over all serving processes. Names after the",
        "OpenTelemetry conventions for generative AI where they have one.",
        "",
        "| metric | type | meaning |",
        "|---|---|---|",
        *(f"| `{name}` | {kind} | {_cell(meaning)} |" for name, (kind, meaning) in HELP.items()),
    ]
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    lines = [
        "# Errors",
        "",
        "On `/v1/*` an error has the shape of the dialect that was spoken; on `/api/v1` it is problem+json (RFC 9457).",
        "An error of a provider keeps its status. `Retry-After` is set where waiting helps.",
        "",
        "| code | status | retry | meaning |",
        "|---|---|---|---|",
    ]
    for kind in sorted(_errors(errors.TenfoldError), key=lambda kind: (kind.status, kind.code)):
        meaning = (kind.__doc__ or "").split("\n")[0]
        lines.append(f"| `{kind.code}` | {kind.status} | {'yes' if kind.retryable else 'no'} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    return {
        FOLDER / "settings.md": settings_page(),
        FOLDER / "commands.md": commands_page(),
        FOLDER / "metrics.md": metrics_page(),
        FOLDER / "errors.md": errors_page(),
    }


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _commands(child, f"{path} {name}")
        return
    arguments = " ".join(
        f"[{p.human_readable_name}]" if not p.required else p.human_readable_name
        for p in command.params
        if isinstance(p, click.Argument)
    )
    yield f"{path} {arguments}".strip(), command


def _option(option: click.Option) -> str:
    return f"| `{', '.join(option.opts)}` | {_cell(option.help or '')} |"


def _errors(kind: type[errors.TenfoldError]) -> Iterator[type[errors.TenfoldError]]:
    """Those of the error tree; other parts' own errors are told as the one they descend from."""
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _errors(child)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
