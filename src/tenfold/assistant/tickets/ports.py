"""The seams of this part: tickets at rest (`TicketRows`; `fake.FakeTicketRows` is the in-memory twin of
`queries.PostgresTicketRows`, under one contract suite), what the outside asks for (`Support`), and who is told of what
became of a question.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol
from uuid import UUID

from tenfold.assistant.ports import ChatCaller
from tenfold.assistant.tickets.types import (
    Mail,
    Message,
    Opened,
    Question,
    QueueCounts,
    State,
    Thread,
    Ticket,
    TicketPage,
)
from tenfold.assistant.types import AskEvent, HandOff, Turn
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.ledger.reports.types import Outcome


class TicketRows(Protocol):
    """Every method raises StoreUnavailable while the database is away; it may have done its work all the same, and can
    be called again. What is asked of another tenant's ticket finds nothing. All times are the database's. Whatever
    changes a ticket makes its version grow."""

    async def ask(self, tenant_id: TenantId, question: Question, *, most: int) -> Thread | None:
        """The question is in the ticket, which it opens where it `is_new`; written twice it is there once. A pending
        one makes the ticket wait for the assistant, unless a person is in charge; one that is not goes to the person.
        None: there is no such ticket, or it has as many messages as it may."""
        ...

    async def answer(
        self, tenant_id: TenantId, ticket_id: UUID, message: Message, *, hand_off: HandOff | None
    ) -> Thread | None:
        """The assistant's, to the question `message.answers`; there once. The ticket is answered, or handed off, once
        nothing is pending; where a person is in charge it stays theirs. None: there is no such question (any more)."""
        ...

    async def give_up(self, tenant_id: TenantId, ticket_id: UUID, question_id: UUID) -> Thread | None:
        """Of a pending question whose job died: the ticket is handed off. None: it is pending no more."""
        ...

    async def hand_off(self, tenant_id: TenantId, ticket_id: UUID, why: HandOff) -> Thread | None:
        """It waits for a person, unless one is in charge already. None: there is none."""
        ...

    async def claim(self, tenant_id: TenantId, ticket_id: UUID, who: str) -> Thread | None:
        """`who` has it from now on, whatever state it was in, unless somebody else has: then it is as it was."""
        ...

    async def release(self, tenant_id: TenantId, ticket_id: UUID) -> Thread | None:
        """Whoever had it has it no more: it waits for a person again."""
        ...

    async def reply(self, tenant_id: TenantId, ticket_id: UUID, message: Message, *, most: int) -> Thread | None:
        """A person's, there once; it is theirs from now on. None: there is none, or it is full."""
        ...

    async def close(self, tenant_id: TenantId, ticket_id: UUID) -> Thread | None: ...

    async def judge(
        self, tenant_id: TenantId, ticket_id: UUID, message_id: UUID, *, helpful: bool, comment: str
    ) -> Thread | None:
        """Feedback on an answer or a reply; the last holds. None: there is no such message."""
        ...

    async def retoken(self, tenant_id: TenantId, ticket_id: UUID, token: bytes) -> None:
        """Another token from now on, and the last one no more."""
        ...

    async def find(self, tenant_id: TenantId, ticket_id: UUID) -> Thread | None: ...

    async def page(
        self,
        tenant_id: TenantId,
        *,
        states: Sequence[State],
        end_user: str | None,
        before: UUID | None,
        limit: int,
    ) -> list[Ticket]:
        """The newest first, from before this one on; of these states, or (none) of all."""
        ...

    async def queue(self, tenant_id: TenantId, *, after: UUID | None, limit: int) -> list[Ticket]:
        """Those in which a person has to do something: who waits longest first, from after this one on."""
        ...

    async def counts(self, tenant_id: TenantId) -> QueueCounts: ...

    async def remove(self, tenant_id: TenantId, ticket_id: UUID) -> bool:
        """With all that was said. False: there is none."""
        ...

    async def tenants_expired(self, keep_s: float) -> list[TenantId]:
        """Who have tickets in which nothing happened for so long."""
        ...

    async def expire(self, tenant_id: TenantId, keep_s: float, *, limit: int) -> int:
        """Deletes up to so many of them; how many there were."""
        ...


class Support(Protocol):
    """See tenfold.assistant.tickets.handlers.SupportDesk. `ticket` is its public id everywhere. Whoever has only the
    scope `support` reaches a ticket by its `token`; without it, as of another tenant's, NotFound. Every method raises
    StoreUnavailable, PermissionDenied."""

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
        """Takes a question; `ticket`: the one it goes on from. `key`: asked twice it is there once. Raises
        InvalidRequest, NotFound, Conflict (the ticket is full), IdempotencyMismatch, RateLimited, Overloaded."""
        ...

    async def find(self, principal: Principal, ticket: str, *, token: str | None = None) -> Thread: ...

    async def list(
        self,
        principal: Principal,
        *,
        state: str | None = None,
        end_user: str | None = None,
        cursor: str | None = None,
        limit: int = 20,
    ) -> TicketPage:
        """The newest first. Raises InvalidRequest."""
        ...

    async def queue(self, principal: Principal, *, cursor: str | None = None, limit: int = 20) -> TicketPage:
        """Those that wait for a person, or are in the hands of one; who waits longest first. Raises InvalidRequest."""
        ...

    async def counts(self, principal: Principal) -> QueueCounts: ...

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
        """On the last answer, or on this message; the last feedback holds. Raises InvalidRequest, Conflict (nothing is
        answered yet)."""
        ...

    async def hand_off(self, principal: Principal, ticket: str, *, token: str | None = None) -> Thread: ...

    async def claim(self, principal: Principal, ticket: str, *, agent: str | None = None) -> Thread:
        """`agent`: who is shown to have it; else the person, or key, that asks. Raises Conflict (somebody else has
        it)."""
        ...

    async def release(self, principal: Principal, ticket: str) -> Thread: ...

    async def reply(self, principal: Principal, ticket: str, text: str, *, agent: str | None = None) -> Thread:
        """A person answers. Raises InvalidRequest, Conflict (somebody else has it, or it is full)."""
        ...

    async def close(self, principal: Principal, ticket: str, *, token: str | None = None) -> Thread: ...

    async def remove(self, principal: Principal, ticket: str) -> None:
        """With all that was said, and the jobs that worked on it. Raises Conflict (it is being answered right now)."""
        ...


class Answerer(Protocol):
    """See tenfold.assistant.assistant.Assistant."""

    def ask(
        self,
        principal: Principal,
        question: str,
        *,
        turns: Sequence[Turn] = (),
        task: str | None = None,
        end_user: str | None = None,
        caller: ChatCaller | None = None,
    ) -> AsyncGenerator[AskEvent, None]: ...


class Outcomes(Protocol):
    """See tenfold.ledger.reports.handlers.Reports."""

    async def report_outcomes(self, tenant_id: TenantId, outcomes: Sequence[Outcome]) -> None: ...


class Mailer(Protocol):
    """See tenfold.app.smtp.SmtpMailer."""

    async def send(self, mail: Mail, *, key: str) -> None:
        """`key` is the same each time it is tried, and makes its Message-ID. Raises InvalidRequest (the receiver is
        refused for good), UpstreamUnavailable (it may go later)."""
        ...
