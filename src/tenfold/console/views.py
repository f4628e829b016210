"""One dataclass for each page: all that its template may show."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal, Protocol

from tenfold.access.types import ApiKey
from tenfold.assistant.types import AnswerEnd, CallSummary, Citation
from tenfold.console.knowledge_services import KnowledgeCounts, KnowledgeFile
from tenfold.console.markdown import answer_html
from tenfold.console.services import DaySpend, DocEntry, DocPage, ReceiptLine
from tenfold.core.money import format_usd
from tenfold.ledger.budgets.types import BudgetAlert


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What every page has around it. `login` is None for someone not signed in; without a `form_token` it is not
    known who looks (error pages)."""

    path: str
    form_token: str
    request_id: str
    version: str
    login: str | None = None
    tenant_name: str | None = None
    sign_up_open: bool = True
    has_knowledge: bool = False
    has_support: bool = False
    has_cache: bool = False
    has_budgets: bool = False
    has_status: bool = False


@dataclass(frozen=True, kw_only=True)
class FormError:
    message: str
    field: str | None = None


@dataclass(frozen=True, kw_only=True)
class Snippets:
    """First calls to copy. `key` stands in them only on the page that shows the key once."""

    base_url: str
    model: str
    key: str = "$TENFOLD_API_KEY"


@dataclass(frozen=True, kw_only=True)
class AnswerView:
    """An answer, rendered."""

    html: str
    end: AnswerEnd
    facts: list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class FrontPage:
    """Signed out: what this is, and the form that starts a tenant."""

    template: ClassVar[str] = "front.html"
    title: str = "Tenfold"
    tenant_name: str = ""
    login: str = ""
    error: FormError | None = None


@dataclass(frozen=True, kw_only=True)
class LoginPage:
    template: ClassVar[str] = "login.html"
    title: str = "Log in"
    login: str = ""
    error: FormError | None = None


@dataclass(frozen=True, kw_only=True)
class AskPage:
    """Signed in: the question, and after it was asked the answer. `documents`: how many of the tenant's own it is
    answered from; 0: from Tenfold's documentation. `new_key` is shown this once."""

    template: ClassVar[str] = "ask.html"
    title: str = "Ask"
    documents: int = 0
    examples: tuple[str, ...]
    question: str = ""
    answer: AnswerView | None = None
    error: FormError | None = None
    new_key: str | None = field(default=None, repr=False)
    snippets: Snippets | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class KeysPage:
    """`new_key` is shown this once; `error` is of one of the two forms."""

    template: ClassVar[str] = "keys.html"
    title: str = "API keys"
    keys: list[ApiKey]
    now: datetime
    cursor: str | None
    scopes: tuple[tuple[str, str], ...]
    lifetimes: tuple[tuple[str, str], ...]
    snippets: Snippets | None = field(default=None, repr=False)
    name: str = ""
    origins: str = ""
    error: FormError | None = None
    error_of: Literal["key", "widget"] = "key"
    new_key: str | None = field(default=None, repr=False)
    is_publishable: bool = False
    has_widget: bool = False


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A day of the spend chart, in the units of its view box."""

    x: float
    y: float
    height: float
    label: str


@dataclass(frozen=True, kw_only=True)
class UsagePage:
    template: ClassVar[str] = "usage.html"
    title: str = "Usage"
    receipts: list[ReceiptLine]
    cursor: str | None
    today: DaySpend
    month_cost_nano: int
    month_calls: int
    bars: list[Bar]
    first_page: bool


@dataclass(frozen=True, kw_only=True)
class SpendBar:
    """What one spender has of a budget. The widths are percent of the limit, and at most 100 together."""

    who: str
    spent: float
    held: float
    settled_nano: int
    held_nano: int
    remaining_nano: int
    ends: datetime | None
    used_up: bool


@dataclass(frozen=True, kw_only=True)
class BudgetView:
    """`operators`: set by the operator, and not the tenant's to change."""

    id: str
    what: str
    period: str
    limit_nano: int
    hard: bool
    alerts: str
    operators: bool
    bars: list[SpendBar]
    more: bool


@dataclass(frozen=True, kw_only=True)
class LimitView:
    id: str
    what: str
    rate: str
    operators: bool


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The words of a form's lists, each with what a person reads."""

    budget_pers: tuple[tuple[str, str], ...]
    periods: tuple[tuple[str, str], ...]
    limit_pers: tuple[tuple[str, str], ...]
    measures: tuple[tuple[str, str], ...]
    windows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class BudgetsPage:
    """`sent` holds the fields of a form that was refused, and `refused` says which form it was."""

    template: ClassVar[str] = "budgets.html"
    title: str = "Budgets"
    budgets: list[BudgetView]
    cursor: str | None
    limits: list[LimitView]
    limits_cursor: str | None
    alerts: list[BudgetAlert]
    choices: Choices
    refused: Literal["budget", "limit"] | None = None
    error: FormError | None = None
    sent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TargetView:
    """A provider's model, in words. `served_as`: under which other names it is asked for."""

    provider: str
    model: str
    served_as: str
    is_up: bool
    is_down: bool
    state: str
    in_flight: int
    recent: str
    latency: str
    duration: str


@dataclass(frozen=True, kw_only=True)
class KeyView:
    """`key` is "" where the provider has one only."""

    provider: str
    key: str
    limit: int
    in_flight: int
    waiting: int


@dataclass(frozen=True, kw_only=True)
class StatusPage:
    template: ClassVar[str] = "status.html"
    title: str = "Status"
    summary: str
    targets: list[TargetView]
    keys: list[KeyView]


@dataclass(frozen=True, kw_only=True)
class KnowledgePage:
    """`counts` are of all files, those of other pages included; `max_bytes` of one upload."""

    template: ClassVar[str] = "knowledge.html"
    title: str = "Knowledge"
    files: list[KnowledgeFile]
    cursor: str | None
    counts: KnowledgeCounts
    first_page: bool
    max_bytes: int
    error: FormError | None = None

    @property
    def summary(self) -> str:
        counts = self.counts
        told = [f"{counts.completed} {'document' if counts.completed == 1 else 'documents'} to answer from"]
        told += [f"{counts.in_progress} being read"] if counts.in_progress else []
        told += [f"{counts.failed} could not be read"] if counts.failed else []
        return ", ".join(told) + "."


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Of a document, rendered. `page`: the number of the page that begins here."""

    html: str
    page: int | None
    is_cited: bool


@dataclass(frozen=True, kw_only=True)
class PlacePage:
    """A part of a document, numbered from 1; `where` says on which pages the cited characters stand."""

    template: ClassVar[str] = "place.html"
    title: str
    file: KnowledgeFile
    pieces: list[Piece]
    part: int
    parts: int
    where: str
    is_cited: bool


@dataclass(frozen=True, kw_only=True)
class LayerView:
    """A layer of the cache, in words."""

    name: str
    hits: int
    asked: int
    share: str


@dataclass(frozen=True, kw_only=True)
class ScopeView:
    """A scope of the semantic cache. `bound`: so many of its answers are wrong at most; `allowed`: so many may be."""

    id: str
    model: str
    how: str
    state: Literal["learning", "answering", "off"]
    why: str
    entries: int
    hits: int
    checks: int
    bound: str
    allowed: str
    used_at: datetime


@dataclass(frozen=True, kw_only=True)
class CachePage:
    """`calls` and `hits` are the tenant's of 30 days."""

    template: ClassVar[str] = "cache.html"
    title: str = "Cache"
    scopes: list[ScopeView]
    cursor: str | None
    layers: list[LayerView]
    calls: int
    hits: int

    @property
    def share(self) -> str:
        return f"{self.hits / self.calls:.0%}" if self.calls else "–"


@dataclass(frozen=True, kw_only=True)
class DocsPage:
    template: ClassVar[str] = "docs.html"
    entries: list[DocEntry]
    page: DocPage

    @property
    def title(self) -> str:
        return self.page.title

    @property
    def groups(self) -> list[tuple[str, list[DocEntry]]]:
        """The entries under the folder they stand in; those in none come first, under no name."""
        groups: dict[str, list[DocEntry]] = {}
        for entry in self.entries:
            folder = entry.slug.rpartition("/")[0]
            groups.setdefault(folder.replace("-", " ").replace("/", " · ").capitalize(), []).append(entry)
        return list(groups.items())


@dataclass(frozen=True, kw_only=True)
class ErrorPage:
    template: ClassVar[str] = "error.html"
    title: str
    status: int
    message: str


class Page(Protocol):
    """Any of them: what its template is called."""

    template: ClassVar[str]


def answer_view(text: str, end: AnswerEnd) -> AnswerView:
    numbers = frozenset(citation.number for citation in sources(end))
    return AnswerView(html=answer_html(text, numbers), end=end, facts=_facts(end))


def sources(end: AnswerEnd) -> list[Citation]:
    """The passages shown below an answer."""
    return end.citations or end.nearest


def _facts(end: AnswerEnd) -> list[tuple[str, str]]:
    facts = [("Latency", duration(end.latency_ms))]
    if end.call is None:
        return [("Cost", "no model was called"), *facts]
    return [("Cost", cost(end.call.cost_nano)), *facts, ("Cache", end.call.cache), ("Model", model_name(end.call))]


def model_name(call: CallSummary) -> str:
    return f"{call.model} ({call.provider})" if call.provider else call.model


def cost(cost_nano: int | None) -> str:
    return "price unknown" if cost_nano is None else f"{format_usd(cost_nano)} USD"


def size(count: int) -> str:
    """Of so many bytes."""
    for unit, factor in (("MB", 1024 * 1024), ("KB", 1024)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}".replace(".0 ", " ")
    return f"{count} bytes"


def duration(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
