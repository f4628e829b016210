"""Who is told of what became of a question: whoever listens to the tenant's events, and by e-mail whoever asked.

Events hold names and states. An e-mail holds the answer, and not the question: nobody can make it say something to a
stranger by asking.
"""

from collections.abc import Callable
from uuid import UUID

from msgspec import json

from tenfold.assistant.tickets.ports import Mailer, TicketRows
from tenfold.assistant.tickets.types import (
    KIND_MAIL,
    KIND_TELL,
    OF_PEOPLE,
    Mail,
    Message,
    Notice,
    Thread,
    Ticket,
    Told,
    message_name,
)
from tenfold.core.errors import InvalidRequest, UpstreamUnavailable
from tenfold.core.principal import Principal
from tenfold.jobs.ports import JobContext
from tenfold.jobs.types import NewJob, Result
from tenfold.webhooks.ports import Outbox
from tenfold.webhooks.types import Event

SUBJECT = "Your question has an answer"
_KEEP_S = 86_400.0
_ATTEMPTS = 10  # with the pauses between them half a day
_FIRST_RETRY_S, _MOST_RETRY_S = 10.0, 3 * 3600.0
_LOOKS = 5  # for something that is told of to have happened
_SOURCES = 5
_notices = json.Decoder(Notice)
_mails = json.Decoder(Mail)


class Notices:
    """`by_mail`: e-mail is set up. `link`: where the ticket can be read, if there is such a page."""

    def __init__(
        self, outbox: Outbox, *, by_mail: bool = False, link: Callable[[Ticket], str | None] = lambda _ticket: None
    ) -> None:
        self._outbox = outbox
        self._by_mail = by_mail
        self._link = link

    async def jobs_for(
        self, principal: Principal, thread: Thread, told: Told, message: Message | None = None
    ) -> tuple[NewJob, ...]:
        """The jobs that tell of it, to be handed on with what it tells of. Raises StoreUnavailable."""
        event = Event(type=f"support.{told}", resource=thread.ticket.name, data=_facts(thread.ticket, message))
        jobs = await self._outbox.jobs_for(principal, event)
        to = thread.ticket.email
        if not self._by_mail or to is None or message is None or not _is_worth_a_letter(message):
            return jobs
        mail = Mail(to=to, subject=SUBJECT, text=_letter(message, self._link(thread.ticket)))
        return (*jobs, _mail_job(principal, thread.ticket, message.id, mail))


class TellSupport:
    """Tells of what a person did, once it is seen to have happened. Implements `jobs.ports.Handler`."""

    kind = KIND_TELL
    after_death: str | None = None

    def __init__(self, rows: TicketRows, notices: Notices) -> None:
        self._rows = rows
        self._notices = notices

    async def run(self, job: JobContext) -> Result:
        """Raises StoreUnavailable; UpstreamUnavailable, where it is not there yet."""
        notice, principal = _notices.decode(job.work.input), job.work.principal
        thread = await self._rows.find(principal.tenant_id, notice.ticket_id)
        message = None if thread is None or notice.message_id is None else thread.message(notice.message_id)
        if thread is not None and _has_happened(thread, notice, message):
            return Result(then=await self._notices.jobs_for(principal, thread, notice.told, message))
        if job.work.job.attempts < _LOOKS:
            raise UpstreamUnavailable("It has not happened yet.", retry_after_s=1.0)
        return Result()  # whoever wanted it was told that it failed


class SendMail:
    """Implements `jobs.ports.Handler`."""

    kind = KIND_MAIL
    after_death: str | None = None

    def __init__(self, mailer: Mailer | None) -> None:
        """`mailer` None: mail is not set up any more; what was to be sent is not."""
        self._mailer = mailer

    async def run(self, job: JobContext) -> Result:
        """Raises UpstreamUnavailable. A mail that is refused for good is done with: a wrong address is no fault of
        ours, and trying again mends nothing."""
        mail = _mails.decode(job.work.input)
        if self._mailer is None:
            return Result(output=json.encode({"refused": "No mail server is set up."}))
        try:
            await self._mailer.send(mail, key=job.work.job.id.hex)
        except InvalidRequest as error:
            return Result(output=json.encode({"refused": error.message}))
        return Result(output=json.encode({"sent": True}))


def _has_happened(thread: Thread, notice: Notice, message: Message | None) -> bool:
    if notice.message_id is not None:
        return message is not None
    return thread.ticket.state in OF_PEOPLE


def _facts(ticket: Ticket, message: Message | None) -> dict[str, object]:
    answer = None if message is None else message.answer
    facts: dict[str, object] = {"state": ticket.state, "end_user": ticket.end_user, "hand_off": ticket.hand_off}
    if message is not None:
        facts["message"] = message_name(message.id)
    if answer is not None:
        facts |= {"outcome": answer.outcome, "confidence": answer.confidence}
    return facts


def _is_worth_a_letter(message: Message) -> bool:
    """An answer or a person's reply; that the documents hold nothing is not."""
    return bool(message.text) and (message.answer is None or message.answer.outcome == "answered")


def _letter(message: Message, link: str | None) -> str:
    parts = [message.text]
    answer = message.answer
    if answer is not None and answer.citations:
        sources = [f"[{each.number}] {_titled(each.title, each.heading)}" for each in answer.citations[:_SOURCES]]
        parts.append("\n".join(["Sources:", *sources]))
    if link is not None:
        parts.append(f"Read on, or ask again: {link}")
    return "\n\n".join(parts) + "\n"


def _titled(title: str, heading: str) -> str:
    return f"{title}, {heading}" if heading else title


def _mail_job(principal: Principal, ticket: Ticket, message_id: UUID, mail: Mail) -> NewJob:
    return NewJob(
        kind=KIND_MAIL,
        principal=principal,
        input=json.encode(mail),
        subject=ticket.name,
        max_attempts=_ATTEMPTS,
        first_retry_s=_FIRST_RETRY_S,
        most_retry_s=_MOST_RETRY_S,
        dedup=message_id.hex,
        keep_s=_KEEP_S,
    )
