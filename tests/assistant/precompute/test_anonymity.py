"""Of what fewer people ask than are enough no word is anywhere: whoever reads the rows learns that something was
asked."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.assistant.precompute.counting import Counting
from tenfold.assistant.precompute.fake import FakeQuestionRows
from tenfold.assistant.precompute.queries import PostgresQuestionRows
from tenfold.assistant.precompute.types import asker_of, digest_of
from tenfold.assistant.tickets.answering import acting_for
from tenfold.assistant.types import AnswerEnd, CallSummary
from tenfold.core.clock import FakeClock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import KeyId, TenantId, UserId, uuid7
from tenfold.core.principal import Principal
from tenfold.store import Store
from tests.assistant.precompute.test_rows import ahead
from tests.ledger.samples import add_tenant

ANSWERED = AnswerEnd(outcome="answered", latency_ms=1)
WHO = Principal(tenant_id=TenantId(uuid7()), tenant_slug="acme", key_id=KeyId(uuid7()))
TABLES = ("question_days", "question_askers", "frequent_questions", "precompute_runs")

questions = st.sampled_from(["alpha", "Alpha!", "beta", "gamma"])
asked = st.lists(st.tuples(questions, st.sampled_from("vwxyz")), max_size=40)


@given(asked=asked, k=st.integers(2, 5), flush_every=st.integers(1, 7))
def test_words_are_those_of_k_people_or_of_nobody(asked: list[tuple[str, str]], k: int, flush_every: int) -> None:
    rows = FakeQuestionRows(FakeClock())
    counting = Counting(rows, min_askers=k)
    askers: dict[str, set[str]] = {}

    async def all_of_it() -> None:
        for number, (question, who) in enumerate(asked, 1):
            counting.heard(WHO, question, who, ANSWERED)
            askers.setdefault(question.lower().strip("!"), set()).add(who)
            if number % flush_every == 0:
                await counting.flush()
        await counting.flush()

    asyncio.run(all_of_it())
    enough = {question for question, people in askers.items() if len(people) >= k}
    assert {words.lower().strip("!") for words in rows.kept_words()} == enough


async def test_no_row_of_postgres_holds_what_too_few_ask(store: Store) -> None:
    rows = PostgresQuestionRows(store)
    await add_tenant(store, WHO.tenant_id)
    counting = Counting(rows, min_askers=3)
    for who in ("ana", "ben", "ana", "ben", "ana"):
        counting.heard(WHO, "Is Zweistein leaving?", who, ANSWERED)
        await counting.flush()
    assert "zweistein" not in (told := await everything(store)).lower()
    assert "ana" not in told
    counting.heard(WHO, "Is Zweistein leaving?", "cyd", ANSWERED)
    await counting.flush()
    assert "Is Zweistein leaving?" in await everything(store)


async def everything(store: Store) -> str:
    async with store.tenant(WHO.tenant_id, readonly=True) as tx:
        found = [await tx.fetch(f"SELECT t::text FROM {table} t") for table in TABLES]
    return "\n".join(row[0] for of_table in found for row in of_table)


@pytest.mark.parametrize(
    ("one", "other"), [("C", "C++"), ("\u0915\u093f", "\u0915\u093e"), ("under 5", "under -5"), ("1.5 l", "15 l")]
)
def test_questions_that_differ_are_not_counted_together(one: str, other: str) -> None:
    assert digest_of(WHO.tenant_id, one) != digest_of(WHO.tenant_id, other)


def test_one_person_is_another_in_each_question_and_tenant() -> None:
    first, second = digest_of(WHO.tenant_id, "alpha"), digest_of(WHO.tenant_id, "beta")
    assert asker_of(first, "ana") != asker_of(second, "ana")
    assert digest_of(TenantId(uuid7()), "alpha") != first == digest_of(WHO.tenant_id, "  ALPHA?")


async def test_only_answers_are_counted_of_a_few_at_a_time_and_none_is_lost_to_a_database_that_is_away() -> None:
    rows = FakeQuestionRows(FakeClock())
    counting = Counting(rows, min_askers=2, most=3)
    counting.heard(WHO, "alpha", "ana", AnswerEnd(outcome="abstained", latency_ms=1))
    user = Principal(tenant_id=WHO.tenant_id, tenant_slug="acme", user_id=UserId(uuid7()))
    for who, end_user in ((WHO, None), (WHO, None), (user, None), (user, "ana")):
        counting.heard(who, "beta", end_user, ANSWERED)
    rows.away = True
    with pytest.raises(StoreUnavailable):
        await counting.flush()
    rows.away = False
    await counting.flush()
    await counting.flush()
    (found,) = await rows.frequent(WHO.tenant_id, limit=9)
    assert (found.text, found.asks) == ("beta", 3)


async def test_nobody_passes_for_five_with_a_key_that_everyone_can_read() -> None:
    rows = FakeQuestionRows(FakeClock())
    counting = Counting(rows, min_askers=2)
    page = Principal(tenant_id=WHO.tenant_id, tenant_slug="acme", key_id=KeyId(uuid7()), scopes=frozenset({"support"}))
    for visitor in ("ana", "ben", "cyd"):
        counting.heard(acting_for(page), "alpha", visitor, ANSWERED)
    await counting.flush()
    assert rows.kept_words() == []


async def test_a_hit_is_one_of_the_cache() -> None:
    rows = FakeQuestionRows(FakeClock())
    counting = Counting(rows, min_askers=1)
    counting.heard(WHO, "alpha", "ana", ANSWERED)
    await counting.flush()
    run = await rows.begin(WHO.tenant_id, uuid7(), budget_nano=9)
    (found,) = await rows.frequent(WHO.tenant_id, limit=9)
    await rows.answered(WHO.tenant_id, run.id, found.digest, call_nano=4, ahead=ahead("alpha"))
    for state in ("hit", "miss", "coalesced"):
        call = CallSummary(model="m", cache=state)
        counting.heard(WHO, "alpha", "ana", AnswerEnd(outcome="answered", latency_ms=1, call=call))
    await counting.flush()
    earned = await rows.earned(WHO.tenant_id)
    assert (earned.hits, earned.saved_nano) == (1, 4)
