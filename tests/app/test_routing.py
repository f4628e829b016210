"""What the tables of routes, features and breakers mean: the policies that the one path is given."""

import time
from pathlib import Path

import pytest

from tenfold.app.routing import (
    breaker_policy,
    features_of,
    models_of,
    oldest_stale_s,
    policy_of,
    refuse_impossible_ceilings,
)
from tenfold.app.settings import Settings, SettingsError
from tenfold.app.upstreams import refuse_unusable, routes_to_look_at
from tenfold.health import BreakerPolicy, Healths
from tenfold.inference.policy import DEFAULT_POLICY, Feature, Hedge, Policy, Rule
from tests.app.test_settings import settings

BASE = """
[providers.main]
kind = "openai"
base_url = "https://api.openai.com/v1"
[models.small]
provider = "main"
price = { input = "1", output = "2" }
[models.large]
provider = "main"
price = { input = "10", output = "20" }
[models.huge]
provider = "main"
price = { input = "100", output = "200" }
"""

FULL = (
    BASE
    + """
[routes.r]
models = ["small", "large"]
choose = "cheapest"
regions = []
max_request_usd = "0.25"
retries = 2
max_backoff_s = 1.5
first_token_s = 8
between_tokens_s = 4
deadline_s = 30
stream = "restart"
hold_tokens = 7
hedge_after_s = 0.5
hedge_max_usd = "0.02"
output_repairs = 2
output_escalate = "huge"

[[routes.r.rules]]
tasks = ["classify"]
features = ["support"]
tenants = ["acme"]
plans = ["pro", "free"]
models = ["large", "small"]

[routes.trial]
models = ["small", "large"]
split = { large = 1, small = 9 }
"""
)


def test_a_whole_route_is_the_policy_that_it_says(tmp_path: Path) -> None:
    assert policy_of(settings(tmp_path, FULL), "r") == Policy(
        models=("small", "large"),
        rules=(
            Rule(
                models=("large", "small"),
                tasks=frozenset({"classify"}),
                features=frozenset({"support"}),
                tenants=frozenset({"acme"}),
                plans=frozenset({"pro", "free"}),
            ),
        ),
        choose="cheapest",
        max_nano=250_000_000,
        retries=2,
        max_backoff_s=1.5,
        first_token_s=8,
        between_tokens_s=4,
        deadline_s=30,
        on_break="restart",
        hold_tokens=7,
        hedge=Hedge(after_s=0.5, max_nano=20_000_000),
        output_repairs=2,
        output_escalate="huge",
    )


def test_models_of_a_route_are_all_that_it_may_come_to(tmp_path: Path) -> None:
    read = settings(tmp_path, FULL)
    assert models_of(read, "r") == ["small", "large", "huge"]
    assert models_of(read, "trial") == ["small", "large"]
    assert models_of(read, "small") == ["small"]
    assert policy_of(read, "trial").split == (("large", 1), ("small", 9))


def test_what_is_not_said_is_a_retry_and_a_repair_and_nothing_else(tmp_path: Path) -> None:
    read = settings(tmp_path, BASE)
    assert policy_of(read, "small") == Policy(retries=1, output_repairs=1)
    assert DEFAULT_POLICY.is_plain
    assert policy_of(read, "small").is_plain


def test_hedges_have_a_ceiling_unless_told_otherwise(tmp_path: Path) -> None:
    text = BASE + '[routes.r]\nmodels = ["small", "large"]\nhedge_after_s = 1\n'
    assert policy_of(settings(tmp_path, text), "r").hedge == Hedge(after_s=1, max_nano=10_000_000)


def test_the_routes_that_are_built_have_the_targets_of_their_models(tmp_path: Path) -> None:
    read = settings(tmp_path, FULL)
    routes = {route.model: route for route in routes_to_look_at(read, Healths())}
    assert [target.label for target in routes["r"].targets] == [
        "small@main",
        "large@main",
        "huge@main",
    ]
    assert routes["r"].policy == policy_of(read, "r")
    assert routes["small"].targets == routes["r"].targets[:1], "a model's targets are the same wherever it is asked"
    assert routes["r"].retry_budget is not routes["small"].retry_budget


def test_features_are_as_they_are_declared(tmp_path: Path) -> None:
    text = """
[features.chat]
degrade = ["queue", "stale", "template"]
stale_s = 60
template = "Later."
queued = "Wait for {ticket}."
[features."*"]
degrade = ["stale"]
[features.none]
"""
    read = settings(tmp_path, text)
    assert features_of(read) == {
        "chat": Feature(
            name="chat",
            steps=("queue", "stale", "template"),
            stale_s=60,
            template="Later.",
            queued="Wait for {ticket}.",
        ),
        "*": Feature(
            name="*",
            steps=("stale",),
            stale_s=86_400,
            queued="Your request has been queued under the ticket {ticket}.",
        ),
        "none": Feature(name="none", stale_s=86_400, queued="Your request has been queued under the ticket {ticket}."),
    }
    assert oldest_stale_s(read) == 86_400
    assert oldest_stale_s(settings(tmp_path, "[features.none]\n")) == 0
    assert oldest_stale_s(settings(tmp_path, "")) == 0


def test_breakers_are_as_they_are_set(tmp_path: Path) -> None:
    assert breaker_policy(settings(tmp_path, "")) == BreakerPolicy()
    text = (
        "[breakers]\nwindow_s = 20\nfailure_rate = 0.3\nslow_s = 2\nslow_rate = 0.8\nmin_failures = 9\ncooldown_s = 1\n"
        "max_cooldown_s = 8\n"
    )
    assert breaker_policy(settings(tmp_path, text)) == BreakerPolicy(
        window_s=20, failure_rate=0.3, slow_s=2, slow_rate=0.8, min_failures=9, cooldown_s=1, max_cooldown_s=8
    )


# -- ceilings --------------------------------------------------------------------------------


def check_ceilings(read: Settings) -> None:
    refuse_impossible_ceilings(read, routes_to_look_at(read, Healths()), time.time())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            '[routes.r]\nmodels = ["huge", "large"]\nmax_request_usd = "0.01"',
            'routes."r".max_request_usd: even the shortest call may cost 0.01026 USD at the cheapest target',
        ),
        (
            '[models.m]\nprovider = "main"\nprice = { input = 1 }\nmax_request_usd = "0.001"',
            'models."m".max_request_usd',
        ),
        (
            '[budgets]\nmax_request_usd = "0.001"',
            "budgets.max_request_usd: even the shortest call of the cheapest model may cost 0.001026 USD",
        ),
    ],
)
def test_a_ceiling_that_no_call_can_keep_is_refused_before_a_worker_starts(
    tmp_path: Path, more: str, said: str
) -> None:
    read = settings(tmp_path, BASE + more)
    with pytest.raises(SettingsError) as refused:
        check_ceilings(read)
    assert str(refused.value).startswith(said)
    with pytest.raises(SettingsError):
        refuse_unusable(read, {})


@pytest.mark.parametrize(
    "more",
    [
        '[routes.r]\nmodels = ["huge", "small"]\nmax_request_usd = "0.01"',  # the cheaper one can
        '[budgets]\nmax_request_usd = "0.01"',  # small can, the others are kept out
        '[budgets]\nmax_request_usd = "0.001"\n[models.unpriced]\nprovider = "main"',  # nobody knows what it costs
        '[budgets]\nmax_request_usd = "0.001"\n[models.m]\nprovider = "main"\nprice = { input = 0 }',
        '[models.m]\nprovider = "main"\nmax_request_usd = "0.000000001"',
    ],
)
def test_a_ceiling_that_some_call_can_keep_is_none_of_our_business(tmp_path: Path, more: str) -> None:
    check_ceilings(settings(tmp_path, BASE + more))
