"""Support tickets in memory, under the contract suite of the real ones; outcomes and e-mails that are kept, for tests
of whatever stands on them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from msgspec import structs

from tenfold.assistant.tickets.types import (
    IN_QUEUE,
    MAX_SUBJECT,
    OF_PEOPLE,
    Feedback,
    Mail,
    Message,
    Question,
    QueueCounts,
    State,
    Thread,
    Ticket,
)
from tenfold.assistant.types import HandOff
from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable, TenfoldError
from tenfold.core.ids import TenantId
from tenfold.ledger.reports.types import Outcome


class FakeTicketRows:
    """Set `away` to make every call raise StoreUnavailable."""

    def __init__(self, clock: Clock) -> None:
        self.away = False
        self._clock = clock
        self._kept: dict[tuple[TenantId, UUID], Thread] = {}

    async def ask(self, tenant_id: TenantId, question: Question, *, most: int) -> Thread | None:
        thread = self._find(tenant_id, question.ticket_id)
        if thread is None:
            if not question.is_new:
                return None
            thread = Thread(ticket=self._opened(tenant_id, question), messages=[])
        if thread.message(question.id) is not None:
            return thread
        ticket = thread.ticket
        if len(thread.messages) >= most:
            return None
        state: State = "waiting"
        if ticket.state in OF_PEOPLE:
            state = ticket.state
            if state == "replied":
                state = "handed_off" if ticket.claimed_by is None else "claimed"
        asked = Message(
            id=question.id,
            role="user",
            text=question.text,
            at=self._clock.now(),
            pending=question.pending and ticket.state not in OF_PEOPLE,
        )
        changes = {"end_user": ticket.end_user or question.end_user, "email": question.email or ticket.email}
        return self._keep(thread, asked, state=state, **changes)

    async def answer(
        self, tenant_id: TenantId, ticket_id: UUID, message: Message, *, hand_off: HandOff | None
    ) -> Thread | None:
        thread = self._find(tenant_id, ticket_id)
        if thread is None or message.answers is None or thread.message(message.answers) is None:
            return None
        if thread.answer_to(message.answers) is not None:
            return thread
        settled = self._settled(thread, message.answers)
        return self._keep(settled, structs.replace(message, at=self._clock.now()), **self._after(settled, hand_off))

    async def give_up(self, tenant_id: TenantId, ticket_id: UUID, question_id: UUID) -> Thread | None:
        thread = self._find(tenant_id, ticket_id)
        asked = None if thread is None else thread.message(question_id)
        if thread is None or asked is None or not asked.pending:
            return None
        settled = self._settled(thread, question_id)
        return self._keep(settled, **self._after(settled, "failed"))

    async def hand_off(self, tenant_id: TenantId, ticket_id: UUID, why: HandOff) -> Thread | None:
        thread = self._find(tenant_id, ticket_id)
        if thread is None or thread.ticket.state in OF_PEOPLE:
            return thread
        now = self._clock.now()
        return self._keep(thread, state="handed_off", hand_off=why, handed_off_at=now, claimed_by=None, claimed_at=None)

    async def claim(self, tenant_id: TenantId, ticket_id: UUID, who: str) -> Thread | None:
        thread = self._find(tenant_id, ticket_id)
        if thread is None or (thread.ticket.claimed_by not in (None, who) and thread.ticket.state != "closed"):
            return thread
        ticket, now = thread.ticket, self._clock.now()
        if ticket.state == "claimed":
            return thread
        return self._keep(
            thread,
            state="claimed",
            claimed_by=who,
            claimed_at=ticket.claimed_at or now,
            handed_off_at=ticket.handed_off_at or now,
        )

    async def release(self, tenant_id: TenantId, ticket_id: UUID) -> Thread | None:
        thread = self._find(tenant_id, ticket_id)
        if thread is None or (thread.ticket.claimed_by is None and thread.ticket.state != "claimed"):
            return thread
        since = thread.ticket.handed_off_at or self._clock.now()
        return self._keep(thread, state="handed_off", claimed_by=None, claimed_at=None, handed_off_at=since)

    async def reply(self, tenant_id: TenantId, ticket_id: UUID, message: Message, *, most: int) -> Thread | None:
        thread = self._find(tenant_id, ticket_id)
        if thread is None or thread.message(message.id) is not None:
            return thread
        if len(thread.messages) >= most:
            return None
        now = self._clock.now()
        since = thread.ticket.claimed_at or now
        replied = structs.replace(message, at=now)
        return self._keep(thread, replied, state="replied", claimed_by=message.author, claimed_at=since)

    async def close(self, tenant_id: TenantId, ticket_id: UUID) -> Thread | None:
        thread = self._find(tenant_id, ticket_id)
        if thread is None or thread.ticket.state == "closed":
            return thread
        return self._keep(thread, state="closed", claimed_by=None, claimed_at=None)

    async def judge(
        self, tenant_id: TenantId, ticket_id: UUID, message_id: UUID, *, helpful: bool, comment: str
    ) -> Thread | None:
        thread = self._find(tenant_id, ticket_id)
        said = None if thread is None else thread.message(message_id)
        if thread is None or said is None or said.role == "user":
            return None
        judged = structs.replace(said, feedback=Feedback(helpful=helpful, comment=comment, at=self._clock.now()))
        return self._keep(_with(thread, judged), helpful=helpful)

    async def retoken(self, tenant_id: TenantId, ticket_id: UUID, token: bytes) -> None:
        thread = self._find(tenant_id, ticket_id)
        if thread is not None:
            ticket = structs.replace(thread.ticket, token=token)
            self._kept[tenant_id, ticket_id] = structs.replace(thread, ticket=ticket)

    async def find(self, tenant_id: TenantId, ticket_id: UUID) -> Thread | None:
        return self._find(tenant_id, ticket_id)

    async def page(
        self,
        tenant_id: TenantId,
        *,
        states: Sequence[State],
        end_user: str | None,
        before: UUID | None,
        limit: int,
    ) -> list[Ticket]:
        found = [
            ticket
            for ticket in self._of(tenant_id)
            if (not states or ticket.state in states)
            and (end_user is None or ticket.end_user == end_user)
            and (before is None or ticket.id < before)
        ]
        return sorted(found, key=lambda ticket: ticket.id, reverse=True)[:limit]

    async def queue(self, tenant_id: TenantId, *, after: UUID | None, limit: int) -> list[Ticket]:
        found = sorted((ticket for ticket in self._of(tenant_id) if ticket.state in IN_QUEUE), key=_since)
        last = None if after is None else self._find(tenant_id, after)
        if after is not None:
            found = [] if last is None else [ticket for ticket in found if _since(ticket) > _since(last.ticket)]
        return found[:limit]

    async def counts(self, tenant_id: TenantId) -> QueueCounts:
        states = [ticket.state for ticket in self._of(tenant_id)]
        return QueueCounts(waiting=states.count("handed_off"), claimed=states.count("claimed"))

    async def remove(self, tenant_id: TenantId, ticket_id: UUID) -> bool:
        return self._find(tenant_id, ticket_id) is not None and bool(self._kept.pop((tenant_id, ticket_id)))

    async def tenants_expired(self, keep_s: float) -> list[TenantId]:
        return list(dict.fromkeys(at[0] for at in self._kept if self._is_old(at, keep_s)))

    async def expire(self, tenant_id: TenantId, keep_s: float, *, limit: int) -> int:
        old = [at for at in self._kept if at[0] == tenant_id and self._is_old(at, keep_s)][:limit]
        for at in old:
            del self._kept[at]
        return len(old)

    # -- inside ----------------------------------------------------------------------------------

    def _find(self, tenant_id: TenantId, ticket_id: UUID) -> Thread | None:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)
        return self._kept.get((tenant_id, ticket_id))

    def _of(self, tenant_id: TenantId) -> list[Ticket]:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)
        return [thread.ticket for (of, _), thread in self._kept.items() if of == tenant_id]

    def _is_old(self, at: tuple[TenantId, UUID], keep_s: float) -> bool:
        return self._kept[at].ticket.updated_at <= self._clock.now() - timedelta(seconds=keep_s)

    def _opened(self, tenant_id: TenantId, question: Question) -> Ticket:
        now = self._clock.now()
        return Ticket(
            tenant_id=tenant_id,
            id=question.ticket_id,
            state="waiting",
            subject=question.text[:MAX_SUBJECT],
            end_user=question.end_user,
            email=question.email,
            token=question.token,
            created_at=now,
            updated_at=now,
            messages=0,
            version=1,
        )

    def _settled(self, thread: Thread, question_id: UUID) -> Thread:
        asked = thread.message(question_id)
        assert asked is not None
        return _with(thread, structs.replace(asked, pending=False))

    def _after(self, thread: Thread, hand_off: HandOff | None) -> dict[str, Any]:
        ticket = thread.ticket
        if ticket.state in OF_PEOPLE or ticket.state == "closed":
            return {}
        if hand_off is not None and ticket.state == "waiting":
            return {"state": "handed_off", "hand_off": hand_off, "handed_off_at": self._clock.now()}
        return {"state": "waiting" if thread.pending is not None else "answered"}

    def _keep(self, thread: Thread, *added: Message, **changes: Any) -> Thread:
        messages = [*thread.messages, *added]
        ticket = structs.replace(
            thread.ticket,
            **changes,
            messages=len(messages),
            version=thread.ticket.version + 1,
            updated_at=self._clock.now(),
        )
        kept = self._kept[ticket.tenant_id, ticket.id] = Thread(ticket=ticket, messages=messages)
        return kept


class FakeOutcomes:
    """`told` are the outcomes reported, in their order."""

    def __init__(self) -> None:
        self.told: list[tuple[TenantId, Outcome]] = []

    async def report_outcomes(self, tenant_id: TenantId, outcomes: Sequence[Outcome]) -> None:
        self.told += [(tenant_id, outcome) for outcome in outcomes]


class FakeMailer:
    """`sent` are the mails with their keys. With `error` it raises that instead."""

    def __init__(self) -> None:
        self.sent: list[tuple[Mail, str]] = []
        self.error: TenfoldError | None = None

    async def send(self, mail: Mail, *, key: str) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((mail, key))


def _with(thread: Thread, message: Message) -> Thread:
    said = [message if each.id == message.id else each for each in thread.messages]
    return structs.replace(thread, messages=said)


def _since(ticket: Ticket) -> tuple[Any, UUID]:
    return ticket.handed_off_at, ticket.id
