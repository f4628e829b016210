"""The jobs of support: a question is answered once however often its job is begun, and one that nobody could answer is
a person's."""

from collections.abc import AsyncGenerator

import pytest
from msgspec import json, structs

from tenfold.assistant.handing_off import HandOffRules
from tenfold.assistant.tickets.answering import ASKED, AnswerQuestion
from tenfold.assistant.tickets.telling import Notices
from tenfold.assistant.tickets.types import KIND, KIND_DEAD, KIND_MAIL, Opened
from tenfold.assistant.types import AnswerEnd, AskEvent
from tenfold.core.errors import InvalidRequest, StoreUnavailable, UpstreamUnavailable
from tenfold.core.ids import uuid7
from tenfold.jobs.context import Context
from tenfold.jobs.types import NewJob, Result, Work
from tenfold.webhooks.types import KIND as WEBHOOK
from tests.assistant.tickets.parts import KEYS, Desk, desk

QUESTION = "How do I reset a key?"


async def claimed(it: Desk, kind: str = KIND) -> Context:
    """The next job of this kind, as its handler sees it."""
    worker = uuid7()
    (work,) = await it.work.rows.claim(worker, [kind], limit=1)
    return Context(work, worker, it.work.rows, clock=it.clock)


async def asked(it: Desk, **given: str) -> Opened:
    return await it.support.ask(it.who, QUESTION, **given)


async def test_begun_twice_a_question_is_answered_once_and_told_alike() -> None:
    it = desk()
    opened = await asked(it, email="ana@example.com")
    job = await claimed(it)
    first, again = await it.handlers[0].run(job), await it.handlers[0].run(job)

    assert len(it.caller.requests) == 1
    assert first.output == again.output
    assert [each.kind for each in first.then] == [each.kind for each in again.then] == [WEBHOOK, KIND_MAIL]
    assert first.then[-1].dedup == again.then[-1].dedup is not None
    thread = await it.support.find(it.who, opened.thread.ticket.name)
    assert [message.role for message in thread.messages] == ["user", "assistant"]


async def test_a_question_that_its_process_could_not_write_down_is_written_by_its_job() -> None:
    it = desk()
    it.rows.away = True
    with pytest.raises(StoreUnavailable):
        await asked(it)
    it.rows.away = False
    async with it.working():
        while not (found := (await it.support.list(it.who)).items) or found[0].state != "answered":
            await it.work.jobs.state(None)
    assert found[0].subject == QUESTION


async def test_a_ticket_deleted_meanwhile_is_not_answered() -> None:
    it = desk()
    opened = await asked(it)
    follow = await it.support.ask(it.who, "And then?", ticket=opened.thread.ticket.name)
    await it.rows.remove(it.who.tenant_id, opened.thread.ticket.id)
    worker = uuid7()
    works = {work.job.id: work for work in await it.work.rows.claim(worker, [KIND], limit=2)}
    work = next(work for work in works.values() if work.job.id != opened.thread.ticket.id) if len(works) > 1 else None
    if work is not None:
        assert follow.job is not None
        assert await it.handlers[0].run(Context(work, worker, it.work.rows, clock=it.clock)) == Result()
    assert it.caller.requests == []


async def test_a_model_that_is_away_is_waited_for_and_then_the_search_result_is_the_answer() -> None:
    it = desk()
    it.caller.error = UpstreamUnavailable("away")
    opened = await asked(it)
    job = await claimed(it)
    with pytest.raises(UpstreamUnavailable):
        await it.handlers[0].run(job)
    assert (await it.support.find(it.who, opened.thread.ticket.name)).pending is not None

    late = Context(_attempt(job.work, 3), uuid7(), it.work.rows, clock=it.clock)
    await it.handlers[0].run(late)
    thread = await it.support.find(it.who, opened.thread.ticket.name)
    answer = thread.messages[-1].answer
    assert answer is not None
    assert (answer.outcome, [near.title for near in answer.nearest]) == ("degraded", ["Keys"])
    assert (thread.ticket.state, thread.ticket.hand_off) == ("handed_off", "degraded")


async def test_with_models_switched_off_nobody_waits() -> None:
    it = desk()
    it.switches.off.add("assistant")
    answer = (await it.answered()).messages[-1].answer
    assert answer is not None
    assert (answer.outcome, it.caller.requests) == ("degraded", [])
    assert [near.url for near in answer.nearest] == ["/docs/keys"]


async def test_what_the_documents_do_not_answer_is_a_persons() -> None:
    it = desk(hits=())
    thread = await it.answered()
    assert (thread.ticket.state, thread.ticket.hand_off) == ("handed_off", "abstained")
    assert it.told() == ["support.answered", "support.handed_off"]


async def test_who_asks_for_a_person_is_told_of_one() -> None:
    it = desk(hits=(structs.replace(KEYS, relevance=0.1),))
    thread = await it.answered("I want to speak to a person")
    assert (thread.ticket.state, thread.ticket.hand_off) == ("handed_off", "asked")
    answer = thread.messages[-1].answer
    assert answer is not None
    assert (answer.outcome, answer.notice, answer.nearest) == ("abstained", ASKED, [])


async def test_nothing_is_handed_over_that_the_operator_does_not_want() -> None:
    it = desk(hits=(), rules=HandOffRules(on=frozenset()))
    thread = await it.answered()
    assert (thread.ticket.state, thread.ticket.hand_off, it.told()) == ("answered", None, ["support.answered"])


async def test_feedback_may_hand_it_over() -> None:
    it = desk(rules=HandOffRules(on=frozenset({"unhelpful"})))
    thread = await it.answered()
    judged = await it.support.feedback(it.who, thread.ticket.name, helpful=False)
    assert (judged.ticket.state, judged.ticket.hand_off) == ("handed_off", "unhelpful")


async def test_a_question_whose_job_died_is_a_persons() -> None:
    it = desk()
    opened = await asked(it)
    follow = NewJob(
        kind=KIND_DEAD,
        principal=it.who,
        input=opened.thread.ticket.id.hex.encode(),
        subject=opened.thread.ticket.name,
    )
    await it.work.jobs.enqueue(follow)
    result = await it.handlers[1].run(await claimed(it, KIND_DEAD))
    thread = await it.support.find(it.who, opened.thread.ticket.name)
    assert (thread.ticket.state, thread.ticket.hand_off, thread.pending) == ("handed_off", "failed", None)
    assert [each.kind for each in result.then] == [WEBHOOK]


async def test_a_mail_is_sent_with_one_key_and_one_that_is_refused_is_done_with() -> None:
    it = desk()
    opened = await asked(it, email="ana@example.com")
    result = await it.handlers[0].run(await claimed(it))
    assert opened.job is not None
    await it.work.jobs.enqueue(result.then[-1])
    job = await claimed(it, KIND_MAIL)
    await it.handlers[3].run(job)
    await it.handlers[3].run(job)
    assert {key for _, key in it.mailer.sent} == {job.work.job.id.hex}
    mail = it.mailer.sent[0][0]
    assert (mail.to, "Sources:\n[1] Keys, Reset" in mail.text) == ("ana@example.com", True)
    assert f"https://example.com/{opened.thread.ticket.name}" in mail.text

    it.mailer.error = InvalidRequest("no such mailbox")
    assert json.decode((await it.handlers[3].run(job)).output) == {"refused": "no such mailbox"}
    it.mailer.error = UpstreamUnavailable("busy")
    with pytest.raises(UpstreamUnavailable):
        await it.handlers[3].run(job)


async def test_no_letter_says_that_there_is_no_answer() -> None:
    it = desk(hits=())
    await it.answered(email="ana@example.com")
    assert it.mailer.sent == []


async def test_without_mail_nobody_is_written_to() -> None:
    it = desk()
    notices = Notices(it.outbox)
    handler = AnswerQuestion(it.rows, Says(), notices, lambda _job: it.caller)
    await asked(it, email="ana@example.com")
    result = await handler.run(await claimed(it))
    assert [each.kind for each in result.then] == [WEBHOOK]


class Says:
    """An assistant that says so."""

    async def ask(self, *_given: object, **_more: object) -> AsyncGenerator[AskEvent, None]:
        yield AnswerEnd(outcome="abstained", latency_ms=1)


def _attempt(work: Work, number: int) -> Work:
    return structs.replace(work, job=structs.replace(work.job, attempts=number))
