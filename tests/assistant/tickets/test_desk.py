"""A question gets a ticket at once; who may see it, what may be done with it, and who is told."""

import asyncio

import pytest
from msgspec import structs

from tenfold.assistant.tickets.types import OF_PEOPLE, message_name
from tenfold.core.errors import Conflict, IdempotencyMismatch, InvalidRequest, NotFound, PermissionDenied
from tenfold.core.principal import Principal
from tests.assistant.tickets.parts import desk, visitor

QUESTION = "How do I reset a key?"


async def test_a_question_is_accepted_at_once_and_answered_by_a_job() -> None:
    it = desk()
    opened = await it.support.ask(it.who, QUESTION, end_user="ana")
    assert (opened.thread.ticket.state, opened.thread.ticket.end_user) == ("waiting", "ana")
    assert it.caller.requests == []

    async with it.working():
        job = await it.ended(opened)
    assert (job.state, job.subject) == ("done", opened.thread.ticket.name)
    thread = await it.support.find(it.who, opened.thread.ticket.name)
    answer = thread.messages[-1]
    assert (thread.ticket.state, answer.role, answer.text) == ("answered", "assistant", "Use the page Keys [1].")


async def test_what_the_mission_wants_logged_stands_in_the_ticket() -> None:
    it = desk()
    answer = (await it.answered()).messages[-1].answer
    assert answer is not None
    assert answer.call is not None
    assert (answer.prompt, answer.call.model, answer.outcome) == ("support@1", "fake-model", "answered")
    assert (answer.documents, answer.cost_nano) == (["documentation/keys@1a"], 12_000)
    assert answer.confidence > 0.5
    assert [citation.url for citation in answer.citations] == ["/docs/keys"]


async def test_calls_of_a_ticket_are_one_unit_of_work() -> None:
    it = desk()
    thread = await it.answered(end_user="ana")
    (options,) = it.caller.options
    assert (options.feature, options.task, options.end_user) == ("assistant", thread.ticket.name, "ana")
    assert options.grounds is not None
    assert options.grounds.documents == {"documentation/keys@1a"}


async def test_a_follow_up_is_read_with_what_it_goes_on_from() -> None:
    it = desk()
    thread = await it.answered()
    async with it.working():
        await it.ended(await it.support.ask(it.who, "And on Windows?", ticket=thread.ticket.name))

    assert it.searcher.asked[-1][1] == "How do I reset a key? And on Windows?"
    assert [message.role for message in it.caller.requests[-1].messages] == ["system", "user", "assistant", "user"]
    thread = await it.support.find(it.who, thread.ticket.name)
    assert [message.role for message in thread.messages] == ["user", "assistant", "user", "assistant"]


async def test_asked_twice_under_one_key_it_is_there_once() -> None:
    it = desk()
    first = await it.support.ask(it.who, QUESTION, key="k1")
    again = await it.support.ask(it.who, QUESTION, key="k1")
    assert (again.thread.messages, again.job) == (first.thread.messages, first.job)
    assert len(first.thread.messages) == 1
    with pytest.raises(IdempotencyMismatch):
        await it.support.ask(it.who, "Something else?", key="k1")


async def test_a_key_of_a_web_page_reaches_a_ticket_by_its_token_alone() -> None:
    it = desk()
    widget = visitor(it.who)
    opened = await it.support.ask(widget, QUESTION)
    name, token = opened.thread.ticket.name, opened.token
    assert token is not None

    async with it.working():
        await it.ended(opened)
    assert (await it.support.find(widget, name, token=token)).ticket.state == "answered"
    for wrong in (None, "", "x" * 32, token[:-1]):
        with pytest.raises(NotFound):
            await it.support.find(widget, name, token=wrong)
        with pytest.raises(NotFound):
            await it.support.ask(widget, QUESTION, ticket=name, token=wrong)
        with pytest.raises(NotFound):
            await it.support.hand_off(widget, name, token=wrong)
        with pytest.raises(NotFound):
            await it.support.feedback(widget, name, helpful=True, token=wrong)
    with pytest.raises(NotFound):
        await it.support.find(visitor(it.other), name, token=token)
    assert (await it.support.find(it.who, name)).ticket.name == name


async def test_who_lost_the_first_reply_gets_another_token_and_the_first_is_void() -> None:
    it = desk()
    widget = visitor(it.who)
    with pytest.raises(InvalidRequest, match="16"):  # somebody else might have it, too
        await it.support.ask(widget, QUESTION, key="k1")
    first = await it.support.ask(widget, QUESTION, key="k1" * 8)
    again = await it.support.ask(widget, QUESTION, key="k1" * 8)
    name = first.thread.ticket.name
    assert again.thread.ticket.name == name
    assert (await it.support.find(widget, name, token=again.token)).ticket.name == name
    with pytest.raises(NotFound):
        await it.support.find(widget, name, token=first.token)


async def test_a_key_of_a_web_page_does_nothing_that_is_the_desks() -> None:
    it = desk()
    widget = visitor(it.who)
    name = (await it.support.ask(widget, QUESTION)).thread.ticket.name
    for work in (
        it.support.list(widget),
        it.support.queue(widget),
        it.support.counts(widget),
        it.support.claim(widget, name),
        it.support.release(widget, name),
        it.support.reply(widget, name, "Hello"),
        it.support.remove(widget, name),
    ):
        with pytest.raises(PermissionDenied):
            await work


async def test_without_a_scope_nothing_is_reached() -> None:
    it = desk()
    bare = structs.replace(it.who, scopes=frozenset({"usage"}))
    name = (await it.support.ask(it.who, QUESTION)).thread.ticket.name
    with pytest.raises(PermissionDenied):
        await it.support.ask(bare, QUESTION)
    with pytest.raises(PermissionDenied):
        await it.support.find(bare, name)


async def test_another_tenants_ticket_is_a_missing_one() -> None:
    it = desk()
    name = (await it.answered()).ticket.name
    for other in (it.other, visitor(it.other)):
        for work in (
            it.support.find(other, name),
            it.support.ask(other, QUESTION, ticket=name),
            it.support.feedback(other, name, helpful=True),
            it.support.hand_off(other, name),
            it.support.close(other, name),
        ):
            with pytest.raises(NotFound):
                await work
    with pytest.raises(NotFound):
        await it.support.claim(it.other, name)
    with pytest.raises(NotFound):
        await it.support.reply(it.other, name, "x")
    with pytest.raises(NotFound):
        await it.support.remove(it.other, name)
    assert (await it.support.list(it.other)).items == []


async def test_people_take_over_and_the_assistant_is_silent() -> None:
    it = desk()
    name = (await it.answered()).ticket.name
    handed = await it.support.hand_off(it.who, name)
    assert (handed.ticket.state, handed.ticket.hand_off) == ("handed_off", "asked")
    assert [ticket.name for ticket in (await it.support.queue(it.who)).items] == [name]

    claimed = await it.support.claim(it.who, name, agent="Ana")
    with pytest.raises(Conflict):
        await it.support.claim(it.who, name, agent="Ben")
    with pytest.raises(Conflict):
        await it.support.reply(it.who, name, "Hello", agent="Ben")
    replied = await it.support.reply(it.who, name, "I shall look.", agent="Ana")
    assert (claimed.ticket.claimed_by, replied.ticket.state) == ("Ana", "replied")

    asked = len(it.caller.requests)
    more = await it.support.ask(it.who, "And then?", ticket=name)
    assert (more.job, more.thread.ticket.state, more.thread.ticket.state in OF_PEOPLE) == (None, "claimed", True)
    assert len(it.caller.requests) == asked
    assert (await it.support.close(it.who, name)).ticket.state == "closed"


async def test_what_people_do_is_told_once_it_has_happened() -> None:
    it = desk()
    name = (await it.answered(email="ana@example.com")).ticket.name
    await it.support.hand_off(it.who, name)
    await it.support.reply(it.who, name, "I shall look.")
    it.clock.advance(2)
    async with it.working():
        while len(it.mailer.sent) < 2:
            await it.work.jobs.state(None)
            await _let_others_run()
    assert sorted(it.told()) == ["support.answered", "support.handed_off", "support.replied"]
    texts = [mail.text for mail, _ in it.mailer.sent]
    assert ["page Keys" in texts[0], "I shall look." in texts[1]] == [True, True]
    assert not any(QUESTION in text for text in texts)
    assert {mail.to for mail, _ in it.mailer.sent} == {"ana@example.com"}


async def test_events_hold_states_and_no_words() -> None:
    it = desk()
    thread = await it.answered(end_user="ana")
    ((_, event),) = it.outbox.told
    assert event.resource == thread.ticket.name
    assert (event.data["state"], event.data["outcome"], event.data["end_user"]) == ("answered", "answered", "ana")
    assert event.data["message"] == message_name(thread.messages[-1].id)
    assert QUESTION not in str(event.data)


async def test_feedback_is_an_outcome_of_the_ticket() -> None:
    it = desk()
    opened = await it.support.ask(it.who, QUESTION)
    name = opened.thread.ticket.name
    with pytest.raises(Conflict):
        await it.support.feedback(it.who, name, helpful=True)
    async with it.working():
        await it.ended(opened)
    await it.support.feedback(it.who, name, helpful=False, comment="It did not help")
    judged = await it.support.feedback(it.who, name, helpful=True)

    assert judged.ticket.helpful is True
    told = [(tenant, outcome.task, outcome.outcome) for tenant, outcome in it.outcomes.told]
    assert told == [(it.who.tenant_id, name, "failure"), (it.who.tenant_id, name, "success")]
    with pytest.raises(NotFound):
        await it.support.feedback(it.who, name, helpful=True, message="msg_" + "0" * 32)


async def test_a_ticket_is_deleted_with_its_job() -> None:
    it = desk()
    thread = await it.answered()
    await it.support.remove(it.who, thread.ticket.name)
    with pytest.raises(NotFound):
        await it.support.find(it.who, thread.ticket.name)
    with pytest.raises(NotFound):
        await it.work.jobs.get(it.who.tenant_id, thread.ticket.id)


async def test_one_that_waits_is_deleted_and_never_asked() -> None:
    it = desk()
    opened = await it.support.ask(it.who, QUESTION)
    await it.support.remove(it.who, opened.thread.ticket.name)
    async with it.working():
        await _let_others_run()
    assert it.caller.requests == []
    with pytest.raises(NotFound):
        await it.support.find(it.who, opened.thread.ticket.name)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"question": " "}, "question"),
        ({"question": "x" * 2001}, "question"),
        ({"end_user": "a\nb"}, "end_user"),
        ({"end_user": "x" * 201}, "end_user"),
        ({"email": "ana@example.com\r\nBcc: eve@example.com"}, "email"),
        ({"email": "Ana <ana@example.com>"}, "email"),
        ({"email": "ana@example.com, eve@example.com"}, "email"),
        ({"email": "ana"}, "email"),
        ({"key": ""}, "Idempotency-Key"),
    ],
)
async def test_what_is_refused(given: dict[str, str], param: str) -> None:
    it = desk()
    with pytest.raises(InvalidRequest) as refused:
        await it.support.ask(it.who, **{"question": QUESTION} | given)
    assert refused.value.param == param


async def test_lists_are_paged_and_refuse_what_is_no_cursor() -> None:
    it = desk()
    names = {(await it.support.ask(it.who, QUESTION)).thread.ticket.name for _ in range(3)}
    first = await it.support.list(it.who, limit=2)
    rest = await it.support.list(it.who, limit=2, cursor=first.cursor)
    assert {ticket.name for ticket in (*first.items, *rest.items)} == names
    assert (len(first.items), rest.cursor) == (2, None)
    with pytest.raises(InvalidRequest):
        await it.support.list(it.who, end_user="a\0b")
    with pytest.raises(InvalidRequest):
        await it.support.list(it.who, cursor="x")
    with pytest.raises(InvalidRequest):
        await it.support.list(it.who, limit=0)
    with pytest.raises(InvalidRequest):
        await it.support.list(it.who, state="lost")


async def test_expiry_is_for_all_tenants() -> None:
    it = desk()
    who: Principal
    for who in (it.who, it.other):
        await it.support.ask(who, QUESTION)
    it.clock.advance(91 * 86_400)
    assert await it.support.expire() == 2


async def _let_others_run() -> None:
    await asyncio.sleep(0.01)
