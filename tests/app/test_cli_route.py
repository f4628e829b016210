"""`tenfold route`: what the routes are, and what would become of a call, from the settings and the shared database."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tenfold.app.cli_parts import DATABASE_AWAY, FAILED, MISUSED
from tenfold.core.ids import uuid7
from tenfold.health.queries import PostgresBreakerRows
from tenfold.health.types import SharedState
from tenfold.store import Store
from tests.app.test_cli import Cli, cli, cut_off

__all__ = ["cli", "cut_off"]

CONFIGURATION = """
[providers.main]
kind = "openai"
base_url = "https://api.openai.com/v1"
api_key = "env:NOT_SET"
region = "us"

[providers.spare]
kind = "anthropic"
base_url = "https://api.anthropic.com"
api_keys = ["env:NOT_SET_A", "env:NOT_SET_B"]
region = "eu"

[models.small]
provider = "main"
upstream = "gpt-4o-mini"
price = { input = "1", output = "2" }

[models.large]
provider = "spare"
price = { input = "10", output = "20" }

[models.unpriced]
provider = "main"

[routes.support]
models = ["small", "large"]
deadline_s = 30

[[routes.support.rules]]
tasks = ["classify"]
models = ["small"]

[[routes.support.rules]]
plans = ["pro"]
models = ["large", "small"]

[routes.european]
models = ["small", "large"]
regions = ["eu"]

[routes.cheap]
models = ["large", "small"]
choose = "cheapest"

[features.helpdesk]
degrade = ["stale", "template"]
template = "Please write to us."
"""


@pytest.fixture
def routes(cli: Cli) -> Cli:
    cli.configure(CONFIGURATION)
    return cli


def labels(considered: Sequence[Any]) -> list[tuple[str, str, str]]:
    return [(each["model"], each["provider"], each["why"]) for each in considered]


def breaker(database: str, provider: str, model: str, left_s: float = 30.0) -> None:
    """Some process has opened it."""

    async def write() -> None:
        store = await Store.open(database, min_size=1, max_size=1)
        try:
            state = SharedState(
                provider=provider, model=model, state="open", holder=uuid7(), change_id=uuid7(), left_s=left_s
            )
            await PostgresBreakerRows(store).write([state])
        finally:
            await store.aclose()

    asyncio.run(write())


def test_routes_are_listed_without_a_database_or_a_key(cut_off: Cli) -> None:
    cut_off.configure(CONFIGURATION)
    items = {item["route"]: item for item in cut_off.json("route", "list")["items"]}
    assert {"support", "european", "cheap", "small", "large", "unpriced", "offline-extractive"} <= items.keys()
    assert items["support"]["models"] == ["small", "large"]
    assert items["support"]["targets"] == ["small@main/gpt-4o-mini", "large@spare#1", "large@spare#2"]
    assert (items["support"]["rules"], items["support"]["deadline_s"]) == (2, 30.0)
    text = cut_off("route", "list").stdout
    assert "(only in eu)" in text
    assert "(2 rules; within 30 s)" in text
    assert "(choose cheapest)" in text


def test_a_call_is_explained_in_order_with_its_reasons(routes: Cli) -> None:
    told = routes.json("route", "explain", "support", "--input-chars", "1000", "--max-tokens", "100")
    assert labels(told["attempts"]) == [
        ("small", "main", "first"),
        ("large", "spare", "fallback"),
        ("large", "spare", "fallback"),
    ]
    assert [each["stand_in"] for each in told["attempts"]] == [False, True, True]
    assert {each["key"] for each in told["attempts"]} == {None, "1", "2"}
    assert told["attempts"][1]["detail"] == "one of 2 equal targets, by load"
    # 1,000 bytes and what providers add unasked, at 1 USD a million; 100 tokens at 2.
    assert told["attempts"][0]["bound_usd"] == "0.002224"
    assert (told["skipped"], told["refused"], told["then"], told["deadline_ms"]) == ([], None, [], 30000)
    text = routes("route", "explain", "support", "--feature", "helpdesk").stdout
    assert text.startswith("1. small@main/gpt-4o-mini: first; at most ")
    assert "where nobody answers: stale, then template" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["support", "--task", "classify"], [("small", "rule")]),
        (["support", "--plan", "pro"], [("large", "rule"), ("large", "fallback"), ("small", "fallback")]),
        (["cheap"], [("small", "cheapest"), ("large", "fallback"), ("large", "fallback")]),
        (["support", "--max-cost-usd", "0.01", "--max-tokens", "10"], [("small", "first")]),
    ],
)
def test_what_the_call_is_decides(words: list[str], expected: list[tuple[str, str]], routes: Cli) -> None:
    told = routes.json("route", "explain", *words)
    assert [(each["model"], each["why"]) for each in told["attempts"]] == expected


def test_a_tenants_plan_and_its_switches_count(routes: Cli) -> None:
    routes("tenant", "create", "acme")
    routes("tenant", "plan", "acme", "pro")
    assert routes.json("route", "explain", "support", "--tenant", "acme")["attempts"][0]["model"] == "large"
    routes("kill", "provider", "spare", "--tenant", "acme", "--reason", "wrong answers")
    told = routes.json("route", "explain", "support", "--tenant", "acme")
    assert labels(told["attempts"]) == [("small", "main", "rule")]
    assert told["attempts"][0]["stand_in"]
    assert {(each["why"], each["detail"]) for each in told["skipped"]} == {
        ("switched off", "the provider `spare`: wrong answers")
    }
    assert (
        "switched off (the provider `spare`: wrong answers)"
        in routes("route", "explain", "support", "--tenant", "acme").stdout
    )
    assert routes.json("route", "explain", "support")["skipped"] == [], "another tenant's switch"
    routes("kill", "feature", "helpdesk")
    off = routes.json("route", "explain", "support", "--feature", "helpdesk")
    assert (off["refused"]["code"], off["attempts"], off["then"]) == ("feature_off", [], ["stale", "template"])
    assert "no tenant 'nobody'" in routes.fails("route", "explain", "support", "--tenant", "nobody", code=FAILED)


def test_regions_leave_out_the_others(routes: Cli) -> None:
    told = routes.json("route", "explain", "european")
    assert labels(told["skipped"]) == [("small", "main", "outside the regions")]
    assert {each["region"] for each in told["attempts"]} == {"eu"}


def test_circuits_that_other_processes_hold_open_are_skipped(routes: Cli, database: str) -> None:
    breaker(database, "main", "gpt-4o-mini")
    told = routes.json("route", "explain", "support")
    (skipped,) = told["skipped"]
    assert (skipped["model"], skipped["why"], skipped["state"]) == ("small", "circuit open", "open")
    assert skipped["asked_again_s"] > 0
    assert {each["model"] for each in told["attempts"]} == {"large"}

    breaker(database, "spare", "large")
    down = routes.json("route", "explain", "support")
    assert (down["attempts"], len(down["skipped"])) == ([], 3)
    assert (down["refused"]["code"], down["refused"]["status"]) == ("upstream_unavailable", 503)
    assert (
        "refused: upstream_unavailable: No provider of the model `support` is up"
        in routes("route", "explain", "support").stdout
    )


def test_a_call_that_would_be_refused_for_its_price_says_so(routes: Cli) -> None:
    told = routes.json("route", "explain", "unpriced")
    assert (told["refused"]["code"], told["attempts"][0]["bound_usd"]) == ("price_unknown", None)
    dear = routes.json("route", "explain", "support", "--max-cost-usd", "0.000001")
    assert dear["refused"]["code"] == "cost_ceiling_exceeded"
    assert {each["why"] for each in dear["skipped"]} == {"above the cost ceiling"}
    assert dear["ceiling_usd"] == "0.000001"


def test_a_split_is_the_same_for_the_same_user(routes: Cli) -> None:
    routes.configure(
        CONFIGURATION + '\n[routes.trial]\nmodels = ["small", "large"]\nsplit = { small = 1, large = 1 }\n'
    )
    found = {
        user: [routes.json("route", "explain", "trial", "--user", user)["attempts"][0]["why"] for _ in range(2)]
        for user in ("ann", "bob", "eve")
    }
    assert all(first == again for first, again in found.values())
    assert {why for whys in found.values() for why in whys} <= {"arm small", "arm large"}


def test_wrong_names_and_values(routes: Cli, cut_off: Cli) -> None:
    assert "Did you mean `support`?" in routes.fails("route", "explain", "suport", code=MISUSED)
    routes("route", "explain", "support", "--max-cost-usd", "much", code=MISUSED)
    routes("route", "explain", "support", "--deadline-ms", "0", code=MISUSED)
    cut_off.fails("route", "explain", "support", code=DATABASE_AWAY)
