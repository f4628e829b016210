"""What the console is told of the targets: live, with the names that lead to them and the limits of their keys."""

from time import perf_counter

import pytest

from tenfold.app.explaining import LiveTargets, health_services
from tenfold.app.settings import Settings
from tenfold.app.upstreams import Unasked, routes_to_look_at
from tenfold.core.errors import UpstreamUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.health import Healths
from tenfold.inference.explanation import Inquiry
from tenfold.inference.planner import Planner
from tenfold.inference.route import Router
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import WireRequest

SETTINGS = Settings.model_validate(
    {
        "providers": {
            "main": {
                "kind": "openai",
                "base_url": "https://api.openai.com/v1",
                "api_keys": ["env:A", "env:B"],
                "max_concurrency": 50,
            },
            "spare": {"kind": "anthropic", "base_url": "https://api.anthropic.com"},
        },
        "models": {
            "small": {"provider": "main", "upstream": "gpt-4o-mini", "price": {"input": 1}},
            "tiny": {"provider": "main", "upstream": "gpt-4o-mini", "price": {"input": 1}},
            "large": {"provider": "spare", "price": {"input": 1}},
        },
        "routes": {"support": {"models": ["small", "large"]}},
        "budgets": {"max_request_usd": "1"},
    }
)


def test_each_model_of_a_provider_is_told_once_with_the_names_that_lead_to_it() -> None:
    healths = Healths()
    told = LiveTargets(healths, routes_to_look_at(SETTINGS, healths)).targets()
    known = {(each.provider, each.model): each for each in told}
    assert [(each.provider, each.model) for each in told] == sorted(known)
    assert known["main", "gpt-4o-mini"].served_as == ("small", "tiny")
    assert known["spare", "large"].served_as == ("large",)
    assert ("offline", "offline-extractive") in known
    assert [(key.key, key.limit) for key in known["main", "gpt-4o-mini"].keys] == [("1", 50), ("2", 50)]
    assert [key.key for key in known["spare", "large"].keys] == ["1"]


def test_what_happens_is_told() -> None:
    healths = Healths()
    live = LiveTargets(healths, routes_to_look_at(SETTINGS, healths))
    target, now = healths.of("spare", "large"), perf_counter()
    target.begin(now)
    target.begin(now)
    target.succeeded(now + 0.2, first_s=0.2, total_s=0.9)
    shaper = healths.shaper("main", "2")
    assert all(shaper.try_enter() for _ in range(2))
    shaper.leave(limited=True, rtt_s=0.1)
    shaper.leave(limited=False, rtt_s=None)
    healths.of("main", "gpt-4o-mini").adopt_open(now, 3.0)

    known = {(each.provider, each.model): each for each in live.targets()}

    large, mini = known["spare", "large"], known["main", "gpt-4o-mini"]
    assert (large.state, large.asked_again_s, large.in_flight) == ("closed", 0.0, 1)
    assert (large.latency_ms, large.duration_ms) == (200.0, 900.0)
    assert (mini.state, mini.latency_ms) == ("open", None)
    assert 0 < mini.asked_again_s <= 3
    assert [key.limit for key in mini.keys] == [50, 1], "the other key's limit is its own"


async def test_the_live_explanation_is_the_planners() -> None:
    healths = Healths()
    routes = routes_to_look_at(SETTINGS, healths)
    services = health_services(SETTINGS, healths, Router(routes), routes, Planner())
    who = Principal(tenant_id=TenantId(uuid7()), tenant_slug="acme")
    healths.of("spare", "large").adopt_open(perf_counter(), 3.0)

    told = await services.routes.explain(who, Inquiry(model="support"))

    assert {each.label for each in told.attempts} == {"small@main/gpt-4o-mini#1", "small@main/gpt-4o-mini#2"}
    assert [(each.label, each.why) for each in told.skipped] == [("large@spare", "circuit open")]
    assert told.ceiling_usd is not None


async def test_whoever_only_looks_asks_nobody() -> None:
    provider = Unasked("main", OpenAIWire())
    with pytest.raises(UpstreamUnavailable):
        await provider.send(WireRequest(path="/chat/completions", body=b"{}"), [])
    with pytest.raises(UpstreamUnavailable):
        await provider.check()
    await provider.aclose()
