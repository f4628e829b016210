"""The command line: help for everybody, JSON for scripts, and exit codes that mean something."""

import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from msgspec import json

from tenfold import __version__
from tenfold.app.cli import main
from tenfold.app.cli_parts import DATABASE_AWAY, FAILED, MISUSED
from tests.support.postgres import PostgresServer

NOBODY = "postgresql://tenfold:x@127.0.0.1:1/tenfold"


class Cli:
    """Runs commands in a folder of the test's own, on a database of its own."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.environment: dict[str, str | None] = {
            "TENFOLD_HOME": str(folder / "home"),
            "TENFOLD_CONFIG": None,
            "TENFOLD_BOOTSTRAP_KEY": None,
            "TENFOLD_DATABASE_URL": database,
        }

    def __call__(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, list(words), env=self.environment)
        assert result.exit_code == code, result.output + str(result.exception)
        assert "Traceback" not in result.output
        return result

    def json(self, *words: str, code: int = 0) -> Any:
        return json.decode(self(*words, "--json", code=code).stdout)

    def fails(self, *words: str, code: int) -> str:
        """What is said about it: one line on standard error."""
        result = self(*words, code=code)
        assert result.stdout == ""
        assert result.stderr.startswith("tenfold: ")
        assert result.stderr.count("\n") == 1
        return result.stderr

    def configure(self, text: str) -> None:
        (self.folder / "tenfold.toml").write_text(text)


@pytest.fixture
def cli(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path, database)


@pytest.fixture
async def empty_database(postgres_server: PostgresServer) -> AsyncIterator[str]:
    dsn = await postgres_server.create(migrated=False)
    yield dsn
    await postgres_server.drop(dsn)


@pytest.fixture
def cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Its database does not answer."""
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path, NOBODY)


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert re.search(r"\n\n  \S", result.output), "it says what it does"


def test_the_version(cut_off: Cli) -> None:
    assert cut_off("version").stdout == f"{__version__}\n"
    assert cut_off.json("version") == {"version": __version__}


# -- tenants and keys ------------------------------------------------------------------------


def test_tenants_are_created_and_listed(cli: Cli) -> None:
    created = cli.json("tenant", "create", "acme", "--name", "Acme Inc.")
    assert (created["slug"], created["name"]) == ("acme", "Acme Inc.")
    assert cli("tenant", "create", "beta").stdout.startswith("created tenant beta (")
    listed = cli.json("tenant", "list")
    assert [tenant["slug"] for tenant in listed["items"]] == ["acme", "beta"]
    assert "Acme Inc." in cli("tenant", "list").stdout


def test_a_tenant_is_put_on_a_plan_and_taken_off_it(cli: Cli) -> None:
    cli("tenant", "create", "acme")

    assert cli("tenant", "plan", "acme", "pro").stdout == "tenant acme is on the plan pro\n"
    assert " pro " in cli("tenant", "list").stdout
    assert cli.json("tenant", "list")["items"][0]["plan"] == "pro"
    assert cli("tenant", "plan", "acme", "--none").stdout == "tenant acme is on no plan\n"
    assert cli.json("tenant", "plan", "acme", "free")["plan"] == "free"
    cli("tenant", "plan", "acme", code=MISUSED)
    cli("tenant", "plan", "acme", "pro", "--none", code=MISUSED)
    assert "no tenant 'nobody'" in cli.fails("tenant", "plan", "nobody", "pro", code=FAILED)
    assert "A plan's name" in cli.fails("tenant", "plan", "acme", "Pro!", code=FAILED)


def test_pages_follow_each_other(cli: Cli) -> None:
    for slug in ("a1", "b1", "c1"):
        cli("tenant", "create", slug)
    first = cli.json("tenant", "list", "--limit", "2")
    assert [tenant["slug"] for tenant in first["items"]] == ["a1", "b1"]
    rest = cli.json("tenant", "list", "--after", first["cursor"])
    assert [tenant["slug"] for tenant in rest["items"]] == ["c1"]
    assert f"more: --after {first['cursor']}" in cli("tenant", "list", "--limit", "2").stdout
    cli("tenant", "list", "--limit", "100")
    cli("tenant", "list", "--limit", "101", code=MISUSED)


def test_a_key_is_shown_once_and_revoked(cli: Cli) -> None:
    cli("tenant", "create", "acme")
    secret = cli("key", "create", "--tenant", "acme", "--name", "ci").stdout.strip()
    created = cli.json("key", "create", "--tenant", "acme", "--scope", "usage")
    assert created["key"]["scopes"] == ["usage"]
    listing = cli("key", "list", "--tenant", "acme").stdout
    assert secret not in listing
    assert created["secret"] not in listing
    assert listing.count("active") == 2
    revoked = cli.json("key", "revoke", created["key"]["id"], "--tenant", "acme")
    assert revoked["revoked_at"]
    assert cli("key", "list", "--tenant", "acme").stdout.count("active") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("tenant", "create", "Not A Slug"),
        ("key", "create", "--tenant", "nobody"),
        ("key", "list", "--tenant", "nobody"),
        ("key", "revoke", "not-an-id"),
        ("key", "create", "--tenant", "default", "--scope", "everything"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_told(cli: Cli, words: tuple[str, ...]) -> None:
    cli("tenant", "create", "default")
    assert len(cli.fails(*words, code=FAILED)) > 20


def test_a_slug_is_taken_once(cli: Cli) -> None:
    cli("tenant", "create", "acme")
    assert "taken" in cli.fails("tenant", "create", "acme", code=FAILED)


# -- database --------------------------------------------------------------------------------


def test_a_schema_is_brought_up_to_date_once(cli: Cli, empty_database: str) -> None:
    cli.environment["TENFOLD_DATABASE_URL"] = empty_database
    assert "run `tenfold db migrate`" in cli("doctor", code=FAILED).stdout
    assert len(cli.json("db", "migrate")["applied"]) > 0
    assert cli("db", "migrate").stdout == "nothing to do: the schema is up to date\n"
    assert "the schema is up to date" in cli("doctor").stdout


@pytest.mark.parametrize(
    "words", [("tenant", "list"), ("key", "create"), ("db", "migrate"), ("up", "--port", "0")], ids=" ".join
)
def test_a_database_that_is_away_has_its_own_code(cut_off: Cli, words: tuple[str, ...]) -> None:
    assert "database" in cut_off.fails(*words, code=DATABASE_AWAY).lower()


# -- configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("tenant", "list"), ("doctor",), ("up",), ("provider", "check")], ids=" ".join)
def test_a_configuration_that_cannot_be_used_is_told_with_its_line(cut_off: Cli, words: tuple[str, ...]) -> None:
    cut_off.configure("[server]\nprot = 1\n")
    assert "tenfold.toml:2: unknown key server.prot; did you mean port?" in cut_off.fails(*words, code=MISUSED)


def test_a_configuration_can_be_named(cut_off: Cli) -> None:
    assert "no such file" in cut_off.fails("tenant", "list", "--config", "nowhere.toml", code=MISUSED)


def test_a_provider_key_that_is_not_there_stops_the_start(cut_off: Cli) -> None:
    """Before the database and before any worker: told once, as a mistake in the configuration."""
    cut_off.configure('[providers.main]\nkind = "openai"\nbase_url = "http://h/v1"\napi_key = "env:NO_SUCH_VARIABLE"\n')
    assert "NO_SUCH_VARIABLE, which is not set" in cut_off.fails("up", "--port", "0", code=MISUSED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[providers.main]\nkind = "openai"\nbase_url = "ftp://h"\n', "providers.main"),
        ('[telemetry]\notlp_endpoint = "collector:4318"\n', "telemetry.otlp_endpoint"),
    ],
)
def test_an_address_that_is_none_stops_the_start(cut_off: Cli, text: str, said: str) -> None:
    cut_off.configure(text)
    assert said in cut_off.fails("up", "--port", "0", code=MISUSED)


def test_a_port_in_use_is_told(cut_off: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another with TENFOLD_SERVER_PORT or --port" in cut_off.fails("up", "--port", port, code=FAILED)


def test_a_file_of_input_that_is_named_without_its_sign_is_told(cut_off: Cli) -> None:
    assert "A file is named as @FILE" in cut_off("jobs", "submit", "call", "call.json", code=MISUSED).stderr


# -- checks ----------------------------------------------------------------------------------


def test_providers_are_checked(cli: Cli) -> None:
    cli.configure(
        '[providers.away]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n[providers.here]\nkind = "offline"\n'
    )
    checks = cli.json("provider", "check", code=FAILED)["checks"]
    assert [(check["check"], check["ok"]) for check in checks] == [("provider away", False), ("provider here", True)]
    assert [check["check"] for check in cli.json("provider", "check", "here")["checks"]] == ["provider here"]
    assert cli("provider", "check", "away", code=FAILED).stdout.startswith("FAIL  provider away: ")
    assert "known: away, here" in cli.fails("provider", "check", "nowhere", code=MISUSED)


def test_without_a_provider_the_offline_models_are_checked(cli: Cli) -> None:
    [check] = cli.json("provider", "check")["checks"]
    assert (check["check"], check["ok"]) == ("provider offline", True)
    assert "offline-granite-30m" in check["message"]


def test_the_doctor_finds_everything_in_order(cli: Cli) -> None:
    checks = cli.json("doctor")["checks"]
    assert [check["check"] for check in checks] == ["python", "disk", "prices", "database", "provider offline"]
    assert all(check["ok"] for check in checks)


def test_the_doctor_names_models_without_a_price(cli: Cli) -> None:
    cli.configure(
        '[providers.main]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n[models.mine]\nprovider = "main"\n'
    )
    output = cli("doctor", code=FAILED).stdout
    assert "FAIL  price of mine: nobody knows what it costs at main" in output
    assert '[models."mine"] price' in output


def test_the_doctor_says_what_is_wrong_and_looks_on(cut_off: Cli) -> None:
    cut_off.configure('[providers.main]\nkind = "openai"\nbase_url = "http://h/v1"\napi_key = "env:NO_SUCH_VARIABLE"\n')
    output = cut_off("doctor", code=FAILED).stdout
    assert "ok    python" in output
    assert "FAIL  database" in output
    assert "FAIL  providers: providers.main: api_key points to" in output
