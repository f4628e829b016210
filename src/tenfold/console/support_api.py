"""The JSON API of support tickets: a question that the assistant answers later, or a person; and the desk of those
people. (`/api/v1/tickets` are calls that are answered later: another thing.)"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from tenfold.assistant.tickets.ports import Support
from tenfold.assistant.tickets.types import Message, Thread, Ticket, message_name
from tenfold.assistant.types import AnswerEnd, Citation
from tenfold.console.api import Source
from tenfold.console.api_parts import CONFLICT, MISSING, PROBLEMS, Body, PageSize, bearer
from tenfold.console.services import ConsoleServices
from tenfold.console.slowing import Slow
from tenfold.core.headers import still_holds
from tenfold.core.money import format_usd
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.jobs.names import job_name

TOKEN_HEADER = "Tenfold-Ticket-Token"  # noqa: S105  (its name)
_CACHED = {"cache-control": "private, no-cache"}

State = Literal["waiting", "answered", "handed_off", "claimed", "replied", "closed"]
HandOff = Literal["asked", "abstained", "degraded", "unsure", "unhelpful", "failed"]
Token = Annotated[
    str | None, Header(alias=TOKEN_HEADER, description="Of the ticket; needed by a key of the scope `support` alone.")
]


class QuestionBody(Body):
    question: str = Field(max_length=10_000)
    ticket: str | None = Field(None, max_length=100, description="The ticket that the question goes on from.")
    end_user: str | None = Field(None, max_length=1000, description="Who asks, as you name them.")
    email: str | None = Field(None, max_length=1000, description="Where the answer is sent as well, if mail is set up.")


class FeedbackBody(Body):
    helpful: bool
    comment: str = Field("", max_length=10_000)
    message: str | None = Field(None, max_length=100, description="The answer it is on; the last one if left out.")


class AgentBody(Body):
    agent: str | None = Field(None, max_length=1000, description="Who is shown; else the person or key that asks.")


class ReplyBody(AgentBody):
    text: str = Field(max_length=20_000)


class AnswerFacts(BaseModel):
    outcome: Literal["answered", "abstained", "degraded"]
    notice: str | None
    citations: list[Source]
    nearest: list[Source] = Field(description="What the search found, where the text cites nothing.")
    confidence: float | None = Field(None, description="0 to 1; orders answers, and is no probability.")
    escalated: bool | None = Field(None, description="A larger model was asked, since the first was not trusted.")
    prompt: str | None = Field(None, description="The version of the words given to the model.")
    model: str | None = None
    provider: str | None = None
    latency_ms: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: str | None = Field(None, description="Of all calls, decimal; null when none was made or priced.")
    cache: str | None = None
    degraded: list[str] = Field([], description="The steps of the fallback chain that were taken.")
    documents: list[str] = Field([], description="The versions of documents that were quoted to the model.")


class GivenFeedback(BaseModel):
    helpful: bool
    comment: str
    at: datetime


class MessageBody(BaseModel):
    id: str
    role: Literal["user", "assistant", "agent"]
    text: str
    at: datetime
    author: str | None = Field(description="Of an agent.")
    pending: bool = Field(description="A question that the assistant has not answered yet.")
    answers: str | None = Field(description="The question that the assistant's message answers.")
    answer: AnswerFacts | None = Field(description="Of the assistant's.")
    feedback: GivenFeedback | None


class SupportTicketBody(BaseModel):
    id: str
    state: State
    subject: str = Field(description="The beginning of its first question.")
    end_user: str | None
    email: str | None
    hand_off: HandOff | None = Field(description="Why it was handed to a person, the last time.")
    handed_off_at: datetime | None
    claimed_by: str | None
    claimed_at: datetime | None
    helpful: bool | None = Field(description="The last feedback.")
    created_at: datetime
    updated_at: datetime


class ThreadBody(SupportTicketBody):
    messages: list[MessageBody] = Field(description="The oldest first.")
    events: str | None = Field(description="While it waits: where the progress of its job is told as it happens.")


class OpenedBody(ThreadBody):
    token: str | None = Field(description="Of a new ticket, told this once: a key of the scope `support` needs it.")


class SupportTicketsPage(BaseModel):
    data: list[SupportTicketBody]
    next_cursor: str | None


class QueuePage(SupportTicketsPage):
    waiting: int = Field(description="Tickets that wait for a person.")
    claimed: int = Field(description="Tickets that a person has.")


def support_api_routes(services: ConsoleServices, support: Support, slow: Slow) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/support", responses=PROBLEMS, tags=["support"])
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.post("/tickets", status_code=202, summary="Ask a question", responses=MISSING | CONFLICT)
    async def ask(
        body: QuestionBody,
        who: caller,
        response: Response,
        token: Token = None,
        key: Annotated[
            str | None, Header(alias="Idempotency-Key", description="Asked twice, it is there once.")
        ] = None,
    ) -> OpenedBody:
        """At once: the ticket, which the assistant answers in the background; look again after `Retry-After`."""
        if SCOPE_INFERENCE not in who.scopes:
            slow.ask("", body.ticket or "", str(who.key_id))  # no address: it may be that of a site's own server
        opened = await support.ask(
            who,
            body.question,
            ticket=body.ticket,
            token=token,
            end_user=body.end_user,
            email=body.email,
            key=key,
        )
        response.headers["location"] = f"/api/v1/support/tickets/{opened.thread.ticket.name}"
        response.headers["retry-after"] = "1"
        return OpenedBody(**_thread(opened.thread, who), token=opened.token)

    @routes.get("/tickets", summary="List the tenant's support tickets, the newest first")
    async def list_tickets(
        who: caller,
        state: State | None = None,
        end_user: Annotated[str | None, Query(max_length=1000)] = None,
        cursor: str | None = None,
        limit: PageSize = 20,
    ) -> SupportTicketsPage:
        page = await support.list(who, state=state, end_user=end_user, cursor=cursor, limit=limit)
        return SupportTicketsPage(
            data=[SupportTicketBody(**_ticket(each)) for each in page.items], next_cursor=page.cursor
        )

    @routes.get("/queue", summary="List the tickets that wait for a person, who waits longest first")
    async def queue(who: caller, cursor: str | None = None, limit: PageSize = 20) -> QueuePage:
        page, counts = await support.queue(who, cursor=cursor, limit=limit), await support.counts(who)
        return QueuePage(
            data=[SupportTicketBody(**_ticket(each)) for each in page.items],
            next_cursor=page.cursor,
            waiting=counts.waiting,
            claimed=counts.claimed,
        )

    @routes.get("/tickets/{ticket}", summary="One ticket and all that was said", responses=MISSING)
    async def one_ticket(
        ticket: str,
        who: caller,
        response: Response,
        token: Token = None,
        if_none_match: Annotated[str | None, Header(description="An ETag.")] = None,
    ) -> ThreadBody:
        """With `ETag` and, while the assistant is at it, `Retry-After`; 304 for an `If-None-Match` that still holds."""
        found = await support.find(who, ticket, token=token)
        headers = {"etag": f'"{found.ticket.version}"', **_CACHED}
        if found.ticket.state == "waiting":
            headers["retry-after"] = "1"
        if still_holds(if_none_match, headers["etag"]):
            return Response(status_code=304, headers=headers)  # type: ignore[return-value]
        response.headers.update(headers)
        return ThreadBody(**_thread(found, who))

    @routes.delete("/tickets/{ticket}", status_code=204, summary="Delete a ticket", responses=MISSING | CONFLICT)
    async def delete_ticket(ticket: str, who: caller) -> Response:
        await support.remove(who, ticket)
        return Response(status_code=204)

    @routes.post("/tickets/{ticket}/feedback", summary="Say whether an answer helped", responses=MISSING | CONFLICT)
    async def feedback(ticket: str, body: FeedbackBody, who: caller, token: Token = None) -> ThreadBody:
        told = await support.feedback(
            who, ticket, helpful=body.helpful, comment=body.comment, message=body.message, token=token
        )
        return ThreadBody(**_thread(told, who))

    @routes.post("/tickets/{ticket}/handoff", summary="Hand a ticket to a person", responses=MISSING)
    async def hand_off(ticket: str, who: caller, token: Token = None) -> ThreadBody:
        return ThreadBody(**_thread(await support.hand_off(who, ticket, token=token), who))

    @routes.post("/tickets/{ticket}/close", summary="Close a ticket", responses=MISSING)
    async def close(ticket: str, who: caller, token: Token = None) -> ThreadBody:
        return ThreadBody(**_thread(await support.close(who, ticket, token=token), who))

    @routes.post("/tickets/{ticket}/claim", summary="Take a ticket", responses=MISSING | CONFLICT)
    async def claim(ticket: str, who: caller, body: AgentBody | None = None) -> ThreadBody:
        return ThreadBody(**_thread(await support.claim(who, ticket, agent=body.agent if body else None), who))

    @routes.post("/tickets/{ticket}/release", summary="Give a ticket back to the queue", responses=MISSING)
    async def release(ticket: str, who: caller) -> ThreadBody:
        return ThreadBody(**_thread(await support.release(who, ticket), who))

    @routes.post("/tickets/{ticket}/reply", summary="Answer as a person", responses=MISSING | CONFLICT)
    async def reply(ticket: str, body: ReplyBody, who: caller) -> ThreadBody:
        return ThreadBody(**_thread(await support.reply(who, ticket, body.text, agent=body.agent), who))

    return routes


def _ticket(ticket: Ticket) -> dict[str, Any]:
    told = msgspec.structs.asdict(ticket)
    return {name: told[name] for name in SupportTicketBody.model_fields if name != "id"} | {"id": ticket.name}


def _thread(thread: Thread, who: Principal) -> dict[str, Any]:
    """A key of a web page is told what its visitors see: no models, costs or confidence, and no names of people."""
    at, is_ours = thread.pending, SCOPE_INFERENCE in who.scopes
    told = _ticket(thread.ticket) | {
        "messages": [_message(each, is_ours=is_ours) for each in thread.messages],
        "events": None if at is None or not is_ours else f"/v1/jobs/{job_name(at)}/events",
    }
    return told if is_ours else told | {"claimed_by": None}


def _message(message: Message, *, is_ours: bool) -> MessageBody:
    feedback = message.feedback
    return MessageBody(
        id=message_name(message.id),
        role=message.role,
        text=message.text,
        at=message.at,
        author=(message.author or None) if is_ours else None,
        pending=message.pending,
        answers=None if message.answers is None else message_name(message.answers),
        answer=None if message.answer is None else _facts(message.answer) if is_ours else _seen(message.answer),
        feedback=None
        if feedback is None
        else GivenFeedback(helpful=feedback.helpful, comment=feedback.comment, at=feedback.at),
    )


def _seen(end: AnswerEnd) -> AnswerFacts:
    return AnswerFacts(outcome=end.outcome, notice=end.notice, citations=_sources(end.citations), nearest=[])


def _sources(citations: Iterable[Citation]) -> list[Source]:
    return [Source(**msgspec.structs.asdict(each)) for each in citations]


def _facts(end: AnswerEnd) -> AnswerFacts:
    call, cost = end.call, end.cost_nano
    return AnswerFacts(
        outcome=end.outcome,
        notice=end.notice,
        citations=_sources(end.citations),
        nearest=_sources(end.nearest),
        confidence=end.confidence,
        escalated=bool(end.earlier),
        prompt=end.prompt,
        model=call.model if call else None,
        provider=call.provider if call else None,
        latency_ms=end.latency_ms,
        input_tokens=call.input_tokens if call else 0,
        output_tokens=call.output_tokens if call else 0,
        cost_usd=None if cost is None else format_usd(cost),
        cache=call.cache if call else None,
        degraded=list(call.degraded) if call else [],
        documents=end.documents,
    )
