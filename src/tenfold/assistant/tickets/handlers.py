"""The rules of support tickets: who may see one, what may be asked of it, and who is told.

A question is accepted with its job, which writes it down if nobody has yet; so none is lost, and none waits for
nothing. It answers nothing itself: `answering` does, in a job.
"""

import secrets
from uuid import UUID

from msgspec import json, structs

from tenfold.assistant.handing_off import HandOffRules
from tenfold.assistant.questions import clean_question
from tenfold.assistant.tickets.checks import a_label, a_text, an_address
from tenfold.assistant.tickets.ports import Outcomes, TicketRows
from tenfold.assistant.tickets.rules import (
    KEEP_JOB_S,
    check_reach,
    cursor_of,
    digest_of,
    is_shown,
    job_of,
    judged,
    page_of,
    request_digest,
)
from tenfold.assistant.tickets.types import (
    KIND_TELL,
    MAX_COMMENT,
    MAX_MESSAGES,
    MAX_TEXT,
    OF_PEOPLE,
    STATES,
    Message,
    Notice,
    Opened,
    Question,
    QueueCounts,
    State,
    Thread,
    TicketPage,
    Told,
    ticket_id_of,
    ticket_name,
)
from tenfold.assistant.types import HandOff
from tenfold.core.clock import Clock
from tenfold.core.errors import Conflict, IdempotencyMismatch, InvalidRequest, NotFound
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.jobs.names import job_name
from tenfold.jobs.ports import Jobs
from tenfold.jobs.types import Job, NewJob
from tenfold.ledger.reports.types import Outcome, OutcomeKind
from tenfold.store import keep

KEEP_S = 90 * 86_400.0  # a ticket in which nothing happens


class SupportDesk:
    """Implements `ports.Support`."""

    def __init__(
        self,
        rows: TicketRows,
        jobs: Jobs,
        outcomes: Outcomes,
        clock: Clock,
        *,
        rules: HandOffRules | None = None,
        keep_s: float = KEEP_S,
    ) -> None:
        self._rows = rows
        self._jobs = jobs
        self._outcomes = outcomes
        self._clock = clock
        self._rules = rules or HandOffRules()
        self._keep_s = keep_s

    # -- who asks ------------------------------------------------------------------------------

    async def ask(
        self,
        principal: Principal,
        question: str,
        *,
        ticket: str | None = None,
        token: str | None = None,
        end_user: str | None = None,
        email: str | None = None,
        key: str | None = None,
    ) -> Opened:
        check_reach(principal)
        text = clean_question(question)
        before = None if ticket is None else await self.find(principal, ticket, token=token)
        secret = secrets.token_urlsafe(24) if before is None else None
        question_id = uuid7()
        asked = Question(
            ticket_id=question_id if before is None else before.ticket.id,
            id=question_id,
            text=text,
            is_new=before is None,
            end_user=a_label(end_user, "end_user"),
            email=an_address(email),
            token=None if secret is None else digest_of(secret),
            pending=before is None or before.ticket.state not in OF_PEOPLE,
        )
        if before is not None and len(before.messages) >= MAX_MESSAGES:
            raise _full()
        if not asked.pending:
            return Opened(thread=await self._asked_a_person(principal, asked))
        job = await self._jobs.start(job_of(principal, asked, key))
        if job.id != asked.id:  # it was asked before, under this key
            asked = await self._asked_before(principal, job, asked, secret)
        thread = await self._rows.ask(principal.tenant_id, asked, most=MAX_MESSAGES)
        if thread is None:
            raise _full() if before is not None else NotFound("The ticket was deleted.")
        return Opened(thread=thread, token=secret, job=job_name(job.id))

    async def find(self, principal: Principal, ticket: str, *, token: str | None = None) -> Thread:
        check_reach(principal)
        ticket_id = ticket_id_of(ticket)
        thread = None if ticket_id is None else await self._rows.find(principal.tenant_id, ticket_id)
        if thread is None or not is_shown(principal, thread.ticket, token):
            raise _no_such_ticket()
        return thread

    async def feedback(
        self,
        principal: Principal,
        ticket: str,
        *,
        helpful: bool,
        comment: str = "",
        message: str | None = None,
        token: str | None = None,
    ) -> Thread:
        thread = await self.find(principal, ticket, token=token)
        message_id = judged(thread, message)
        comment = a_text(comment, MAX_COMMENT, "comment")
        told = await self._rows.judge(
            principal.tenant_id, thread.ticket.id, message_id, helpful=helpful, comment=comment
        )
        kind: OutcomeKind = "success" if helpful else "failure"
        outcome = Outcome(task=thread.ticket.name, outcome=kind, at=self._clock.now())
        await self._outcomes.report_outcomes(principal.tenant_id, [outcome])
        if not helpful and "unhelpful" in self._rules.on and thread.ticket.state == "answered":
            return await self._handed(principal, thread, "unhelpful")
        return _there(told)

    async def hand_off(self, principal: Principal, ticket: str, *, token: str | None = None) -> Thread:
        thread = await self.find(principal, ticket, token=token)
        return thread if thread.ticket.state in OF_PEOPLE else await self._handed(principal, thread, "asked")

    async def close(self, principal: Principal, ticket: str, *, token: str | None = None) -> Thread:
        thread = await self.find(principal, ticket, token=token)
        return _there(await self._rows.close(principal.tenant_id, thread.ticket.id))

    # -- who answers ---------------------------------------------------------------------------

    async def list(
        self,
        principal: Principal,
        *,
        state: str | None = None,
        end_user: str | None = None,
        cursor: str | None = None,
        limit: int = 20,
    ) -> TicketPage:
        before = cursor_of(principal, cursor, limit)
        states: list[State] = [one for one in STATES if one == state]
        if state is not None and not states:
            raise InvalidRequest(f"A ticket is {', '.join(STATES[:-1])} or {STATES[-1]}.", param="state")
        asked_by = a_label(end_user, "end_user")
        found = await self._rows.page(
            principal.tenant_id, states=states, end_user=asked_by, before=before, limit=limit + 1
        )
        return page_of(found, limit)

    async def queue(self, principal: Principal, *, cursor: str | None = None, limit: int = 20) -> TicketPage:
        after = cursor_of(principal, cursor, limit)
        return page_of(await self._rows.queue(principal.tenant_id, after=after, limit=limit + 1), limit)

    async def counts(self, principal: Principal) -> QueueCounts:
        principal.require(SCOPE_INFERENCE)
        return await self._rows.counts(principal.tenant_id)

    async def claim(self, principal: Principal, ticket: str, *, agent: str | None = None) -> Thread:
        thread, who = await self._of_desk(principal, ticket, agent)
        claimed = _there(await self._rows.claim(principal.tenant_id, thread.ticket.id, who))
        if claimed.ticket.claimed_by != who:
            raise Conflict(f"{claimed.ticket.claimed_by} has this ticket. Release it first.")
        return claimed

    async def release(self, principal: Principal, ticket: str) -> Thread:
        thread, _ = await self._of_desk(principal, ticket, None)
        return _there(await self._rows.release(principal.tenant_id, thread.ticket.id))

    async def reply(self, principal: Principal, ticket: str, text: str, *, agent: str | None = None) -> Thread:
        text = a_text(text, MAX_TEXT, "text")
        if not text:
            raise InvalidRequest("A reply says something.", param="text")
        thread, who = await self._of_desk(principal, ticket, agent)
        if thread.ticket.claimed_by not in (None, who):
            raise Conflict(f"{thread.ticket.claimed_by} has this ticket. Release it first.")
        message = Message(id=uuid7(), role="agent", text=text, at=self._clock.now(), author=who)
        await self._tell(principal, thread.ticket.id, "replied", message.id)
        replied = await self._rows.reply(principal.tenant_id, thread.ticket.id, message, most=MAX_MESSAGES)
        if replied is None:
            raise _full()
        return replied

    async def remove(self, principal: Principal, ticket: str) -> None:
        thread, _ = await self._of_desk(principal, ticket, None)
        tenant_id = principal.tenant_id
        for message in thread.messages:
            if message.role == "user":
                await self._end_job(tenant_id, message.id)
        await self._rows.remove(tenant_id, thread.ticket.id)

    async def expire(self) -> int:
        """Deletes tickets in which nothing happened for long, of all tenants; how many. Raises StoreUnavailable."""
        expired = 0
        for tenant_id in await self._rows.tenants_expired(self._keep_s):
            while of_tenant := await self._rows.expire(tenant_id, self._keep_s, limit=100):
                expired += of_tenant
        return expired

    # -- inside ----------------------------------------------------------------------------------

    async def _of_desk(self, principal: Principal, ticket: str, agent: str | None) -> tuple[Thread, str]:
        principal.require(SCOPE_INFERENCE)
        whose = principal.user_id or principal.key_id
        who = a_label(agent, "agent") or (
            "somebody" if whose is None else f"{'user' if principal.user_id else 'key'} {whose}"
        )
        return await self.find(principal, ticket), who

    async def _handed(self, principal: Principal, thread: Thread, why: HandOff) -> Thread:
        await self._tell(principal, thread.ticket.id, "handed_off")
        return _there(await self._rows.hand_off(principal.tenant_id, thread.ticket.id, why))

    async def _asked_a_person(self, principal: Principal, asked: Question) -> Thread:
        thread = await self._rows.ask(principal.tenant_id, asked, most=MAX_MESSAGES)
        if thread is None:
            raise _full()
        return thread

    async def _asked_before(self, principal: Principal, job: Job, asked: Question, secret: str | None) -> Question:
        """The question as it was asked the first time. Whoever has lost the reply of that time gets another token."""
        if job.facts.get("request") != request_digest(asked):
            raise IdempotencyMismatch("This Idempotency-Key was used before with another question.")
        if secret is not None:
            await self._rows.retoken(principal.tenant_id, job.id, digest_of(secret))
        return structs.replace(asked, id=job.id, ticket_id=job.id if asked.is_new else asked.ticket_id)

    async def _tell(self, principal: Principal, ticket_id: UUID, told: Told, message_id: UUID | None = None) -> None:
        """Asked for before it happens: the job looks whether it has, so that it is told if, and only if, it has."""
        notice = Notice(ticket_id=ticket_id, told=told, message_id=message_id)
        await self._jobs.enqueue(
            NewJob(
                kind=KIND_TELL,
                principal=principal,
                input=json.encode(notice),
                subject=ticket_name(ticket_id),
                order_key=f"{KIND_TELL} {ticket_id.hex}",
                delay_s=1.0,
                keep_s=KEEP_JOB_S,
            )
        )

    async def _end_job(self, tenant_id: TenantId, job_id: UUID) -> None:
        """Its input and its events are gone. Raises Conflict while it runs on."""
        try:
            job = await self._jobs.get(tenant_id, job_id)
            if not job.ended:
                await self._jobs.cancel(tenant_id, job_id)
                job = await self._jobs.wait(tenant_id, job_id, 2.0)
            await self._jobs.discard(tenant_id, job_id)
        except NotFound:
            return


async def expire_tickets(desk: SupportDesk) -> None:
    """Every ten minutes, until cancelled."""
    await keep(desk.expire, every_s=600.0, otherwise="support tickets are not expired")


def _there(thread: Thread | None) -> Thread:
    """Raises NotFound: it was deleted meanwhile."""
    if thread is None:
        raise _no_such_ticket()
    return thread


def _no_such_ticket() -> NotFound:
    return NotFound("There is no such support ticket.")


def _full() -> Conflict:
    return Conflict(f"A ticket holds at most {MAX_MESSAGES} messages. Open another one.")
