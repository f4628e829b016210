"""`tenfold budget` and `tenfold limit`: what the operator sets, on a database of its own."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from msgspec import json

from tenfold.app.cli import main as command_line
from tenfold.app.cli_budget import budget
from tenfold.app.cli_limit import limit
from tenfold.app.cli_parts import DATABASE_AWAY, FAILED, MISUSED

NOBODY = "postgresql://tenfold:x@127.0.0.1:1/tenfold"
NO_SUCH = "01a1fa29-1de3-7529-8b96-ba00e3ae355d"

main = click.Group(commands={"budget": budget, "limit": limit, "tenant": command_line.commands["tenant"]})


class Cli:
    """Runs commands in a folder of the test's own; the tenant `default` is there."""

    def __init__(self, folder: Path, database: str) -> None:
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

    def json(self, *words: str) -> Any:
        return json.decode(self(*words, "--json").stdout)

    def fails(self, *words: str, code: int = FAILED) -> str:
        result = self(*words, code=code)
        assert result.stdout == ""
        assert code == MISUSED or result.stderr.startswith("tenfold: ")
        return result.stderr


@pytest.fixture
def cli(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    runner = Cli(tmp_path, database)
    runner("tenant", "create", "default")
    return runner


# -- budgets ---------------------------------------------------------------------------------


def test_a_budget_is_created_listed_changed_shown_and_ended(cli: Cli) -> None:
    said = cli(
        "budget", "create", "--per", "feature", "--subject", "search", "--period", "day", "--usd", "25.50"
    ).stdout
    assert said.startswith("created budget ")
    assert said.endswith(": feature search: 25.5 USD a day, hard, alerts at 80 %, 100 %\n")
    (line,) = cli.json("budget", "list")["items"]
    assert (line["budget"]["limit_nano"], line["budget"]["owner"]) == (25_500_000_000, "operator")
    budget_id = line["budget"]["id"]

    listed = cli("budget", "list").stdout
    assert f"{budget_id}  operator  feature search: 25.5 USD a day" in listed
    assert "search: spent 0, held 0, left 25.5 USD, until " in listed
    assert cli("budget", "show", budget_id).stdout == listed
    assert cli.json("budget", "show", budget_id)["states"][0]["settled_nano"] == 0

    changed = cli("budget", "change", budget_id, "--usd", "30", "--soft", "--alert", "50").stdout
    assert changed.endswith("feature search: 30 USD a day, soft, alerts at 50 %\n")
    changed = cli("budget", "change", budget_id, "--hard").stdout
    assert changed.endswith("feature search: 30 USD a day, hard, alerts at 50 %\n")
    assert cli.json("budget", "end", budget_id) == {"ended": budget_id}
    assert cli("budget", "list").stdout == "none\n"
    assert "no such budget" in cli.fails("budget", "end", budget_id)
    assert "no such budget" in cli.fails("budget", "show", budget_id)


def test_pages_of_budgets_follow_each_other(cli: Cli) -> None:
    for feature in ("a", "b", "c"):
        cli("budget", "create", "--per", "feature", "--subject", feature, "--usd", "1")
    first = cli.json("budget", "list", "--limit", "2")
    rest = cli.json("budget", "list", "--after", first["cursor"])
    shown = [line["budget"]["subject"] for line in first["items"] + rest["items"]]
    assert (sorted(shown), rest["cursor"]) == (["a", "b", "c"], None)
    assert f"more: --after {first['cursor']}" in cli("budget", "list", "--limit", "2").stdout


@pytest.mark.parametrize("amount", ["-1", "NaN", "1e9", "5 EUR", "$5", "1,50", "0.0000000001", "9" * 25])
def test_an_amount_that_is_none_is_told(cli: Cli, amount: str) -> None:
    assert "Traceback" not in cli.fails("budget", "create", f"--usd={amount}")
    assert cli("budget", "list").stdout == "none\n"


@pytest.mark.parametrize(
    "words",
    [
        ("budget", "create", "--tenant", "nobody", "--usd", "1"),
        ("budget", "create", "--subject", "x", "--usd", "1"),
        ("budget", "create", "--per", "key", "--subject", "not-an-id", "--usd", "1"),
        ("budget", "create", "--usd", "1", "--alert", "0"),
        ("budget", "change", NO_SUCH, "--usd", "1"),
        ("budget", "change", "nonsense", "--usd", "1"),
        ("budget", "end", NO_SUCH),
        ("budget", "show", "nonsense"),
        ("budget", "list", "--after", "nonsense"),
        ("limit", "create", "--requests", "0"),
        ("limit", "create", "--usd", "5 EUR"),
        ("limit", "create", "--requests", "1", "--burst", "many"),
        ("limit", "create", "--concurrency", "1", "--burst", "1"),
        ("limit", "create", "--tenant", "nobody", "--requests", "1"),
        ("limit", "end", NO_SUCH),
        ("limit", "end", "nonsense"),
        ("limit", "weight", "0"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_told(cli: Cli, words: tuple[str, ...]) -> None:
    assert len(cli.fails(*words)) > 20


@pytest.mark.parametrize(
    "words",
    [
        ("budget", "create"),
        ("budget", "create", "--usd", "1", "--period", "week"),
        ("budget", "create", "--usd", "1", "--per", "team"),
        ("limit", "create"),
        ("limit", "create", "--requests", "1", "--tokens", "1"),
        ("limit", "create", "--requests", "1.5"),
        ("limit", "list", "--limit", "101"),
    ],
    ids=" ".join,
)
def test_wrong_usage_has_its_own_code(cli: Cli, words: tuple[str, ...]) -> None:
    cli.fails(*words, code=MISUSED)


# -- limits ----------------------------------------------------------------------------------


def test_a_limit_is_created_listed_and_ended(cli: Cli) -> None:
    said = cli("limit", "create", "--per", "key", "--requests", "600", "--burst", "60").stdout
    assert said.endswith(": key *: 600 requests a minute\n")
    cli("limit", "create", "--per", "end_user", "--subject", "u-1", "--usd", "0.50", "--every", "hour")
    cli("limit", "create", "--concurrency", "8")
    listed = cli("limit", "list").stdout
    for words in ("key *: 600 requests a minute", "end_user u-1: 0.5 usd an hour", "tenant *: 8 concurrency"):
        assert words in listed
    items = cli.json("limit", "list")["items"]
    assert {item["owner"] for item in items} == {"operator"}
    assert {item["burst"] for item in items} == {60, None}
    for item in items:
        cli("limit", "end", item["id"])
    assert cli("limit", "list").stdout == "none\n"


def test_a_weight_is_set(cli: Cli) -> None:
    assert cli("limit", "weight", "3").stdout == "default has the weight 3\n"


# -- the database ----------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("budget", "list"), ("limit", "list")], ids=" ".join)
def test_a_database_that_is_away_has_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "database" in Cli(tmp_path, NOBODY).fails(*words, code=DATABASE_AWAY).lower()
