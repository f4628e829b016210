"""Answers that rest on documents go with them, from memory and from the rows, and one by an old version is never kept
after the change."""

import asyncio
from typing import Any

import pytest

from tenfold.cache.grounds import Document, named_by_caller
from tenfold.core.call import Call, CallOptions, Grounds
from tenfold.core.errors import StoreUnavailable
from tests.inference.semantic.world import (
    IN_OTHER_WORDS,
    REFUND,
    SemanticWorld,
    layer,
    resting_on,
    saying,
    warmed,
)
from tests.support.pipeline import Client

OLD, NEW = Document("handbook", "refunds.md", "v1"), Document("handbook", "refunds.md", "v2")
ZERO: dict[str, Any] = {"temperature": 0}  # for the exact cache


def exact_on(*documents: Document | str) -> CallOptions:
    return CallOptions(grounds=Grounds(documents=frozenset(map(str, documents))))


@pytest.fixture
def world() -> SemanticWorld:
    world = SemanticWorld()
    world.fake_rows.documents[world.principal.tenant_id] = {OLD}
    return world


def change(world: SemanticWorld) -> None:
    world.fake_rows.documents[world.principal.tenant_id] = {NEW}


async def heard(world: SemanticWorld) -> None:
    """The process hears that documents have changed."""
    world.grounded.forget(world.principal.tenant_id)
    await world.grounded.settled()


# -- by meaning --------------------------------------------------------------------------------


async def test_a_changed_document_ends_its_answers_before_anybody_was_told(world: SemanticWorld) -> None:
    await warmed(world, resting_on(OLD))
    assert layer(await world.say(IN_OTHER_WORDS, resting_on(OLD))) == "semantic"
    change(world)
    assert layer(await world.say(IN_OTHER_WORDS, resting_on(OLD))) == "miss"
    assert layer(await world.say(IN_OTHER_WORDS, resting_on(NEW))) == "miss"
    assert layer(await world.say(REFUND, resting_on(NEW))) == "semantic"


async def test_an_answer_by_a_version_that_is_no_more_is_not_kept(world: SemanticWorld) -> None:
    change(world)
    await warmed(world, resting_on(OLD))
    assert layer(await world.say(IN_OTHER_WORDS, resting_on(OLD))) == "miss"
    assert world.semantic.counts["dropped", "documents"] == 2


async def test_an_eviction_of_the_callers_own_ends_its_answers_and_those_in_flight(world: SemanticWorld) -> None:
    tenant_id = world.principal.tenant_id
    seven = resting_on("/manual@7")
    await warmed(world, seven)
    assert layer(await world.say(IN_OTHER_WORDS, seven)) == "semantic"
    assert await world.rows.evict(tenant_id, [named_by_caller("manual@7")]) == 1
    assert layer(await world.say(IN_OTHER_WORDS, seven)) == "miss"
    assert layer(await world.say(REFUND, seven)) == "miss"
    eight = resting_on("/manual@8")
    assert layer(await world.say(REFUND, eight)) == "miss"
    assert layer(await world.say(IN_OTHER_WORDS, eight)) == "semantic"


async def test_an_entry_of_another_version_is_no_answer_for_a_call_that_names_one(world: SemanticWorld) -> None:
    await warmed(world, resting_on("/manual@7", "/else@1"))
    why = saying(grounds=Grounds(documents=frozenset({"/manual@8", "/else@1"})), explain=frozenset({"cache"}))
    assert (await world.say(IN_OTHER_WORDS, why)).headers["tenfold-cache-why"] == "documents"


async def test_the_question_of_a_grounded_call_is_what_it_says_it_is(world: SemanticWorld) -> None:
    def asking(question: str) -> CallOptions:
        return saying(grounds=Grounds(question=question, documents=frozenset({str(OLD)})))

    passages = "Passages:\n[1] Refunds\nAsk for them.\n\nQuestion: "
    for _ in range(2):
        await world.say(passages + REFUND, asking(REFUND))
    other = passages.replace("Ask", "You ask") + IN_OTHER_WORDS
    assert layer(await world.say(other, asking(IN_OTHER_WORDS))) == "semantic"
    assert world.embedder.embedded[-1] == IN_OTHER_WORDS


# -- by bytes ----------------------------------------------------------------------------------


async def test_an_answer_in_memory_goes_with_its_document(world: SemanticWorld) -> None:
    for expected in ("miss", "memory"):
        assert layer(await world.say(REFUND, exact_on(OLD), **ZERO)) == expected
    await world.say(REFUND, **ZERO)
    await heard(world)
    assert layer(await world.say(REFUND, exact_on(OLD), **ZERO)) == "memory"
    change(world)
    await heard(world)
    assert world.grounded.evicted == 2  # under its bytes and its normal form
    assert layer(await world.say(REFUND, exact_on(OLD), **ZERO)) == "miss"
    assert world.cache.documents(world.principal.tenant_id) == frozenset()


async def test_what_is_kept_behind_a_call_is_kept_under_what_was_asked(
    world: SemanticWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = world.outcomes.record

    def let_go(call: Call) -> None:
        """As the product's: nothing after the outcome needs a body."""
        record(call)
        call.body = b""

    monkeypatch.setattr(world.outcomes, "record", let_go)
    for expected in ("miss", "memory"):
        assert layer(await world.say(REFUND, exact_on(OLD), **ZERO)) == expected
    assert (await world.ask(b"")).status == 400


async def test_one_of_an_old_version_does_not_enter_memory(world: SemanticWorld) -> None:
    change(world)
    for _ in range(2):
        assert layer(await world.say(REFUND, exact_on(OLD), **ZERO)) == "miss"


async def test_what_is_heard_while_the_rows_are_asked_keeps_an_answer_out(
    world: SemanticWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    changed = world.fake_rows.changed

    async def slowly(*args: Any) -> Any:
        found = await changed(*args)
        asked.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(world.fake_rows, "changed", slowly)
    saying_it = asyncio.create_task(world.say(REFUND, exact_on(OLD), **ZERO))
    await asked.wait()  # the old version was current
    change(world)
    world.grounded.forget(world.principal.tenant_id)
    go_on.set()
    await saying_it
    assert len(world.cache) == 0


async def test_evictions_reach_memory_by_name_and_by_version(world: SemanticWorld) -> None:
    tenant_id = world.principal.tenant_id
    for version in (7, 8):
        assert layer(await world.say(f"{REFUND} {version}", exact_on(f"/manual@{version}"), **ZERO)) == "miss"
    world.clock.advance(10)  # of the rows
    world.ages.advance(10)  # of the cache in memory
    await world.rows.evict(tenant_id, [named_by_caller("manual@7")])
    await heard(world)
    assert layer(await world.say(f"{REFUND} 7", exact_on("/manual@7"), **ZERO)) == "miss"
    assert layer(await world.say(f"{REFUND} 8", exact_on("/manual@8"), **ZERO)) == "memory"
    await world.rows.evict(tenant_id, [named_by_caller("manual")])
    await heard(world)
    assert layer(await world.say(f"{REFUND} 8", exact_on("/manual@8"), **ZERO)) == "miss"
    world.clock.advance(10)
    for expected in ("miss", "memory"):
        assert layer(await world.say(f"{REFUND} 8", exact_on("/manual@8"), **ZERO)) == expected


async def test_the_same_bytes_by_other_documents_are_another_answer(world: SemanticWorld) -> None:
    assert layer(await world.say(REFUND, exact_on("/manual@7"), **ZERO)) == "miss"
    assert layer(await world.say(REFUND, exact_on("/manual@8"), **ZERO)) == "miss"
    assert layer(await world.say(REFUND, exact_on("/manual@8"), **ZERO)) == "memory"


async def test_without_the_database_what_rests_on_documents_goes_and_the_rest_stays(world: SemanticWorld) -> None:
    await world.say(REFUND, exact_on(OLD), **ZERO)
    await world.say(IN_OTHER_WORDS, CallOptions(), **ZERO)
    world.fake_rows.fails = StoreUnavailable("away")
    world.grounded.forget(None)
    await world.grounded.settled()
    assert layer(await world.say(REFUND, exact_on(OLD), **ZERO)) == "miss"
    assert layer(await world.say(IN_OTHER_WORDS, CallOptions(), **ZERO)) == "memory"


async def test_other_tenants_keep_theirs(world: SemanticWorld) -> None:
    other = SemanticWorld().principal
    world.fake_rows.documents[other.tenant_id] = {OLD}
    await world.say(REFUND, exact_on(OLD), principal=other, **ZERO)
    change(world)
    await heard(world)
    reply: Client = await world.say(REFUND, exact_on(OLD), principal=other, **ZERO)
    assert layer(reply) == "memory"
