"""What is declared for a feature takes the place of an answer that no provider gave: which step, when, and at what
price."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest
from msgspec import Struct, json

from tenfold.core.call import Call, CallOptions
from tenfold.core.errors import (
    BudgetExceeded,
    Overloaded,
    RateLimited,
    StoreUnavailable,
    TenfoldError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tenfold.core.sse import SseDecoder
from tenfold.inference import call as stage
from tenfold.inference.ceilings import Ceilings
from tenfold.inference.policy import Feature, Policy, Step
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import FRAMES, UNTIL_TOKEN, Client, World, asking, principal, streamed, whole

CLIENTS = ("openai", "anthropic")
DOWN = FakeReply(error=UpstreamUnavailable("Nobody there"))
LOST = FakeReply(error=UpstreamTimeout("Too slow", unanswered=True))
SORRY = "We are away; try again later."


class Ticket(Struct, frozen=True):
    id: str
    state: str = "waiting"
    reply: bytes | None = None


class FakeParking:
    """A Parking with a number for each call. `error`: what befalls it."""

    def __init__(self, error: TenfoldError | None = None) -> None:
        self.error = error
        self.calls: list[Call] = []

    async def park(self, call: Call) -> Ticket:
        if self.error is not None:
            raise self.error
        self.calls.append(call)
        return Ticket(f"tkt_{len(self.calls)}")

    async def accept(self, call: Call, wait_s: float) -> Ticket:
        raise NotImplementedError


def declared(*steps: Step, name: str = "*") -> dict[str, Feature]:
    return {
        name: Feature(
            name=name, steps=steps, stale_s=600, template=SORRY, queued="You are in the queue; ask for {ticket}."
        )
    }


def answer(client: str, stream: bool) -> FakeReply:
    return streamed(client) if stream else whole(client)


def text_of(told: Client, client: str) -> str:
    """As the client reads it, of a reply that is whole in its protocol."""
    if not told.is_stream:
        if client == "anthropic":
            assert told.json["stop_reason"] == "end_turn"
            return "".join(block["text"] for block in told.json["content"])
        [choice] = told.json["choices"]
        assert choice["finish_reason"] == "stop"
        return str(choice["message"]["content"])
    text = ""
    events = SseDecoder().feed(told.body)
    assert events[-1].data == b"[DONE]" if client == "openai" else events[-1].event == "message_stop"
    for event in events:
        said: Any = {} if event.data == b"[DONE]" else json.decode(event.data)
        for choice in said.get("choices", ()):
            text += choice["delta"].get("content") or ""
        if said.get("type") == "content_block_delta":
            text += said["delta"]["text"]
    return text


# -- the steps -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_template_is_said_in_the_clients_words(client: str, stream: bool) -> None:
    world = World({client: [DOWN]}, features=declared("template"))
    told = await world.ask(asking(client, stream=stream), client)
    assert (told.status, told.is_stream) == (200, stream)
    assert text_of(told, client) == SORRY
    assert told.headers["tenfold-degraded"] == "template"
    assert "tenfold-provider" not in told.headers, "nobody answered"
    call = world.outcomes.only
    assert (call.status, call.error, call.http_status) == ("ok", None, 200)
    assert (call.degraded, call.attempts, call.cost_nano, call.provider) == (("template",), 1, 0, None)
    assert not call.estimated
    world.assert_settled()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_stale_answer_is_given_with_its_age(client: str, stream: bool) -> None:
    """Also of a call that the cache would not answer: this one has no temperature."""
    world = World({client: [answer(client, stream), DOWN]}, features=declared("stale"))
    body = asking(client, stream=stream)
    fresh = await world.ask(body, client)
    assert (fresh.headers["tenfold-cache"], "tenfold-degraded" in fresh.headers) == ("bypass", False)
    world.ages.advance(500)
    told = await world.ask(body, client)
    assert (told.status, told.is_stream, told.body) == (200, stream, fresh.body)
    assert told.headers["tenfold-degraded"] == "stale"
    assert told.headers["tenfold-cache"] == "hit; layer=memory; age=500; stale"
    assert told.headers["tenfold-provider"] == client
    call = world.outcomes.calls[1]
    assert (call.status, call.error, call.degraded, call.attempts) == ("ok", None, ("stale",), 1)
    assert (call.cost_nano, call.cache_state) == (0, "hit")
    world.assert_settled()


async def test_an_answer_that_is_too_old_is_not_given() -> None:
    world = World({"openai": [whole("openai"), DOWN]}, features=declared("stale"))
    await world.ask(asking("openai"))
    world.ages.advance(601)
    assert (await world.ask(asking("openai"))).status == 502


async def test_an_answer_of_another_tenant_or_question_is_not_given() -> None:
    world = World({"openai": [whole("openai"), DOWN, DOWN, DOWN]}, features=declared("stale"))
    await world.ask(asking("openai"))
    assert (await world.ask(asking("openai"), principal=principal("other"))).status == 502
    assert (await world.ask(asking("openai", seed=1))).status == 502
    no_cache = CallOptions(cache=frozenset({"no-cache"}))
    assert (await world.ask(asking("openai"), options=no_cache)).status == 502
    world.assert_settled()


async def test_nothing_is_kept_where_no_stale_answer_is_declared() -> None:
    world = World({"openai": [whole("openai")]}, features=declared("template"))
    await world.ask(asking("openai"))
    assert len(world.cache) == 0


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_call_may_wait_for_better_times(client: str) -> None:
    parking = FakeParking()
    world = World({client: [DOWN]}, features=declared("queue"), parking=parking)
    told = await world.ask(asking(client), client)
    assert told.status == 202
    assert text_of(told, client) == "You are in the queue; ask for tkt_1."
    assert told.headers["tenfold-degraded"] == "queue"
    assert told.headers["tenfold-ticket"] == "tkt_1"
    assert told.headers["location"].endswith("/tkt_1")
    call = world.outcomes.only
    assert parking.calls == [call]
    assert (call.status, call.http_status, call.ticket, call.cost_nano) == ("ok", 202, "tkt_1", 0)
    world.assert_settled()


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_stream_may_wait_too(client: str) -> None:
    world = World({client: [DOWN]}, features=declared("queue"), parking=FakeParking())
    told = await world.ask(asking(client, stream=True), client)
    assert (told.status, told.is_stream) == (200, True)
    assert text_of(told, client) == "You are in the queue; ask for tkt_1."
    assert told.headers["tenfold-ticket"] == "tkt_1"
    assert world.outcomes.only.cost_nano == 0
    world.assert_settled()


# -- their order -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "is_known", "taken"),
    [
        (("stale", "template"), True, "stale"),
        (("stale", "template"), False, "template"),
        (("template", "stale"), True, "template"),
        (("stale", "queue", "template"), False, "queue"),
        (("queue", "stale"), True, "queue"),
    ],
)
async def test_the_first_step_that_can_be_taken_is(steps: tuple[Step, ...], is_known: bool, taken: str) -> None:
    world = World({"openai": [*[whole("openai")] * is_known, DOWN]}, features=declared(*steps), parking=FakeParking())
    for _ in range(1 + is_known):
        told = await world.ask(asking("openai"))
    assert told.headers["tenfold-degraded"] == taken
    assert world.outcomes.calls[-1].degraded == (taken,)
    world.assert_settled()


@pytest.mark.parametrize(
    "parking", [None, FakeParking(Overloaded("Too many wait.")), FakeParking(StoreUnavailable("Away."))]
)
async def test_a_call_that_cannot_wait_takes_the_next_step(parking: FakeParking | None) -> None:
    world = World({"openai": [DOWN]}, features=declared("queue", "template"), parking=parking)
    told = await world.ask(asking("openai"))
    assert (told.status, told.headers["tenfold-degraded"]) == (200, "template")
    assert "tenfold-ticket" not in told.headers
    world.assert_settled()


@pytest.mark.parametrize("steps", [("stale",), ("queue",), ()])
async def test_when_no_step_can_be_taken_the_error_is_told(steps: tuple[Step, ...]) -> None:
    parking = FakeParking(Overloaded("Too many wait."))
    world = World({"openai": [DOWN]}, features=declared(*steps), parking=parking)
    told = await world.ask(asking("openai"))
    assert (told.status, told.json["error"]["message"]) == (502, "Nobody there")
    assert "tenfold-degraded" not in told.headers
    call = world.outcomes.only
    assert (call.status, call.degraded) == ("error", ())
    assert isinstance(call.error, UpstreamUnavailable)
    world.assert_settled()


async def test_each_feature_has_its_own() -> None:
    features = {
        "search": Feature(name="search", steps=("template",), template="No search today."),
        "chat": Feature(name="chat"),
        "*": Feature(name="*", steps=("template",), template=SORRY),
    }
    world = World({"openai": [DOWN] * 4}, features=features)

    async def said(feature: str | None) -> Client:
        return await world.ask(asking("openai"), options=CallOptions(feature=feature))

    assert text_of(await said("search"), "openai") == "No search today."
    assert text_of(await said(None), "openai") == SORRY
    assert text_of(await said("another"), "openai") == SORRY
    assert (await said("chat")).status == 502, "for which nothing is declared"


async def test_nothing_is_declared_for_a_feature_nobody_names() -> None:
    world = World({"openai": [DOWN]}, features=declared("template", name="search"))
    assert (await world.ask(asking("openai"))).status == 502


# -- when ------------------------------------------------------------------------------------

JSON = [(b"content-type", b"application/json")]
HEAD = b"".join(FRAMES["openai"][: UNTIL_TOKEN["openai"] - 1])
FAILURES: list[FakeReply] = [
    *(FakeReply(status=status, headers=JSON, body=b"{}") for status in (401, 403, 404, 429, 500, 503, 529)),
    DOWN,
    FakeReply(error=UpstreamTimeout("Too slow")),
    FakeReply(headers=JSON, body=b"not JSON"),
    streamed("openai", body=HEAD, cuts=()),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda reply: f"{reply.status}{reply.error or reply.body[:8]}")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_fails_is_stood_in_for(failure: FakeReply, stream: bool) -> None:
    world = World({"openai": [failure]}, features=declared("template"))
    told = await world.ask(asking("openai", stream=stream))
    assert (told.status, text_of(told, "openai")) == (200, SORRY)
    world.assert_settled()


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_what_the_client_did_wrong_is_told(status: int) -> None:
    world = World({"openai": [FakeReply(status=status, headers=JSON, body=b"{}")]}, features=declared("template"))
    told = await world.ask(asking("openai"))
    assert told.status == status
    assert "tenfold-degraded" not in told.headers
    world.assert_settled()


def too_many(world: World) -> None:
    world.admission.limits.refuse_at_reserve = RateLimited("Too many.")


def no_budget(world: World) -> None:
    world.admission.budgets.room_for = 0


@pytest.mark.parametrize(("limit", "status"), [(too_many, 429), (no_budget, 402)])
async def test_limits_and_budgets_are_told(limit: Callable[[World], None], status: int) -> None:
    """Else a template would hide that somebody has no money left."""
    world = World({"openai": []}, features=declared("template", "queue"), parking=FakeParking())
    limit(world)
    assert (await world.ask(asking("openai"))).status == status
    world.assert_settled()


async def test_ceilings_and_names_that_are_wrong_are_told() -> None:
    world = World({"openai": []}, features=declared("template"), ceilings=Ceilings())
    told = await world.ask(asking("openai"), options=CallOptions(max_cost_nano=1))
    assert (told.status, told.json["error"]["code"]) == (402, "cost_ceiling_exceeded")
    told = await world.ask(asking("openai").replace(b'"m"', b'"x"'))
    assert told.status == 404
    world.assert_settled()


async def test_when_all_circuits_are_open_it_is_the_declared_answer() -> None:
    world = World({"openai": []}, features=declared("template"))
    world.targets["openai"].health.adopt_open(perf_counter(), 4)
    told = await world.ask(asking("openai"))
    assert (told.status, told.headers["tenfold-degraded"]) == (200, "template")
    assert world.outcomes.only.attempts == 0
    world.assert_settled()


async def test_when_all_have_all_the_calls_they_take_it_is_the_declared_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_MAX_WAIT_S", 0)
    world = World({"openai": []}, features=declared("template"))
    shaper = world.targets["openai"].shaper
    shaper.limit = 1
    assert shaper.try_enter()
    assert (await world.ask(asking("openai"))).headers["tenfold-degraded"] == "template"
    shaper.leave(limited=False, rtt_s=None)
    world.assert_settled()


async def test_it_comes_after_all_that_providers_can_do() -> None:
    world = World(
        {"openai": [DOWN, DOWN], "spare": [DOWN, whole("openai")]},
        features=declared("template"),
        route=Policy(retries=1, max_backoff_s=0),
    )
    told = await world.ask(asking("openai"))
    assert told.headers["tenfold-degraded"] == "fallback"
    assert world.outcomes.only.attempts == 4
    world.assert_settled()


async def test_a_stream_that_has_begun_ends_with_its_error() -> None:
    cut = streamed("openai", stop_at=sum(map(len, FRAMES["openai"][: UNTIL_TOKEN["openai"]])))
    world = World({"openai": [cut]}, features=declared("template"))
    told = await world.ask(asking("openai", stream=True))
    assert b"stream_interrupted" in told.body
    assert world.outcomes.only.degraded == ()
    world.assert_settled()


async def test_embeddings_have_no_words_to_stand_in() -> None:
    world = World({"openai": [DOWN]}, features=declared("stale", "template", "queue"), parking=FakeParking())
    told = await world.ask(json.encode({"model": "m", "input": ["a"]}), operation="embeddings")
    assert told.status == 502
    world.assert_settled()


async def test_a_text_that_is_not_what_was_asked_for_is_not_said() -> None:
    asked = {
        "type": "json_schema",
        "json_schema": {
            "name": "a",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"up": {"type": "boolean"}},
                "required": ["up"],
                "additionalProperties": False,
            },
        },
    }
    for template, status in ((SORRY, 502), ('{"up":1}', 502), ('{"up":false}', 200)):
        features = {"*": Feature(name="*", steps=("template",), template=template)}
        world = World({"openai": [DOWN]}, features=features)
        told = await world.ask(asking("openai", response_format=asked))
        assert told.status == status
        assert world.outcomes.only.degraded == (("template",) if status == 200 else ())
        world.assert_settled()


async def test_what_the_failed_provider_said_of_itself_is_not_told() -> None:
    said = [*JSON, (b"x-ratelimit-remaining-tokens", b"0"), (b"x-request-id", b"up-1"), (b"retry-after", b"9")]
    world = World({"openai": [FakeReply(status=429, headers=said, body=b"{}")]}, features=declared("template"))
    told = await world.ask(asking("openai"))
    for name in ("x-ratelimit-remaining-tokens", "tenfold-upstream-request-id", "retry-after"):
        assert name not in told.headers


# -- at what price ---------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["stale", "template", "queue"])
async def test_attempts_that_may_be_billed_are_paid_beside_it(step: Step) -> None:
    parking = FakeParking()
    world = World({"openai": [whole("openai"), LOST]}, features=declared(step), parking=parking)
    for _ in range(2):
        told = await world.ask(asking("openai", max_tokens=10))
    assert told.headers["tenfold-degraded"] == step
    call = world.outcomes.calls[1]
    assert call.status == "ok"
    assert call.estimated
    assert call.cost_nano is not None
    assert call.cost_nano > 18_000
    world.assert_settled()


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_said_in_place_of_an_answer_is_not_remembered(stream: bool) -> None:
    world = World({"openai": [DOWN, answer("openai", stream)]}, features=declared("template"), policy="always")
    body = asking("openai", stream=stream)
    assert (await world.ask(body)).headers["tenfold-degraded"] == "template"
    told = await world.ask(body)
    assert b"Hel" in told.body
    assert "tenfold-degraded" not in told.headers
    world.assert_settled()


# -- with keys and with others ---------------------------------------------------------------

KEY = CallOptions(idempotency_key="k")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("step", ["stale", "template"])
async def test_a_key_is_free_again_after_a_declared_answer(step: Step, stream: bool) -> None:
    """So that the same key gets the real one, once a provider is up."""
    world = World({"openai": [answer("openai", stream), DOWN, answer("openai", stream)]}, features=declared(step))
    body = asking("openai", stream=stream)
    await world.ask(body)
    told = await world.ask(body, options=KEY)
    assert told.headers["tenfold-degraded"] == step
    again = await world.ask(body, options=KEY)
    assert again.status == 200
    assert "idempotency-replayed" not in again.headers
    assert "tenfold-degraded" not in again.headers
    assert world.outcomes.calls[2].cost_nano == 18_000
    world.assert_settled()


async def test_a_key_keeps_its_ticket() -> None:
    parking = FakeParking()
    world = World({"openai": [DOWN]}, features=declared("queue"), parking=parking)
    first, again = [await world.ask(asking("openai"), options=KEY) for _ in range(2)]
    assert (first.status, again.status) == (202, 202)
    assert again.body == first.body
    assert again.headers["idempotency-replayed"] == "true"
    assert len(parking.calls) == 1
    world.assert_settled()


async def test_a_key_whose_call_may_be_billed_keeps_the_declared_answer() -> None:
    world = World({"openai": [LOST]}, features=declared("template"))
    first, again = [await world.ask(asking("openai"), options=KEY) for _ in range(2)]
    assert (first.status, again.body) == (200, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert [bool(call.cost_nano) for call in world.outcomes.calls] == [True, False]
    world.assert_settled()


@pytest.mark.parametrize("step", ["template", "queue"])
@pytest.mark.parametrize("stream", [False, True])
async def test_all_who_share_a_call_get_its_declared_answer(step: Step, stream: bool) -> None:
    world = World({"openai": [DOWN]}, features=declared(step), parking=FakeParking(), policy="always")
    body = asking("openai", stream=stream)
    told = await asyncio.gather(*(world.ask(body) for _ in range(3)))
    assert {one.status for one in told} == {202 if step == "queue" and not stream else 200}
    assert {one.body for one in told} == {told[0].body}
    assert {one.headers["tenfold-degraded"] for one in told} == {step}
    assert {one.headers.get("tenfold-ticket") for one in told} == {"tkt_1" if step == "queue" else None}
    assert {call.cost_nano for call in world.outcomes.calls} == {0}
    world.assert_settled()


async def test_a_client_that_leaves_meanwhile_has_left() -> None:
    world = World({"openai": [DOWN]}, features=declared("template"))
    await world.ask(asking("openai", stream=True), responder=Client(leaves_after=0))
    call = world.outcomes.only
    assert (call.status, call.cost_nano) == ("cancelled", None)
    world.assert_settled()


async def test_a_budget_that_is_used_up_is_not_hidden_by_an_earlier_failure() -> None:
    """Where there was no room for a second attempt, the first one's failure is what is stood in for."""
    world = World({"openai": [LOST], "spare": []}, features=declared("template"))
    world.admission.budgets.room_for = 1
    told = await world.ask(asking("openai"))
    assert told.headers["tenfold-degraded"] == "template"
    assert not isinstance(world.outcomes.only.error, BudgetExceeded)
    assert world.outcomes.only.cost_nano
    world.assert_settled()
