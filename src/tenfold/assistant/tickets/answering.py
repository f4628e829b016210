"""The job of a question: "support", and "support.dead" where it was given up.

However often and wherever it is begun, the question is written down once, answered once, and told of once; what a model
was paid for it is not paid again.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import UUID

from msgspec import json, structs

from tenfold.assistant.ending import SWITCHED_OFF
from tenfold.assistant.ports import ChatCaller
from tenfold.assistant.tickets.ports import Answerer, TicketRows
from tenfold.assistant.tickets.telling import Notices
from tenfold.assistant.tickets.types import (
    KIND,
    KIND_DEAD,
    MAX_MESSAGES,
    OF_PEOPLE,
    Message,
    Question,
    Thread,
    message_name,
    ticket_id_of,
    ticket_name,
)
from tenfold.assistant.types import AnswerEnd, AskEvent, Turn
from tenfold.core.errors import UpstreamUnavailable
from tenfold.core.ids import uuid7
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.jobs.ports import JobContext
from tenfold.jobs.types import NewJob, Result

logger = logging.getLogger(__name__)

ASKED = "A person was asked for, and will answer."

_PATIENCE = 3  # attempts that end without a model, before the search result is the answer
_questions = json.Decoder(Question)


class AnswerQuestion:
    """Implements `jobs.ports.Handler`. `caller_of` is the way to a model that a job has."""

    kind = KIND
    after_death: str | None = KIND_DEAD

    def __init__(
        self, rows: TicketRows, answerer: Answerer, notices: Notices, caller_of: Callable[[JobContext], ChatCaller]
    ) -> None:
        self._rows = rows
        self._answerer = answerer
        self._notices = notices
        self._caller_of = caller_of

    async def run(self, job: JobContext) -> Result:
        """Raises StoreUnavailable, RateLimited; UpstreamUnavailable: no model answered, and it is worth waiting."""
        work = job.work
        asked = _questions.decode(work.input)
        tenant_id = work.principal.tenant_id
        thread = await self._rows.ask(tenant_id, asked, most=MAX_MESSAGES)
        question = None if thread is None else thread.message(asked.id)
        if thread is None or question is None:  # deleted meanwhile, or full
            return Result()
        if question.pending:
            text, end = await self._answered(job, thread, asked)
            if _may_wait(end, work.job.attempts):
                raise UpstreamUnavailable("No model answered the question.")
            end = _told_of_a_person(end)
            said = Message(id=uuid7(), role="assistant", text=text, at=_now(), answer=end, answers=asked.id)
            thread = await self._rows.answer(tenant_id, asked.ticket_id, said, hand_off=end.hand_off)
        answer = None if thread is None else thread.answer_to(asked.id)
        if thread is None or answer is None or answer.answer is None:
            return Result()
        _log(thread, answer.answer)
        return Result(
            output=json.encode({"ticket": thread.ticket.name, "message": message_name(answer.id)}),
            then=await self._told(work.principal, thread, answer),
        )

    async def _answered(self, job: JobContext, thread: Thread, asked: Question) -> tuple[str, AnswerEnd]:
        await job.progress("answering")
        events = self._answerer.ask(
            acting_for(job.work.principal),
            asked.text,
            turns=turns_before(thread, asked.id),
            task=ticket_name(asked.ticket_id),
            end_user=thread.ticket.end_user,
            caller=self._caller_of(job),
        )
        return await _whole(events)

    async def _told(self, principal: Principal, thread: Thread, answer: Message) -> tuple[NewJob, ...]:
        handed = thread.ticket.state in OF_PEOPLE and answer.answer is not None and answer.answer.hand_off is not None
        jobs = await self._notices.jobs_for(principal, thread, "answered", answer)
        return jobs + (await self._notices.jobs_for(principal, thread, "handed_off") if handed else ())


class DeadQuestion:
    """A question that no attempt could answer is a person's. Implements `jobs.ports.Handler`."""

    kind = KIND_DEAD
    after_death: str | None = None

    def __init__(self, rows: TicketRows, notices: Notices) -> None:
        self._rows = rows
        self._notices = notices

    async def run(self, job: JobContext) -> Result:
        """The input is the id of the job that has failed, which is the question's. Raises StoreUnavailable."""
        principal, ticket_id = job.work.principal, ticket_id_of(job.work.job.subject or "")
        question_id = UUID(job.work.input.decode())
        if ticket_id is None:
            return Result()
        await self._rows.give_up(principal.tenant_id, ticket_id, question_id)
        thread = await self._rows.find(principal.tenant_id, ticket_id)
        if thread is None or thread.ticket.hand_off != "failed":
            return Result()
        return Result(then=await self._notices.jobs_for(principal, thread, "handed_off"))


def acting_for(principal: Principal) -> Principal:
    """A key of a web page calls no model itself; the assistant does on its behalf, with words and passages of its own
    choice."""
    return structs.replace(principal, scopes=principal.scopes | {SCOPE_INFERENCE})


def turns_before(thread: Thread, question_id: UUID) -> list[Turn]:
    """What was said before the question: a person's replies are answers like any."""
    turns = []
    for message in thread.messages:
        if message.id == question_id:
            break
        if message.text:
            turns.append(Turn(role="user" if message.role == "user" else "assistant", text=message.text))
    return turns


async def _whole(events: AsyncGenerator[AskEvent, None]) -> tuple[str, AnswerEnd]:
    pieces: list[str] = []
    async with aclosing(events):
        async for event in events:
            if isinstance(event, AnswerEnd):
                return "".join(pieces), event
            pieces.append(event.text)
    raise AssertionError("an answer ends with AnswerEnd")


def _told_of_a_person(end: AnswerEnd) -> AnswerEnd:
    """Whoever asks for a person wants to know of that, and not that documents say nothing of it."""
    if end.hand_off == "asked" and end.outcome == "abstained":
        return structs.replace(end, notice=ASKED, nearest=[])
    return end


def _may_wait(end: AnswerEnd, attempts: int) -> bool:
    """Nobody waits at a screen: a model that is away for a moment is asked again. One that is off is not."""
    return end.outcome == "degraded" and end.notice != SWITCHED_OFF and attempts < _PATIENCE


def _log(thread: Thread, end: AnswerEnd) -> None:
    """What is known of an answer but its words: those stay in the ticket."""
    call = end.call
    logger.info(
        "support ticket %s answered: outcome=%s confidence=%.2f prompt=%s model=%s latency_ms=%d tokens=%d+%d"
        " cost_nano=%s cache=%s escalated=%s hand_off=%s",
        thread.ticket.name,
        end.outcome,
        end.confidence,
        end.prompt,
        call.model if call else None,
        end.latency_ms,
        call.input_tokens if call else 0,
        call.output_tokens if call else 0,
        end.cost_nano,
        call.cache if call else None,
        bool(end.earlier),
        end.hand_off,
    )


def _now() -> datetime:
    return datetime.now(UTC)
