"""Frequent questions at rest: the contract of `ports.QuestionRows`, over memory and Postgres."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tenfold.assistant.precompute.types import KEEP_DAYS, KEEP_RUN_DAYS, Ahead, Noted, asker_of, digest_of
from tenfold.assistant.types import Citation
from tenfold.core.ids import TenantId, uuid7
from tests.assistant.precompute.conftest import Shelf

KEY, PRICE = "How do I reset a key?", "What does it cost?"
DOCUMENT = "vs_1/file-a@b/c@v1"  # a name may hold both signs


def noted(tenant_id: TenantId, question: str, who: str, *, from_cache: bool = False) -> Noted:
    digest = digest_of(tenant_id, question)
    return Noted(tenant_id=tenant_id, digest=digest, asker=asker_of(digest, who), text=question, from_cache=from_cache)


async def ask(shelf: Shelf, question: str, who: Sequence[str], *, tenant_id: TenantId | None = None) -> bytes:
    tenant_id = tenant_id or shelf.tenant
    await shelf.rows.note(tenant_id, [noted(tenant_id, question, one) for one in who], min_askers=3)
    return digest_of(tenant_id, question)


async def hit(shelf: Shelf, question: str) -> None:
    await shelf.rows.note(shelf.tenant, [noted(shelf.tenant, question, "ana", from_cache=True)], min_askers=3)


def ahead(question: str) -> Ahead:
    cited = Citation(number=1, title="Keys", url="/k", heading="", span=(1, 9), excerpt="Reset it")
    return Ahead(
        question=question, text="Press reset [1].", citations=[cited], answered_at=datetime(2026, 1, 1, tzinfo=UTC)
    )


async def test_words_are_kept_from_the_third_person_on(shelf: Shelf) -> None:
    await ask(shelf, KEY, ["ana", "ben", "ana", "ana"])
    assert await shelf.rows.frequent(shelf.tenant, limit=9) == []
    assert await shelf.rows.tenants_asked() == []
    digest = await ask(shelf, "how do I RESET a key", ["cyd"])
    (found,) = await shelf.rows.frequent(shelf.tenant, limit=9)
    assert (found.digest, found.text, found.asks, found.rising) == (digest, "how do I RESET a key", 5, 5)
    assert (await shelf.rows.tenants_asked(), await shelf.rows.frequent(shelf.other, limit=9)) == ([shelf.tenant], [])


async def test_what_rises_comes_first_and_what_is_long_ago_not_at_all(shelf: Shelf) -> None:
    await ask(shelf, PRICE, ["ana", "ben", "cyd", "dan", "eve"])
    await shelf.let_pass(5)
    await ask(shelf, KEY, ["ana", "ben", "cyd"])
    found = await shelf.rows.frequent(shelf.tenant, limit=9)
    assert [(one.text, one.asks, one.rising) for one in found] == [(KEY, 3, 3), (PRICE, 5, 0)]
    assert [one.text for one in await shelf.rows.frequent(shelf.tenant, limit=1, offset=1)] == [PRICE]
    await shelf.let_pass(10)
    assert [one.text for one in await shelf.rows.frequent(shelf.tenant, limit=9)] == [KEY]


@pytest.mark.parametrize("call_nano", [7, 0])
async def test_a_run_counts_each_question_once_and_all_that_was_paid(shelf: Shelf, call_nano: int) -> None:
    rows, (run_id, later_id) = shelf.rows, sorted([uuid7(), uuid7()])
    await shelf.put(shelf.tenant, DOCUMENT)
    key, price = await ask(shelf, KEY, ["ana", "ben", "cyd"]), await ask(shelf, PRICE, ["ana", "ben", "cyd"])
    run = await rows.begin(shelf.tenant, run_id, budget_nano=100)
    assert (run.budget_nano, run.cost_nano, run.done, run.ended_at) == (100, 0, frozenset(), None)
    await hit(shelf, KEY)  # before anything was answered ahead of time: not earned by it
    await rows.paid(shelf.tenant, run_id, key, 7)
    for given in (call_nano, 9):
        await rows.answered(
            shelf.tenant, run_id, key, call_nano=given, ahead=ahead(KEY), documents=[DOCUMENT, DOCUMENT]
        )
    await rows.answered(shelf.tenant, run_id, price)
    run = await rows.begin(shelf.tenant, run_id, budget_nano=5)
    assert (run.budget_nano, run.questions, run.answered, run.cost_nano) == (100, 2, 1, 7)
    assert run.done == {key, price}
    await rows.end(shelf.tenant, run_id, "done")
    await rows.end(shelf.tenant, run_id, "budget")
    later = await rows.begin(shelf.tenant, later_id, budget_nano=1)
    assert [one.id for one in await rows.runs(shelf.tenant, limit=9)] == [later.id, run_id]
    (told,) = await rows.runs(shelf.tenant, limit=9, before=later.id)
    assert (told.ended_why, told.ended_at is not None) == ("done", True)
    assert await rows.runs(shelf.other, limit=9) == []

    for _ in range(3):
        await hit(shelf, KEY)
    earned = await rows.earned(shelf.tenant)
    assert (earned.questions, earned.answered, earned.hits) == (2, 1, 3)
    assert (earned.paid_nano, earned.saved_nano, earned.hits_per_usd) == (7, 21, 3e9 / 7)
    assert (await rows.earned(shelf.other)).hits_per_usd is None


async def test_an_answer_is_shown_as_long_as_its_documents_are_the_same(shelf: Shelf) -> None:
    rows, run_id = shelf.rows, uuid7()
    key = await ask(shelf, KEY, ["ana", "ben", "cyd"])
    await shelf.put(shelf.tenant, DOCUMENT)
    await rows.begin(shelf.tenant, run_id, budget_nano=1)
    await rows.answered(shelf.tenant, run_id, key, ahead=ahead(KEY), documents=[DOCUMENT])
    assert await rows.ahead(shelf.tenant, limit=9) == [ahead(KEY)]
    assert await rows.ahead(shelf.other, limit=9) == []

    again = (await rows.begin(shelf.tenant, uuid7(), budget_nano=1)).id
    await rows.answered(shelf.tenant, again, key, degraded=True)
    assert await rows.ahead(shelf.tenant, limit=9) == [ahead(KEY)]
    await shelf.put(shelf.tenant, DOCUMENT.replace("@v1", "@v2"))
    assert await rows.ahead(shelf.tenant, limit=9) == []


async def test_what_nobody_asks_any_more_is_forgotten(shelf: Shelf) -> None:
    await ask(shelf, KEY, ["ana", "ben", "cyd"])
    await ask(shelf, KEY, ["ana", "ben"], tenant_id=shelf.other)
    await shelf.rows.begin(shelf.tenant, uuid7(), budget_nano=1)
    assert await shelf.rows.tenants_expired() == []
    await shelf.let_pass(KEEP_DAYS)
    assert sorted(await shelf.rows.tenants_expired()) == sorted([shelf.tenant, shelf.other])
    await ask(shelf, KEY, ["cyd"], tenant_id=shelf.other)  # one of three, and two who are forgotten
    assert await shelf.rows.frequent(shelf.other, limit=9) == []
    for tenant_id in await shelf.rows.tenants_expired():
        while await shelf.rows.expire(tenant_id, limit=100):
            pass
    assert (await shelf.rows.earned(shelf.tenant)).questions == 0
    assert (await shelf.rows.tenants_expired(), len(await shelf.rows.runs(shelf.tenant, limit=9))) == ([], 1)
    await shelf.let_pass(KEEP_RUN_DAYS - KEEP_DAYS)
    assert sorted(await shelf.rows.tenants_expired()) == sorted([shelf.tenant, shelf.other])
    await shelf.rows.expire(shelf.tenant, limit=100)
    assert await shelf.rows.runs(shelf.tenant, limit=9) == []
