"""`tenfold flag` and `tenfold kill`: what the operator sets for all tenants and for one, on a database of its own."""

import json
from pathlib import Path

import pytest

from tenfold.app.cli_flag import flag, kill
from tenfold.app.cli_parts import DATABASE_AWAY, FAILED, MISUSED
from tests.app import test_cli_budget
from tests.app.test_cli_budget import NO_SUCH, NOBODY, Cli


@pytest.fixture
def cli(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    for command in (flag, kill):
        monkeypatch.setitem(test_cli_budget.main.commands, str(command.name), command)
    monkeypatch.chdir(tmp_path)
    runner = Cli(tmp_path, database)
    runner("tenant", "create", "default")
    return runner


def test_a_flag_is_created_listed_shown_set_evaluated_and_ended(cli: Cli) -> None:
    said = cli("flag", "create", "beta", "--description", "New things", "--reason", "a try").stdout
    assert said == "created flag beta: boolean, enabled, default off, 0 rules, of all\n"
    assert cli("flag", "evaluate", "beta").stdout == "false  (off, STATIC)\n"
    assert cli("flag", "list").stdout == "beta: boolean, enabled, default off, 0 rules, of all\n"

    rule = json.dumps({"conditions": [{"attribute": "plan", "equals": "pro"}], "variant": "on"})
    said = cli("flag", "set", "beta", "--rule", rule).stdout
    assert said == "set flag beta: boolean, enabled, default off, 1 rule, of all\n"
    assert '"attribute": "plan"' in cli("flag", "show", "beta").stdout
    assert cli("flag", "evaluate", "beta", "--context", "plan=pro").stdout == "false  (off, DEFAULT)\n"  # its own word

    cli("flag", "set", "beta", "--split", "on=100,off=0", "--by", "user")
    assert cli("flag", "evaluate", "beta", "--context", "user=ada").stdout == "true  (on, SPLIT)\n"
    told = cli.json("flag", "evaluate", "beta", "--context", "user=7")
    assert told == {
        "key": "beta",
        "value": True,
        "variant": "on",
        "reason": "SPLIT",
        "error_code": None,
        "error_details": None,
    }
    failed = cli("flag", "evaluate", "beta", code=FAILED).stdout
    assert failed.startswith("INVALID_CONTEXT: ")

    cli("flag", "set", "beta", "--no-rules", "--disabled", "--reason", "it failed")
    assert cli("flag", "evaluate", "beta", "--targeting-key", "u").stdout == "false  (off, DISABLED)\n"
    assert cli.json("flag", "end", "beta") == {"ended": "beta"}
    assert cli("flag", "list").stdout == "none\n"

    lines = cli("flag", "log", "beta").stdout.splitlines()
    assert len(lines) == 5
    assert any(line.endswith("created flag beta: a try") for line in lines)
    assert all("  operator:" in line for line in lines)


def test_a_flag_of_one_tenant(cli: Cli) -> None:
    cli("flag", "create", "beta")
    said = cli(
        "flag", "create", "beta", "--type", "string", "--variant", "a=x", "--default", "a", "--tenant", "default"
    ).stdout
    assert said == "created flag beta: string, enabled, default a, 0 rules, of operator\n"
    assert cli("flag", "evaluate", "beta").stdout == '"x"  (a, STATIC)\n'
    assert len(cli.json("flag", "list", "--tenant", "default")["items"]) == 2
    page = cli.json("flag", "list", "--tenant", "default", "--limit", "1")
    assert len(cli.json("flag", "list", "--tenant", "default", "--after", page["cursor"])["items"]) == 1
    assert len(cli.json("flag", "log", "--tenant", "default")["items"]) == 1


def test_switches(cli: Cli) -> None:
    for words in (["feature", "search"], ["model", "gpt-4o"], ["provider", "openai"]):
        thrown = cli.json("kill", *words, "--reason", "wrong answers")
        assert [thrown["scope"], thrown["subject"]] == words
        assert thrown["tenant_id"] is None
        assert cli.json("kill", *words)["id"] == thrown["id"]
    cli("kill", "tenant", "default")
    cli("kill", "model", "gpt-4o", "--tenant", "default")
    assert [each["scope"] for each in cli.json("kill", "list")["items"]] == ["provider", "model", "feature"]
    listed = cli("kill", "list", "--tenant", "default").stdout.splitlines()
    assert len(listed) == 5
    assert "feature search (of all, " in listed[-1]
    assert listed[-1].endswith("Z): wrong answers")
    for each in cli.json("kill", "list")["items"]:
        cli("kill", "end", each["id"], "--reason", "mended")
    for each in cli.json("kill", "list", "--tenant", "default")["items"]:
        cli("kill", "end", each["id"], "--tenant", "default")
    assert cli("kill", "list", "--tenant", "default").stdout == "none\n"
    assert len(cli("flag", "log").stdout.splitlines()) == 6


@pytest.mark.parametrize(
    "words",
    [
        ["flag", "create", "a b"],
        ["flag", "create", "f", "--type", "string"],
        ["flag", "create", "f", "--split", "none=1"],
        ["flag", "create", "f", "--tenant", "nobody"],
        ["flag", "show", "none"],
        ["flag", "set", "none", "--disabled"],
        ["flag", "end", "none"],
        ["kill", "tenant", "nobody"],
        ["kill", "model", ""],
        ["kill", "end", NO_SUCH],
    ],
)
def test_what_is_refused(cli: Cli, words: list[str]) -> None:
    assert cli.fails(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["flag", "create", "f", "--variant", "a"],
        ["flag", "create", "f", "--rule", "{"],
        ["flag", "create", "f", "--rule", "{}", "--split", "on=1"],
        ["flag", "create", "f", "--split", "on=many"],
        ["flag", "create", "f", "--split", ""],
        ["flag", "create", "f", "--by", "tenant"],
        ["flag", "set", "f", "--no-rules", "--split", "on=1"],
        ["flag", "evaluate", "f", "--context", "plan"],
    ],
)
def test_what_is_misused(cli: Cli, words: list[str]) -> None:
    assert cli.fails(*words, code=MISUSED)


def test_while_the_database_is_away(cli: Cli) -> None:
    cli.environment["TENFOLD_DATABASE_URL"] = NOBODY
    assert cli.fails("kill", "feature", "search", code=DATABASE_AWAY)
