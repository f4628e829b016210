"""The values of support tickets. Values only. (Calls that are answered later are another thing: inference/tickets.)"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from tenfold.assistant.types import AnswerEnd, HandOff
from tenfold.core.ids import TenantId, id_named

KIND = "support"  # of the jobs that answer a question; a job has the id of its question
KIND_DEAD = "support.dead"  # of the jobs that follow one that failed
KIND_TELL = "support.tell"  # of the jobs that tell what a person did
KIND_MAIL = "support.mail"  # of the jobs that send an e-mail
KINDS = frozenset({KIND, KIND_DEAD, KIND_TELL, KIND_MAIL})

State = Literal["waiting", "answered", "handed_off", "claimed", "replied", "closed"]
"""`waiting`: the assistant is to answer. `answered`: it has. `handed_off`: it waits for a person; `claimed`: a person
has it; `replied`: a person has answered. `closed`: done."""

STATES: tuple[State, ...] = ("waiting", "answered", "handed_off", "claimed", "replied", "closed")
OF_PEOPLE: tuple[State, ...] = ("handed_off", "claimed", "replied")
"""A person is in charge: the assistant does not answer."""

IN_QUEUE: tuple[State, ...] = ("handed_off", "claimed")
"""A person has to do something."""

Role = Literal["user", "assistant", "agent"]

MAX_MESSAGES = 200  # of a ticket
MAX_SUBJECT = 200  # characters of its first question that lists show
MAX_TEXT = 10_000  # characters of what a person replies
MAX_COMMENT = 2_000
MAX_LABEL = 200  # of an end user's or agent's name

Told = Literal["answered", "handed_off", "replied"]
"""What somebody is notified of."""


class Feedback(Struct, frozen=True, kw_only=True):
    helpful: bool
    comment: str
    at: datetime


class Message(Struct, frozen=True, kw_only=True):
    """One of a ticket. `answer` is what the assistant tells of its own: outcome, citations, confidence, prompt version,
    model, latency, tokens, cost; `pending`: a question that the assistant has not answered yet; `answers` the question
    that it is the answer to."""

    id: UUID  # seen outside as msg_<hex>; a question's job has the same
    role: Role
    text: str
    at: datetime
    author: str = ""  # of an agent
    answer: AnswerEnd | None = None
    answers: UUID | None = None
    pending: bool = False
    feedback: Feedback | None = None


class Ticket(Struct, frozen=True, kw_only=True):
    """A ticket, without what was said."""

    tenant_id: TenantId
    id: UUID  # seen outside as sup_<hex>; the id of its first question
    state: State
    subject: str  # the beginning of its first question
    end_user: str | None
    email: str | None  # who is told of answers
    created_at: datetime
    updated_at: datetime
    messages: int
    version: int  # grows with each change: its ETag
    hand_off: HandOff | None = None  # why it was handed to a person, the last time
    handed_off_at: datetime | None = None
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    helpful: bool | None = None  # the last that was said of it
    token: bytes | None = None  # digest of what lets somebody without a key of the tenant's own reach it

    @property
    def name(self) -> str:
        return ticket_name(self.id)


class Thread(Struct, frozen=True, kw_only=True):
    """A ticket with its messages, the oldest first."""

    ticket: Ticket
    messages: list[Message]

    @property
    def pending(self) -> UUID | None:
        """The question that the assistant is at, which is also the id of its job."""
        return next((each.id for each in self.messages if each.pending), None)

    def message(self, message_id: UUID) -> Message | None:
        return next((each for each in self.messages if each.id == message_id), None)

    def answer_to(self, question_id: UUID) -> Message | None:
        return next((each for each in self.messages if each.answers == question_id), None)


class Opened(Struct, frozen=True, kw_only=True):
    """A question that was taken. `token` is told this once, of a new ticket; `job` the public id of the job that
    answers, None where a person is in charge."""

    thread: Thread
    token: str | None = None
    job: str | None = None


class Question(Struct, frozen=True, kw_only=True):
    """The input of a job of KIND: what is written of a question, whoever writes it first."""

    ticket_id: UUID
    id: UUID
    text: str
    is_new: bool  # it opens the ticket
    end_user: str | None = None
    email: str | None = None
    token: bytes | None = None
    pending: bool = True


class Notice(Struct, frozen=True, kw_only=True):
    """The input of a job of KIND_TELL. `message_id` is the message that must be there, if it tells of one."""

    ticket_id: UUID
    told: Told
    message_id: UUID | None = None


class Mail(Struct, frozen=True, kw_only=True):
    """The input of a job of KIND_MAIL. Plain text; the addresses were checked."""

    to: str
    subject: str
    text: str


class TicketPage(Struct, frozen=True, kw_only=True):
    items: list[Ticket]
    cursor: str | None  # of the next page


class QueueCounts(Struct, frozen=True, kw_only=True):
    """How many tickets wait for a person, and are in the hands of one."""

    waiting: int
    claimed: int


def ticket_name(ticket_id: UUID) -> str:
    return f"sup_{ticket_id.hex}"


def ticket_id_of(name: str) -> UUID | None:
    """None: it is no ticket's id."""
    return id_named("sup_", name)


def message_name(message_id: UUID) -> str:
    return f"msg_{message_id.hex}"


def message_id_of(name: str) -> UUID | None:
    return id_named("msg_", name)
