"""`tenfold jobs` and `tenfold schedule`: what the operator sees and does, on a database of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.app.cli_jobs import jobs
from tenfold.app.cli_parts import DATABASE_AWAY, FAILED, MISUSED
from tenfold.app.cli_schedule import schedule
from tests.app import test_cli_budget
from tests.app.test_cli_budget import NOBODY, Cli

CALL = json.dumps({"path": "/v1/chat/completions", "body": {"model": "offline-extractive", "messages": []}})
NO_JOB = "job_" + "0" * 32


@pytest.fixture
def cli(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    for command in (jobs, schedule):
        monkeypatch.setitem(test_cli_budget.main.commands, str(command.name), command)
    monkeypatch.chdir(tmp_path)
    runner = Cli(tmp_path, database)
    runner("tenant", "create", "default")
    return runner


def submitted(cli: Cli, *words: str) -> Any:
    return cli.json("jobs", "submit", "call", CALL, *words)


def test_a_job_is_submitted_listed_shown_and_cancelled(cli: Cli, tmp_path: Path) -> None:
    assert cli("jobs", "list").stdout == "none\n"
    made = submitted(cli, "--priority", "7", "--delay", "3600", "--key", "k")
    assert (made["kind"], made["state"], made["priority"]) == ("call", "queued", 7)
    assert submitted(cli, "--priority", "7", "--delay", "3600", "--key", "k")["id"] == made["id"]
    (tmp_path / "call.json").write_text(CALL, encoding="utf-8")
    other = cli("jobs", "submit", "call", "@call.json").stdout
    assert other.startswith("submitted job_")

    listed = cli("jobs", "list", "--state", "queued", "--kind", "call").stdout
    assert f"{made['id']}  call queued (" in listed
    assert len(listed.splitlines()) == 2
    page = cli.json("jobs", "list", "--limit", "1")
    assert len(cli.json("jobs", "list", "--after", page["cursor"])["items"]) == 1
    assert cli.json("jobs", "show", made["id"]) == made
    shown = cli("jobs", "show", made["id"]).stdout
    assert "attempts 0 of 5, 0 ended with their process" in shown
    assert "model: offline-extractive" in shown
    assert json.loads(cli("jobs", "input", made["id"]).stdout)["operation"] == "chat"

    queue = cli("jobs", "queue", "--tenant", "default").stdout.splitlines()
    assert queue[:2] == [queue[0], "not due yet 1"]
    assert queue[0].startswith("waiting 1, ")
    assert cli.json("jobs", "queue")["later"] == 1

    assert "it has no result" in cli.fails("jobs", "result", made["id"])
    assert cli("jobs", "cancel", made["id"]).stdout.startswith(f"cancelled {made['id']}")
    followed = cli("jobs", "follow", made["id"], code=FAILED)
    assert "ended" in followed.stdout
    assert followed.stderr == f"tenfold: {made['id']} cancelled\n"
    told = [json.loads(line) for line in cli("jobs", "follow", made["id"], "--json", code=FAILED).stdout.splitlines()]
    assert [(each["id"], each["event"]) for each in told] == [(1, "ended")]
    assert cli("jobs", "discard", made["id"]).stdout == f"discarded {made['id']}\n"
    assert "no such job" in cli.fails("jobs", "show", made["id"])


def test_dead_letters(cli: Cli) -> None:
    made = submitted(cli)
    assert "only one that failed" in cli.fails("jobs", "redrive", made["id"])
    assert "has ended" in cli.fails("jobs", "discard", made["id"])
    assert cli.json("jobs", "redrive", "--all") == {"redriven": 0}
    assert cli("jobs", "discard", "--all", "--kind", "call").stdout == "discarded: 0\n"
    assert cli("jobs", "list", "--state", "failed").stdout == "none\n"


def test_a_schedule_lives(cli: Cli) -> None:
    words = ("schedule", "create", "nightly", "30 2 * * *", "call", CALL, "--zone", "Europe/Berlin", "--missed", "all")
    made = cli.json(*words)
    assert (made["name"], made["cron"], made["zone"], made["missed"]) == (
        "nightly",
        "30 2 * * *",
        "Europe/Berlin",
        "all",
    )
    assert made["input"] == json.loads(CALL)
    assert "already" in cli.fails(*words)
    (line,) = cli("schedule", "list").stdout.splitlines()
    assert line.startswith(f"{made['id']}  nightly: call at 30 2 * * * (Europe/Berlin), next ")
    shown = cli("schedule", "show", made["id"]).stdout.splitlines()
    assert [each.startswith("next: ") and " 02:30 +0" in each for each in shown[1:]] == [True] * 5
    assert cli("schedule", "pause", made["id"]).stdout.endswith("(Europe/Berlin), paused\n")
    assert cli.json("schedule", "show", made["id"])["next_runs"] == []
    changed = cli.json("schedule", "set", made["id"], "--cron", "@hourly", "--zone", "UTC", "--name", "often")
    assert (changed["cron"], changed["name"], changed["paused"]) == ("@hourly", "often", True)
    assert "next " in cli("schedule", "resume", made["id"]).stdout
    job = cli.json("schedule", "run", made["id"])["job"]
    assert cli.json("jobs", "show", job)["kind"] == "call"
    assert cli("schedule", "end", made["id"]).stdout == f"ended {made['id']}\n"
    assert cli("schedule", "list").stdout == "none\n"


def test_the_next_runs_of_any_expression(cli: Cli) -> None:
    assert len(cli("schedule", "next", "0 9 * * MON-FRI", "--zone", "Asia/Kathmandu").stdout.splitlines()) == 5
    assert len(cli.json("schedule", "next", "@daily", "--count", "3")["next_runs"]) == 3
    assert "five fields" in cli.fails("schedule", "next", "often", code=MISUSED)


def test_a_tenants_jobs_are_its_own(cli: Cli) -> None:
    cli("tenant", "create", "other")
    made = submitted(cli)
    assert cli("jobs", "list", "--tenant", "other").stdout == "none\n"
    for words in (["show"], ["follow"], ["input"], ["result"], ["cancel"], ["redrive"], ["discard"]):
        assert "no such job" in cli.fails("jobs", *words, made["id"], "--tenant", "other")


@pytest.mark.parametrize(
    "words",
    [
        ["jobs", "submit", "webhook", "{}"],
        ["jobs", "submit", "call", "{}"],
        ["jobs", "submit", "call", CALL, "--tenant", "nobody"],
        ["jobs", "show", NO_JOB],
        ["jobs", "show", "nonsense"],
        ["jobs", "cancel", NO_JOB],
        ["jobs", "follow", NO_JOB],
        ["jobs", "list", "--after", "x"],
        ["schedule", "create", "n", "* * *", "call", CALL],
        ["schedule", "create", "n", "@daily", "call", CALL, "--zone", "Mars/Olympus"],
        ["schedule", "show", "nonsense"],
        ["schedule", "end", "sched_" + "0" * 32],
    ],
)
def test_what_is_refused(cli: Cli, words: list[str]) -> None:
    assert cli.fails(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["jobs", "submit", "call", "{"],
        ["jobs", "submit", "call", "@nowhere"],
        ["jobs", "redrive"],
        ["jobs", "redrive", NO_JOB, "--all"],
        ["jobs", "discard", NO_JOB, "--kind", "call"],
        ["jobs", "list", "--state", "odd"],
        ["schedule", "create", "n", "@daily", "call", CALL, "--missed", "some"],
    ],
)
def test_what_is_misused(cli: Cli, words: list[str]) -> None:
    assert cli.fails(*words, code=MISUSED)


def test_while_the_database_is_away(cli: Cli) -> None:
    cli.environment["TENFOLD_DATABASE_URL"] = NOBODY
    assert cli.fails("jobs", "list", code=DATABASE_AWAY)
