"""Support tickets at rest: the contract of `ports.TicketRows`, over memory and Postgres."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tenfold.assistant.tickets.types import Message, Question, State, Thread
from tenfold.assistant.types import AnswerEnd, CallSummary, Citation, HandOff
from tenfold.core.ids import TenantId, uuid7
from tests.assistant.tickets.conftest import Shelf

MOST = 6
DAY_S = 86_400.0


def question(text: str = "How do I reset a key?", **given: Any) -> Question:
    question_id = uuid7()
    return Question(ticket_id=question_id, id=question_id, text=text, is_new=True, **given)


def following(thread: Thread, text: str = "And then?") -> Question:
    return Question(ticket_id=thread.ticket.id, id=uuid7(), text=text, is_new=False)


def message(text: str, *, answers: UUID | None = None, author: str = "") -> Message:
    end = AnswerEnd(
        outcome="answered",
        latency_ms=12,
        citations=[
            Citation(number=1, title="Keys", url="/docs/keys", heading="Reset", span=(3, 9), excerpt="Reset it")
        ],
        call=CallSummary(model="small", provider="offline", cost_nano=5, input_tokens=7, output_tokens=2),
        confidence=0.75,
        prompt="support@1",
        documents=["documentation/keys@1a"],
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    if author:
        return Message(id=uuid7(), role="agent", text=text, at=at, author=author)
    return Message(id=uuid7(), role="assistant", text=text, at=at, answer=end, answers=answers)


async def opened(shelf: Shelf, tenant_id: TenantId | None = None, **given: Any) -> Thread:
    thread = await shelf.rows.ask(tenant_id or shelf.tenant, question(**given), most=MOST)
    assert thread is not None
    return thread


async def answered(shelf: Shelf, thread: Thread, hand_off: HandOff | None = None) -> Thread:
    assert thread.pending is not None
    said = message("Press reset [1].", answers=thread.pending)
    told = await shelf.rows.answer(shelf.tenant, thread.ticket.id, said, hand_off=hand_off)
    assert told is not None
    return told


def there(thread: Thread | None) -> Thread:
    assert thread is not None
    return thread


async def test_a_question_opens_a_ticket_once(shelf: Shelf) -> None:
    asked = question(end_user="ana", email="ana@example.com", token=b"\x01" * 32)
    first = there(await shelf.rows.ask(shelf.tenant, asked, most=MOST))
    again = there(await shelf.rows.ask(shelf.tenant, asked, most=MOST))

    assert again == first == await shelf.rows.find(shelf.tenant, asked.ticket_id)
    ticket = first.ticket
    assert (ticket.state, ticket.subject, ticket.messages) == ("waiting", asked.text, 1)
    assert (ticket.end_user, ticket.email, ticket.token) == ("ana", "ana@example.com", b"\x01" * 32)
    assert [(each.role, each.text, each.pending) for each in first.messages] == [("user", asked.text, True)]
    assert first.pending == asked.id


async def test_an_answer_is_there_once_with_all_that_is_told_of_it(shelf: Shelf) -> None:
    thread = await opened(shelf)
    first = await answered(shelf, thread)
    said = message("Another try [1].", answers=thread.pending)
    again = there(await shelf.rows.answer(shelf.tenant, thread.ticket.id, said, hand_off="abstained"))

    assert again == first
    assert (first.ticket.state, first.ticket.messages, first.pending) == ("answered", 2, None)
    answer = first.messages[-1]
    assert answer.text == "Press reset [1]."
    assert answer.answer == message("", answers=thread.pending).answer
    assert first.ticket.version > thread.ticket.version


async def test_an_answer_to_nothing_is_written_nowhere(shelf: Shelf) -> None:
    thread = await opened(shelf)
    assert await shelf.rows.answer(shelf.tenant, uuid7(), message("x", answers=thread.pending), hand_off=None) is None
    stray = message("x", answers=uuid7())
    assert await shelf.rows.answer(shelf.tenant, thread.ticket.id, stray, hand_off=None) is None


async def test_a_ticket_waits_until_all_of_its_questions_are_answered(shelf: Shelf) -> None:
    thread = await opened(shelf)
    second = there(await shelf.rows.ask(shelf.tenant, following(thread), most=MOST))
    between = await answered(shelf, second)
    after = await answered(shelf, between)

    assert [each.ticket.state for each in (second, between, after)] == ["waiting", "waiting", "answered"]
    assert [each.role for each in after.messages] == ["user", "user", "assistant", "assistant"]


async def test_an_answer_may_hand_the_ticket_over(shelf: Shelf) -> None:
    thread = await answered(shelf, await opened(shelf), "abstained")

    assert (thread.ticket.state, thread.ticket.hand_off) == ("handed_off", "abstained")
    assert thread.ticket.handed_off_at is not None


async def test_where_a_person_is_in_charge_the_assistant_only_adds_its_answer(shelf: Shelf) -> None:
    thread = await opened(shelf)
    await shelf.rows.hand_off(shelf.tenant, thread.ticket.id, "asked")
    late = await answered(shelf, thread, "abstained")
    assert (late.ticket.state, late.ticket.hand_off, len(late.messages)) == ("handed_off", "asked", 2)

    more = there(await shelf.rows.ask(shelf.tenant, following(late), most=MOST))
    assert (more.ticket.state, more.pending) == ("handed_off", None)


async def test_a_ticket_is_one_agents_at_a_time(shelf: Shelf) -> None:
    ticket_id = (await answered(shelf, await opened(shelf), "abstained")).ticket.id
    mine = there(await shelf.rows.claim(shelf.tenant, ticket_id, "Ana"))
    again = there(await shelf.rows.claim(shelf.tenant, ticket_id, "Ana"))
    other = there(await shelf.rows.claim(shelf.tenant, ticket_id, "Ben"))
    assert (mine.ticket.state, mine.ticket.claimed_by) == ("claimed", "Ana")
    assert mine == again == other

    freed = there(await shelf.rows.release(shelf.tenant, ticket_id))
    assert (freed.ticket.state, freed.ticket.claimed_by) == ("handed_off", None)
    assert there(await shelf.rows.release(shelf.tenant, ticket_id)) == freed
    assert there(await shelf.rows.claim(shelf.tenant, ticket_id, "Ben")).ticket.claimed_by == "Ben"


async def test_a_reply_is_there_once_and_the_next_word_of_the_user_is_the_agents(shelf: Shelf) -> None:
    ticket_id = (await answered(shelf, await opened(shelf), "abstained")).ticket.id
    said = message("I shall look.", author="Ana")
    replied = there(await shelf.rows.reply(shelf.tenant, ticket_id, said, most=MOST))
    again = there(await shelf.rows.reply(shelf.tenant, ticket_id, said, most=MOST))
    assert again == replied
    assert (replied.ticket.state, replied.ticket.claimed_by) == ("replied", "Ana")
    assert (replied.messages[-1].author, replied.messages[-1].text) == ("Ana", "I shall look.")

    asked = there(await shelf.rows.ask(shelf.tenant, following(replied), most=MOST))
    assert (asked.ticket.state, asked.pending) == ("claimed", None)


async def test_a_closed_ticket_is_opened_again_by_a_question(shelf: Shelf) -> None:
    thread = await answered(shelf, await opened(shelf))
    closed = there(await shelf.rows.close(shelf.tenant, thread.ticket.id))
    assert (closed.ticket.state, there(await shelf.rows.close(shelf.tenant, thread.ticket.id))) == ("closed", closed)

    again = there(await shelf.rows.ask(shelf.tenant, following(closed), most=MOST))
    assert (again.ticket.state, again.pending is not None) == ("waiting", True)


async def test_a_question_whose_job_died_is_a_persons(shelf: Shelf) -> None:
    thread = await opened(shelf)
    assert thread.pending is not None
    given_up = there(await shelf.rows.give_up(shelf.tenant, thread.ticket.id, thread.pending))
    assert (given_up.ticket.state, given_up.ticket.hand_off, given_up.pending) == ("handed_off", "failed", None)
    assert await shelf.rows.give_up(shelf.tenant, thread.ticket.id, thread.pending) is None


async def test_the_last_feedback_holds(shelf: Shelf) -> None:
    thread = await answered(shelf, await opened(shelf))
    ticket_id, said = thread.ticket.id, thread.messages[-1]
    await shelf.rows.judge(shelf.tenant, ticket_id, said.id, helpful=False, comment="Too short")
    judged = there(await shelf.rows.judge(shelf.tenant, ticket_id, said.id, helpful=True, comment=""))

    feedback = judged.messages[-1].feedback
    assert feedback is not None
    assert (feedback.helpful, feedback.comment, judged.ticket.helpful) == (True, "", True)
    asked = judged.messages[0].id
    assert await shelf.rows.judge(shelf.tenant, ticket_id, asked, helpful=True, comment="") is None


async def test_a_ticket_holds_so_many_messages(shelf: Shelf) -> None:
    thread = await opened(shelf)
    for _ in range(MOST - 1):
        thread = there(await shelf.rows.ask(shelf.tenant, following(thread), most=MOST))
    assert await shelf.rows.ask(shelf.tenant, following(thread), most=MOST) is None
    full = message("x", author="Ana")
    assert await shelf.rows.reply(shelf.tenant, thread.ticket.id, full, most=MOST) is None


async def test_another_token_takes_the_place_of_the_last(shelf: Shelf) -> None:
    thread = await opened(shelf, token=b"\x01" * 32)
    await shelf.rows.retoken(shelf.tenant, thread.ticket.id, b"\x02" * 32)
    assert there(await shelf.rows.find(shelf.tenant, thread.ticket.id)).ticket.token == b"\x02" * 32


async def test_lists_go_by_state_and_user_the_newest_first(shelf: Shelf) -> None:
    threads = [await opened(shelf, end_user=user) for user in ("ana", "ben", "ana")]
    await answered(shelf, threads[1])
    ana, ben = sorted((threads[0].ticket.id, threads[2].ticket.id), reverse=True), threads[1].ticket.id
    newest_first = sorted([*ana, ben], reverse=True)

    async def listed(
        *states: State, end_user: str | None = None, before: UUID | None = None, limit: int = 10
    ) -> list[UUID]:
        page = shelf.rows.page(shelf.tenant, states=states, end_user=end_user, before=before, limit=limit)
        return [ticket.id for ticket in await page]

    assert await listed() == newest_first
    assert await listed("answered") == [ben]
    assert await listed(end_user="ana") == ana
    assert await listed(before=newest_first[0], limit=1) == [newest_first[1]]


async def test_the_queue_goes_by_who_waits_longest(shelf: Shelf) -> None:
    threads = [await opened(shelf) for _ in range(3)]
    for thread in (threads[1], threads[2], threads[0]):
        await shelf.rows.hand_off(shelf.tenant, thread.ticket.id, "asked")
        await shelf.let_pass(1)
    await shelf.rows.claim(shelf.tenant, threads[2].ticket.id, "Ana")

    queued = [ticket.id for ticket in await shelf.rows.queue(shelf.tenant, after=None, limit=10)]
    assert queued == [threads[1].ticket.id, threads[2].ticket.id, threads[0].ticket.id]
    rest = await shelf.rows.queue(shelf.tenant, after=queued[0], limit=1)
    assert [ticket.id for ticket in rest] == [queued[1]]
    counts = await shelf.rows.counts(shelf.tenant)
    assert (counts.waiting, counts.claimed) == (2, 1)


async def test_a_ticket_that_is_deleted_is_gone_with_all_that_was_said(shelf: Shelf) -> None:
    thread = await answered(shelf, await opened(shelf))
    assert await shelf.rows.remove(shelf.tenant, thread.ticket.id)
    assert not await shelf.rows.remove(shelf.tenant, thread.ticket.id)
    assert await shelf.rows.find(shelf.tenant, thread.ticket.id) is None
    assert await shelf.rows.ask(shelf.tenant, following(thread), most=MOST) is None


async def test_tickets_in_which_nothing_happens_expire(shelf: Shelf) -> None:
    old = [await opened(shelf) for _ in range(3)]
    await shelf.let_pass(10 * DAY_S)
    young = await opened(shelf)

    assert shelf.tenant in await shelf.rows.tenants_expired(9 * DAY_S)
    assert shelf.tenant not in await shelf.rows.tenants_expired(11 * DAY_S)
    assert [await shelf.rows.expire(shelf.tenant, 9 * DAY_S, limit=2) for _ in range(3)] == [2, 1, 0]
    assert await shelf.rows.find(shelf.tenant, old[0].ticket.id) is None
    assert await shelf.rows.find(shelf.tenant, young.ticket.id) is not None


async def test_another_tenants_ticket_is_nowhere(shelf: Shelf) -> None:
    rows, other = shelf.rows, shelf.other
    thread = await answered(shelf, await opened(shelf), "abstained")
    ticket_id, said = thread.ticket.id, thread.messages[-1]

    assert await rows.find(other, ticket_id) is None
    assert await rows.ask(other, following(thread), most=MOST) is None
    assert await rows.answer(other, ticket_id, message("x", answers=thread.messages[0].id), hand_off=None) is None
    assert await rows.give_up(other, ticket_id, thread.messages[0].id) is None
    assert await rows.hand_off(other, ticket_id, "asked") is None
    assert await rows.claim(other, ticket_id, "Eve") is None
    assert await rows.release(other, ticket_id) is None
    assert await rows.reply(other, ticket_id, message("x", author="Eve"), most=MOST) is None
    assert await rows.close(other, ticket_id) is None
    assert await rows.judge(other, ticket_id, said.id, helpful=True, comment="") is None
    assert await rows.page(other, states=(), end_user=None, before=None, limit=10) == []
    assert await rows.queue(other, after=None, limit=10) == []
    assert not await rows.remove(other, ticket_id)
    await rows.retoken(other, ticket_id, b"x" * 32)
    assert await rows.find(shelf.tenant, ticket_id) == thread
