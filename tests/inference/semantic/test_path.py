"""A question in other words on the one path: answered from the cache, kept, checked, left alone where it must be."""

from typing import Any

import pytest
from msgspec import json

from tenfold.core.call import CallOptions
from tenfold.core.errors import StoreUnavailable
from tenfold.core.usage import Usage
from tests.inference.semantic.world import (
    ELSE,
    IN_OTHER_WORDS,
    REFUND,
    SEMANTIC,
    Answering,
    SemanticWorld,
    layer,
    saying,
    warmed,
)
from tests.inference.test_switches import FakeSwitches
from tests.support.pipeline import MODEL, principal


async def test_other_words_get_the_same_answer_for_nothing() -> None:
    world = await warmed(SemanticWorld())
    spent = world.admission.budgets.spent
    reply = await world.say(IN_OTHER_WORDS)
    assert reply.headers["tenfold-cache"] == "hit; layer=semantic; age=0; bound=1.0000"
    assert reply.headers["tenfold-cost-usd"] == "0"
    assert reply.json["choices"][0]["message"]["content"] == f"A: {REFUND} (2)"
    assert world.upstream.asked == [ELSE, REFUND]
    receipt = world.outcomes.calls[-1]
    assert (receipt.cache_state, receipt.cost_nano, receipt.provider) == ("hit", 0, "openai")
    assert receipt.usage == Usage(input_tokens=12, output_tokens=3)
    assert world.admission.budgets.spent == spent
    world.assert_settled()


async def test_an_answer_has_the_age_of_the_one_that_was_kept() -> None:
    world = await warmed(SemanticWorld())
    world.clock.advance(100)
    assert "age=100" in (await world.say(IN_OTHER_WORDS)).headers["tenfold-cache"]
    assert layer(await world.say(IN_OTHER_WORDS, saying(max_age_s=99.0))) == "miss"
    world.clock.advance(86_400)
    assert layer(await world.say(f"{REFUND}!")) != "semantic"


@pytest.mark.parametrize(
    ("policy", "says", "expected"),
    [
        ("off", True, "bypass"),
        ("on_request", False, "bypass"),
        ("on_request", True, "semantic"),
        ("always", False, "semantic"),
    ],
)
async def test_the_policy_and_the_request_say_which_calls_are_looked_up(policy: Any, says: bool, expected: str) -> None:
    options = SEMANTIC if says else CallOptions()
    world = SemanticWorld(policy=policy)
    await world.say(ELSE, options)
    await warmed(world, options)
    assert layer(await world.say(IN_OTHER_WORDS, options)) == expected
    assert bool(world.embedder.embedded) == (expected == "semantic")


@pytest.mark.parametrize(
    "other",
    [
        {"system": "Be long."},
        {"temperature": 0.3},
        {"max_tokens": 5},
        {"stream": True},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        {"response_format": {"type": "text"}},
        {"anything": "else"},
        {"options": saying(upstream_headers=((b"openai-beta", b"x"),))},
    ],
    ids=str,
)
async def test_everything_but_the_question_is_the_scope(other: dict[str, Any]) -> None:
    world = await warmed(SemanticWorld())
    assert layer(await world.say(IN_OTHER_WORDS, **other)) == "miss"
    assert layer(await world.say(IN_OTHER_WORDS)) == "semantic"


async def test_who_asks_is_not_part_of_the_scope_within_a_tenant() -> None:
    world = await warmed(SemanticWorld())
    assert layer(await world.say(IN_OTHER_WORDS, user="somebody", metadata={"a": "b"})) == "semantic"


async def test_an_answer_never_reaches_another_tenant() -> None:
    world = await warmed(SemanticWorld())
    other = principal("other")
    for question in (IN_OTHER_WORDS, REFUND):
        assert layer(await world.say(question, principal=other)) == "miss"
    assert layer(await world.say(IN_OTHER_WORDS, principal=other)) == "semantic"
    assert world.upstream.asked == [ELSE, REFUND, IN_OTHER_WORDS, REFUND]


CONVERSATION = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": REFUND},
]
PICTURE = [{"type": "image_url", "image_url": {"url": "https://x.y/z.png"}}, {"type": "text", "text": REFUND}]


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"messages": [{"role": "user", "content": PICTURE}]},
        {"messages": [{"role": "user", "content": REFUND}, {"role": "assistant", "content": "Well,"}]},
        {"messages": [{"role": "user", "content": REFUND * 50}]},
        {"messages": [{"role": "user", "content": "  "}]},
        {"messages": CONVERSATION},
    ],
    ids=["several", "picture", "assistant last", "long", "empty", "conversation"],
)
async def test_what_is_no_question_is_left_alone(more: dict[str, Any]) -> None:
    world = SemanticWorld(policy="always")
    for _ in range(3):
        reply = await world.say("", CallOptions(), **more)
        assert layer(reply) == "bypass"
    assert world.embedder.embedded == []
    assert len(world.upstream.asked) == 3


async def test_a_conversation_is_looked_up_where_the_request_says_so() -> None:
    world = SemanticWorld(policy="always")
    for _ in range(2):
        await world.say("", SEMANTIC, messages=CONVERSATION)
    assert layer(await world.say("", SEMANTIC, messages=CONVERSATION)) == "semantic"
    others = [{"role": "user", "content": "Good morning"}, *CONVERSATION[1:]]
    assert layer(await world.say("", SEMANTIC, messages=others)) == "miss"


@pytest.mark.parametrize("client", ["openai", "anthropic", "openai_responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_every_dialect_has_its_answer_again_as_it_was(client: str, stream: bool) -> None:
    world = SemanticWorld()
    more: dict[str, Any] = {"client": client, "stream": stream}
    await warmed(world, **more)
    kept = await world.say(REFUND, saying(cache=["no-cache"]), **more)
    reply = await world.say(IN_OTHER_WORDS, **more)
    assert layer(reply) == "semantic"
    assert reply.is_stream == stream
    assert f"A: {REFUND} ({3 if reply.body == kept.body else 2})" in reply.body.decode()
    world.assert_settled()


@pytest.mark.parametrize("finish", ["length", "tool_calls", "content_filter"])
async def test_what_is_no_whole_text_is_not_kept(finish: str) -> None:
    world = await warmed(SemanticWorld(Answering(finish)))
    assert layer(await world.say(IN_OTHER_WORDS)) == "miss"
    assert world.semantic.counts["dropped", "no whole text"] == 2


async def test_a_check_asks_the_model_and_learns() -> None:
    world = await warmed(SemanticWorld())
    (decider,) = world.deciders
    decider.checks = True
    reply = await world.say(IN_OTHER_WORDS)
    assert layer(reply) == "miss"
    assert world.compared == [(f"A: {IN_OTHER_WORDS} (3)", f"A: {REFUND} (2)")]
    assert [(seen.kind, seen.verdict) for seen in decider.seen] == [("check", "same")]
    answers = {entry.question: entry.answer_id for entry in decider.entries.values()}
    assert answers[IN_OTHER_WORDS] == answers[REFUND]


async def test_a_wrong_answer_found_by_a_check_switches_the_scope_off_and_a_reset_on_again() -> None:
    world = await warmed(SemanticWorld(verdicts=["different"]))
    (decider,) = world.deciders
    decider.checks = True
    await world.say(IN_OTHER_WORDS)
    reply = await world.say(REFUND, saying(explain=frozenset({"cache"})))
    assert layer(reply) == "miss"
    assert reply.headers["tenfold-cache-why"].startswith("off; probability=1.000; bound=")
    tenant_id = world.principal.tenant_id
    (scope,) = await world.rows.page(tenant_id, before=None, limit=10)
    assert scope.status.is_off
    assert await world.rows.reset(tenant_id, scope.id)
    await world.semantic.scopes.catch_up()
    await warmed(world)
    assert layer(await world.say(IN_OTHER_WORDS)) == "semantic"


async def test_a_scope_that_nobody_asks_in_again_is_not_made() -> None:
    world = SemanticWorld(policy="always")
    for number in range(5):
        await world.say(REFUND, CallOptions(), system=f"It is {number} o'clock.")
    assert len(world.semantic.scopes) == 0
    assert world.embedder.embedded == []
    assert await world.rows.page(world.principal.tenant_id, before=None, limit=10) == []


async def test_the_bound_of_a_request_goes_before_that_of_the_settings() -> None:
    world = await warmed(SemanticWorld())
    await world.say(IN_OTHER_WORDS, saying(max_false_hits=0.03))
    assert world.deciders[0].asked[-2:] == [None, 0.03]


async def test_no_cache_is_not_answered_and_kept_and_no_store_answered_and_not_kept() -> None:
    world = await warmed(SemanticWorld())
    assert layer(await world.say(IN_OTHER_WORDS, saying(cache=["no-cache"]))) == "miss"
    assert len(world.deciders[0].entries) == 2
    assert layer(await world.say(IN_OTHER_WORDS, saying(cache=["no-store"]))) == "semantic"
    assert layer(await world.say("Which colours does the small chair come in", saying(cache=["no-store"]))) == "miss"
    assert len(world.deciders[0].entries) == 2


async def test_a_call_is_told_why_it_was_not_answered() -> None:
    world = SemanticWorld()
    why = saying(explain=frozenset({"cache"}))
    replies = [await world.say(question, why) for question in (REFUND, REFUND, ELSE, REFUND)]
    told = [reply.headers["tenfold-cache-why"].split(";")[0] for reply in replies]
    assert told == ["the scope is read", "empty", "far", "ok"]


async def test_without_its_embedder_or_the_database_the_model_answers() -> None:
    world = await warmed(SemanticWorld())
    why = saying(explain=frozenset({"cache"}))
    world.embedder.away = True
    assert (await world.say(IN_OTHER_WORDS, why)).headers["tenfold-cache-why"] == "the embedder is busy"
    world.embedder.away = False
    world.fake_rows.fails = StoreUnavailable("away")
    reply = await world.say(IN_OTHER_WORDS, why)
    assert (layer(reply), reply.headers["tenfold-cache-why"]) == ("miss", "the database is away")
    world.fake_rows.fails = None
    assert layer(await world.say(IN_OTHER_WORDS)) == "semantic"


async def test_a_model_that_is_switched_off_says_nothing_from_the_cache_either() -> None:
    switches = FakeSwitches()
    world = await warmed(SemanticWorld(switches=switches))
    switches.thrown = FakeSwitches(provider="openai").thrown
    reply = await world.ask(_body(IN_OTHER_WORDS), options=SEMANTIC)
    assert reply.status == 503


async def test_a_process_follows_the_others() -> None:
    one = SemanticWorld()
    two = SemanticWorld(rows=one.rows)
    two.principal = one.principal
    await two.say(ELSE)  # it has the scope in memory
    await warmed(one)
    assert layer(await two.say(IN_OTHER_WORDS)) == "miss"
    await one.semantic.scopes.catch_up()
    assert layer(await one.say(IN_OTHER_WORDS)) == "semantic"
    await two.semantic.scopes.catch_up()
    assert layer(await two.say(f"{REFUND}!")) == "semantic"
    for world in (one, two):
        await world.semantic.scopes.catch_up()
    (scope,) = await one.rows.page(one.principal.tenant_id, before=None, limit=10)
    assert scope.status.hits == 2
    assert len(one.deciders[0].seen) == len(two.deciders[0].seen)


async def test_scopes_that_find_no_room_are_read_again() -> None:
    world = SemanticWorld(max_bytes=1)
    await warmed(world)
    await warmed(world, system="Be long.")
    assert len(world.semantic.scopes) == 1
    assert layer(await world.say(IN_OTHER_WORDS)) == "miss"  # it is read
    assert layer(await world.say(IN_OTHER_WORDS)) == "semantic"


async def test_answers_that_are_too_large_are_not_kept() -> None:
    world = await warmed(SemanticWorld(max_answer_bytes=50))
    assert layer(await world.say(IN_OTHER_WORDS)) == "miss"
    assert world.semantic.counts["dropped", "too large"] == 2


async def test_the_exact_cache_goes_first() -> None:
    world = SemanticWorld()
    for expected in ("miss", "memory"):
        assert layer(await world.say(REFUND, temperature=0)) == expected
    assert len(world.embedder.embedded) == 1


def _body(question: str) -> bytes:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
    return json.encode({"model": MODEL, "messages": messages})
