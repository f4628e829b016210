"""Pages of support: one dataclass for each, and what was said in a ticket, rendered."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from tenfold.assistant.tickets.types import Message, QueueCounts, State, Thread, Ticket, message_name
from tenfold.assistant.types import AnswerEnd, Citation, HandOff
from tenfold.console.markdown import answer_html
from tenfold.console.views import FormError, cost, duration, model_name, sources

STATES: dict[State, str] = {
    "waiting": "Being answered",
    "answered": "Answered",
    "handed_off": "Waits for a person",
    "claimed": "Claimed",
    "replied": "Replied",
    "closed": "Closed",
}
HAND_OFFS: dict[HandOff, str] = {
    "asked": "The customer asked for a person.",
    "abstained": "The documents do not answer this.",
    "degraded": "No model could answer.",
    "unsure": "The assistant is not sure of its answer.",
    "unhelpful": "The answer did not help.",
    "failed": "The assistant failed.",
}
_ROLES = {"user": "Customer", "assistant": "Assistant", "agent": "Support"}
_PUBLIC = ("/docs/", "https://", "http://")  # what a reader may follow who is not signed in


@dataclass(frozen=True, kw_only=True)
class SourceView:
    """`url` is None where it leads nowhere for who reads this."""

    anchor: str
    number: int
    title: str
    heading: str
    excerpt: str
    url: str | None


@dataclass(frozen=True, kw_only=True)
class MessageView:
    """`html` is of the assistant's own text, `text` what a person wrote. `facts` are for the desk."""

    id: str
    role: str
    who: str
    at: datetime
    text: str
    html: str
    notice: str | None
    sources: list[SourceView]
    are_cited: bool
    facts: list[tuple[str, str]]
    helpful: bool | None
    comment: str


@dataclass(frozen=True, kw_only=True)
class SupportPage:
    """`view` is "queue" (what waits for a person), "all", or a state."""

    template: ClassVar[str] = "support.html"
    title: str = "Support"
    tickets: list[Ticket]
    cursor: str | None
    counts: QueueCounts
    view: str
    states: dict[State, str]


@dataclass(frozen=True, kw_only=True)
class SupportTicketPage:
    """`is_ours`: nobody else has it. `reply` is what was written and refused."""

    template: ClassVar[str] = "ticket.html"
    title: str
    ticket: Ticket
    state: str
    why: str | None
    messages: list[MessageView]
    is_pending: bool
    is_ours: bool
    reply: str = ""
    error: FormError | None = None


@dataclass(frozen=True, kw_only=True)
class WidgetPage:
    """What stands in the frame of the widget. `key` is the publishable key that the page was opened with."""

    template: ClassVar[str] = "widget.html"
    title: str
    key: str
    ticket: str = ""
    token: str = ""
    messages: tuple[MessageView, ...] = ()
    is_pending: bool = False
    with_person: bool = False
    is_closed: bool = False
    can_judge: bool = False
    question: str = ""
    error: FormError | None = None


def message_views(thread: Thread, *, signed_in: bool) -> list[MessageView]:
    return [_view(message, signed_in) for message in thread.messages]


def _view(message: Message, signed_in: bool) -> MessageView:
    end = message.answer
    name = message_name(message.id)
    shown = [_source(each, name, signed_in) for each in sources(end)] if end else []
    numbers = frozenset(each.number for each in shown)
    return MessageView(
        id=name,
        role=message.role,
        who=_who(message, signed_in),
        at=message.at,
        text=message.text,
        html=answer_html(message.text, numbers, anchor=f"{name}-source") if message.role == "assistant" else "",
        notice=end.notice if end else None,
        sources=shown,
        are_cited=bool(end and end.citations),
        facts=_facts(end) if end and signed_in else [],
        helpful=message.feedback.helpful if message.feedback else None,
        comment=message.feedback.comment if message.feedback else "",
    )


def _who(message: Message, signed_in: bool) -> str:
    """Those outside are not told the names of people at the desk."""
    if not signed_in and message.role == "user":
        return "You"
    return (message.author if signed_in else "") or _ROLES[message.role]


def _source(citation: Citation, message: str, signed_in: bool) -> SourceView:
    return SourceView(
        anchor=f"{message}-source-{citation.number}",
        number=citation.number,
        title=citation.title,
        heading=citation.heading,
        excerpt=citation.excerpt,
        url=citation.url if signed_in or citation.url.startswith(_PUBLIC) else None,
    )


def _facts(end: AnswerEnd) -> list[tuple[str, str]]:
    facts = [("Confidence", f"{end.confidence:.0%}"), ("Latency", duration(end.latency_ms))]
    if end.call is None:
        return [*facts, ("Cost", "no model was called")]
    facts += [("Cost", cost(end.cost_nano)), ("Cache", end.call.cache), ("Model", model_name(end.call))]
    return facts if not end.prompt else [*facts, ("Prompt", end.prompt)]
