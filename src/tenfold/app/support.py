"""The support assistant of one process: the one flow behind the Ask page, the API and the jobs of tickets, over the
tenant's own documents where it has any."""

from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from msgspec import Struct

from tenfold.app.settings import Settings, environment, secret
from tenfold.app.smtp import SmtpMailer, SmtpServer
from tenfold.assistant.assistant import ESCALATE_BELOW, Assistant
from tenfold.assistant.calling import JobCaller, PathCaller
from tenfold.assistant.handing_off import HandOffRules
from tenfold.assistant.ports import Listener, Recorder, Searcher, Switches
from tenfold.assistant.tickets.answering import AnswerQuestion, DeadQuestion
from tenfold.assistant.tickets.handlers import KEEP_S, SupportDesk, expire_tickets
from tenfold.assistant.tickets.ports import Outcomes
from tenfold.assistant.tickets.queries import PostgresTicketRows
from tenfold.assistant.tickets.telling import Notices, SendMail, TellSupport
from tenfold.assistant.tickets.types import KINDS, Ticket
from tenfold.assistant.types import Hit
from tenfold.core.clock import Clock
from tenfold.core.principal import Principal
from tenfold.inference.background import BackgroundCaller
from tenfold.inference.pipeline import Pipeline
from tenfold.jobs.ports import Handler, Jobs
from tenfold.retrieval.vector_stores.handlers import VectorStores
from tenfold.retrieval.vector_stores.searching import StoreSearch
from tenfold.retrieval.vector_stores.types import Question
from tenfold.store import Store
from tenfold.webhooks.ports import Outbox

__all__ = ["KINDS", "SUPPORT_STORE", "SupportKnowledge", "SupportParts", "SupportPolicy", "passage_url", "policy_of"]

SUPPORT_STORE = "support"
"""The title of the vector store whose files are what the assistant knows of a tenant."""

# Passages less relevant than this are noise: no model is asked. Measured over the packaged documentation: SciFact's
# claims, which it says nothing about, stay below 0.4, questions about the product are above it.
RELEVANCE_FLOOR = 0.4


class SupportPolicy(Struct, frozen=True, kw_only=True):
    """What the operator has settled; see the settings of the same names. `mail` None: nobody is written to."""

    model: str
    larger: str | None = None
    escalate_below: float = ESCALATE_BELOW
    hand_off: HandOffRules = HandOffRules()
    semantic: bool = False
    keep_s: float = KEEP_S
    ticket_url: str | None = None  # with {ticket} in it
    mail: SmtpServer | None = None


def policy_of(settings: Settings) -> SupportPolicy:
    """Raises SettingsError: the password of the mail server is not where it should be."""
    assistant, smtp = settings.assistant, settings.smtp
    mail = None
    if smtp.host is not None:
        mail = SmtpServer(
            host=smtp.host,
            port=smtp.port,
            sender=smtp.sender,
            sender_name=smtp.sender_name,
            username=smtp.username,
            password=secret(smtp.password, environment(), "[smtp]", "password"),
            security=smtp.security,
            timeout_s=smtp.timeout_s,
        )
    return SupportPolicy(
        model=assistant.model,
        larger=assistant.larger_model,
        escalate_below=assistant.escalate_below,
        hand_off=HandOffRules(on=frozenset(assistant.hand_off), below=assistant.hand_off_below),
        semantic=settings.cache.semantic != "off",
        keep_s=assistant.keep_days * 86_400.0,
        ticket_url=assistant.ticket_url,
        mail=mail,
    )


class SupportKnowledge:
    """Implements `assistant.ports.Searcher`: the tenant's store of support, or else `otherwise`."""

    def __init__(self, stores: VectorStores, search: StoreSearch, otherwise: Searcher) -> None:
        self._stores = stores
        self._search = search
        self._otherwise = otherwise

    async def search(self, principal: Principal, question: str, *, limit: int) -> list[Hit]:
        store = await self._stores.titled(principal.tenant_id, SUPPORT_STORE)
        if store is None or store.expired or not store.counts.completed:
            return await self._otherwise.search(principal, question, limit=limit)
        asked = Question(queries=(question,), limit=limit)
        return [
            Hit(
                title=found.file.filename,
                url=passage_url(found.file.public_id, found.span),
                text=found.text,
                relevance=found.relevance,
                heading=found.heading,
                span=found.span,
                document=found.document,
            )
            for found in await self._search.ask(principal.tenant_id, [store.public_id], asked)
        ]


class SupportParts:
    """`assistant` is for the console, `desk` for its pages and API; `handlers` are for the worker; run each of
    `tasks`. `unheard` is the same assistant for questions that nobody asks: no listener hears them, and they count in
    no objective."""

    def __init__(
        self,
        policy: SupportPolicy,
        store: Store,
        clock: Clock,
        *,
        searcher: Searcher,
        pipeline: Pipeline,
        caller: BackgroundCaller,
        jobs: Jobs,
        outbox: Outbox,
        outcomes: Outcomes,
        switches: Switches | None = None,
        recorder: Recorder | None = None,
        listener: Listener | None = None,
    ) -> None:
        rows = PostgresTicketRows(store)
        notices = Notices(outbox, by_mail=policy.mail is not None, link=lambda ticket: _link(policy.ticket_url, ticket))
        made = partial(
            Assistant,
            searcher,
            PathCaller(pipeline),
            clock,
            model=policy.model,
            floor=RELEVANCE_FLOOR,
            larger=policy.larger,
            escalate_below=policy.escalate_below,
            hand_off=policy.hand_off,
            semantic=policy.semantic,
            switches=switches,
        )
        self.assistant = made(recorder=recorder, listener=listener)
        self.unheard = made()
        self.desk = SupportDesk(rows, jobs, outcomes, clock, rules=policy.hand_off, keep_s=policy.keep_s)
        self.handlers: list[Handler] = [
            AnswerQuestion(rows, self.assistant, notices, lambda job: JobCaller(caller, job)),
            DeadQuestion(rows, notices),
            TellSupport(rows, notices),
            SendMail(None if policy.mail is None else SmtpMailer(policy.mail)),
        ]

    def tasks(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "app.support", expire_tickets(self.desk)


def passage_url(file_id: str, span: tuple[int, int]) -> str:
    """Of the page of the console that shows the document with the passage marked."""
    start, end = span
    return f"/knowledge/{quote(file_id, safe='')}?{urlencode({'from': start, 'to': end})}#cited"


def _link(template: str | None, ticket: Ticket) -> str | None:
    return None if template is None else template.replace("{ticket}", ticket.name)
