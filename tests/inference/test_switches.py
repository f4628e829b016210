"""Kill switches on the path of a call: what is switched off says nothing, kept or new, and something declared stands in
for it."""

import asyncio
from dataclasses import dataclass

import pytest
from msgspec import json

from tenfold.core.call import CallOptions
from tenfold.core.errors import StoreUnavailable, UpstreamUnavailable
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.policy import Feature, Policy
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import World, asking, principal, streamed, whole

SEARCH = CallOptions(feature="search")
TWO_MODELS = {"openai": "big", "spare": "small"}
EITHER = Policy(models=("big", "small"))
DOWN = FakeReply(error=UpstreamUnavailable("Nobody there"))


@dataclass(frozen=True, kw_only=True)
class Thrown:
    scope: str
    subject: str
    reason: str = ""


class FakeSwitches:
    """Switches that a test throws. `away`: the database is, so a tenant that is not known yet cannot be."""

    def __init__(self, **subjects: str) -> None:
        self.thrown = {scope: Thrown(scope=scope, subject=subject) for scope, subject in subjects.items()}
        self.away = False
        self.asked = 0
        self._known: set[TenantId] = set()

    @property
    def any(self) -> bool:
        return bool(self.thrown)

    def knows(self, principal: Principal) -> bool:
        return principal.tenant_id in self._known

    async def ready(self, principal: Principal) -> None:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("The database is away.")
        self._known.add(principal.tenant_id)

    def killed(
        self, principal: Principal, *, feature: str | None, model: str | None = None, provider: str | None = None
    ) -> Thrown | None:
        assert self.knows(principal)
        now = {"feature": feature, "tenant": principal.tenant_slug, "model": model, "provider": provider}
        return next((one for one in self.thrown.values() if now[one.scope] == one.subject), None)


def declared(*steps: str) -> dict[str, Feature]:
    return {"search": Feature(name="search", steps=steps, stale_s=600, template="No search today.")}  # type: ignore[arg-type]


# -- a feature or a tenant -------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
async def test_a_feature_that_is_off_is_a_typed_error(client: str, stream: bool) -> None:
    switches = FakeSwitches()
    switches.thrown["feature"] = Thrown(scope="feature", subject="search", reason="it says odd things")
    world = World({"openai": []}, switches=switches)
    told = await world.ask(asking(client, stream=stream), client, options=SEARCH)
    assert (told.status, told.is_stream) == (503, False)
    assert told.json["error"]["message"] == "The feature `search` is switched off: it says odd things."
    if client == "openai":
        assert told.json["error"]["code"] == "feature_off"
    call = world.outcomes.only
    assert (call.status, call.attempts, call.cost_nano) == ("error", 0, None)
    assert world.admission.budgets.reservations == 0
    world.assert_settled()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
async def test_what_is_declared_takes_its_place(client: str, stream: bool) -> None:
    world = World({"openai": []}, switches=FakeSwitches(feature="search"), features=declared("template"))
    told = await world.ask(asking(client, stream=stream), client, options=SEARCH)
    assert told.status == 200
    assert b"No search today." in told.body
    assert told.headers["tenfold-degraded"] == "template"
    call = world.outcomes.only
    assert (call.status, call.cost_nano, call.degraded) == ("ok", 0, ("template",))
    world.assert_settled()


async def test_what_it_said_before_does_not() -> None:
    """Somebody switched it off for what it said."""
    switches = FakeSwitches()
    world = World({"openai": [whole("openai")]}, switches=switches, features=declared("stale", "template"))
    await world.ask(asking("openai"), options=SEARCH)
    switches.thrown["feature"] = Thrown(scope="feature", subject="search")
    told = await world.ask(asking("openai"), options=SEARCH)
    assert told.headers["tenfold-degraded"] == "template"
    world.assert_settled()


async def test_other_features_go_on() -> None:
    world = World({"openai": [whole("openai")] * 2}, switches=FakeSwitches(feature="search"))
    for options in (CallOptions(), CallOptions(feature="chat")):
        assert (await world.ask(asking("openai"), options=options)).status == 200


async def test_a_tenant_that_is_off_is_off_in_all_it_does() -> None:
    world = World({"openai": [whole("openai")]}, switches=FakeSwitches(tenant="acme"))
    assert (await world.ask(asking("openai"))).status == 503
    embeddings = json.encode({"model": "m", "input": ["a"]})
    assert (await world.ask(embeddings, operation="embeddings")).json["error"]["code"] == "feature_off"
    told = await world.ask(asking("anthropic"), "anthropic", operation="count_tokens")
    assert told.status == 503
    assert (await world.ask(asking("openai"), principal=principal("other"))).status == 200
    world.assert_settled()


# -- a model or a provider -------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "subject"), [("model", "big"), ("provider", "openai")])
@pytest.mark.parametrize("stream", [False, True])
async def test_another_stands_in_for_what_is_off(scope: str, subject: str, stream: bool) -> None:
    answer = streamed("openai") if stream else whole("openai")
    world = World(
        {"openai": [], "spare": [answer]}, models=TWO_MODELS, route=EITHER, switches=FakeSwitches(**{scope: subject})
    )
    told = await world.ask(asking("openai", stream=stream), options=CallOptions(explain=frozenset({"route"})))
    assert (told.status, told.headers["tenfold-provider"]) == (200, "spare")
    assert told.headers["tenfold-degraded"] == "fallback"
    assert "big@openai/m; switched off" in told.headers["tenfold-route"]
    assert world.outcomes.only.attempts == 1
    world.assert_settled()


async def test_when_all_are_off_it_is_a_typed_error_or_what_is_declared() -> None:
    switches = FakeSwitches(model="big", provider="spare")
    world = World({"openai": [], "spare": []}, models=TWO_MODELS, route=EITHER, switches=switches)
    told = await world.ask(asking("openai"))
    assert (told.status, told.json["error"]["code"]) == (503, "feature_off")
    assert world.admission.budgets.reservations == 0
    world.assert_settled()
    world = World(
        {"openai": [], "spare": []},
        models=TWO_MODELS,
        route=EITHER,
        switches=switches,
        features=declared("stale", "template"),
    )
    told = await world.ask(asking("openai"), options=SEARCH)
    assert (told.status, told.headers["tenfold-degraded"]) == (200, "template")
    world.assert_settled()


# -- what was said before --------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "subject"), [("feature", "search"), ("tenant", "acme")])
@pytest.mark.parametrize("stream", [False, True])
async def test_memory_is_silent_while_it_is_off(scope: str, subject: str, stream: bool) -> None:
    """By the same bytes, and by the same meaning."""
    switches = FakeSwitches()
    answer = streamed("openai") if stream else whole("openai")
    world = World({"openai": [answer]}, switches=switches, policy="always")
    body = asking("openai", stream=stream)
    await world.ask(body, options=SEARCH)
    switches.thrown[scope] = Thrown(scope=scope, subject=subject)
    for same in (body, body + b" "):
        assert (await world.ask(same, options=SEARCH)).status == 503
    switches.thrown.clear()
    for same in (body, body + b" "):
        told = await world.ask(same, options=SEARCH)
        assert told.headers["tenfold-cache"].startswith("hit")
    assert len(world.sent) == 1
    world.assert_settled()


@pytest.mark.parametrize(("scope", "subject"), [("model", "big"), ("provider", "openai")])
async def test_what_a_model_said_that_is_off_is_not_said_again(scope: str, subject: str) -> None:
    switches = FakeSwitches()
    world = World(
        {"openai": [whole("openai")], "spare": [whole("openai")]},
        models=TWO_MODELS,
        route=EITHER,
        switches=switches,
        policy="always",
    )
    assert (await world.ask(asking("openai"))).headers["tenfold-provider"] == "openai"
    switches.thrown[scope] = Thrown(scope=scope, subject=subject)
    told = await world.ask(asking("openai"))
    assert (told.headers["tenfold-provider"], told.headers["tenfold-cache"]) == ("spare", "miss")
    told = await world.ask(asking("openai"))
    assert told.headers["tenfold-cache"].startswith("hit"), "what the other one said"
    world.assert_settled()


@pytest.mark.parametrize(("scope", "subject"), [("model", "big"), ("provider", "openai")])
async def test_nor_is_it_when_nobody_answers(scope: str, subject: str) -> None:
    switches = FakeSwitches()
    world = World(
        {"openai": [whole("openai")], "spare": [DOWN]},
        models=TWO_MODELS,
        route=EITHER,
        switches=switches,
        features=declared("stale", "template"),
    )
    await world.ask(asking("openai"), options=SEARCH)
    switches.thrown[scope] = Thrown(scope=scope, subject=subject)
    told = await world.ask(asking("openai"), options=SEARCH)
    assert told.headers["tenfold-degraded"] == "template"
    world.assert_settled()


async def test_nobody_joins_a_call_of_what_is_off_meanwhile() -> None:
    switches = FakeSwitches()
    world = World({"openai": [FakeReply(silent=True)]}, switches=switches, policy="always")
    first = asyncio.create_task(world.ask(asking("openai"), options=SEARCH))
    while not world.sent:
        await asyncio.sleep(0)
    switches.thrown["feature"] = Thrown(scope="feature", subject="search")
    assert (await world.ask(asking("openai"), options=SEARCH)).status == 503
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.assert_settled()


# -- how they are known ----------------------------------------------------------------------


async def test_a_tenants_switches_are_asked_for_once() -> None:
    switches = FakeSwitches()
    world = World({"openai": [whole("openai")] * 3}, switches=switches)
    for _ in range(2):
        await world.ask(asking("openai"))
    await world.ask(asking("openai"), principal=principal("other"))
    assert switches.asked == 2


async def test_a_call_whose_switches_cannot_be_known_is_not_begun() -> None:
    switches = FakeSwitches()
    switches.away = True
    world = World({"openai": [whole("openai")]}, switches=switches, features=declared("template"))
    told = await world.ask(asking("openai"), options=SEARCH)
    assert (told.status, told.json["error"]["code"]) == (503, "store_unavailable")
    assert not world.sent
    switches.away = False
    assert (await world.ask(asking("openai"), options=SEARCH)).status == 200
    world.assert_settled()
