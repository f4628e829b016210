"""What the console stands on, as it sees it; `app` wires the real ones. The console holds no rule and no SQL."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, Protocol

from tenfold.access.types import ApiKey, CreatedKey, Page, Session, SignedIn
from tenfold.assistant.precompute.handlers import Precompute
from tenfold.assistant.tickets.ports import Support
from tenfold.assistant.types import Answer, AskEvent
from tenfold.console.cache_services import CacheServices
from tenfold.console.knowledge_services import KnowledgeService
from tenfold.core.call import CacheState, Status
from tenfold.core.ids import KeyId, TenantId
from tenfold.core.principal import Principal
from tenfold.health import State
from tenfold.inference.explanation import Explanation, Inquiry
from tenfold.inference.tickets.types import Ticket, TicketPage
from tenfold.jobs.ports import Jobs
from tenfold.jobs.schedules.handlers import ScheduleAdmin
from tenfold.jobs.submissions import Submissions
from tenfold.ledger.budgets.handlers import DEFAULT_ALERTS
from tenfold.ledger.budgets.types import Budget, BudgetAlert, BudgetState, Owner
from tenfold.limits.types import Limit, LimitPage
from tenfold.rollout.evaluation import Evaluation
from tenfold.rollout.types import ChangePage, Flag, FlagPage, Kill, KillPage
from tenfold.webhooks.handlers import WebhookAdmin
from tenfold.webhooks.log import WebhookLog


class AccountService(Protocol):
    """See tenfold.access.accounts.Accounts."""

    async def sign_up(self, login: str, password: str, tenant_name: str, client: str = "") -> SignedIn: ...

    async def log_in(self, login: str, password: str, client: str = "") -> SignedIn: ...

    async def session(self, token: str) -> Session | None: ...

    async def log_out(self, token: str) -> None: ...


class KeyService(Protocol):
    """See tenfold.access.handlers.ApiKeys."""

    async def create_key(
        self,
        tenant_id: TenantId,
        name: str,
        scopes: Iterable[str],
        expires_at: datetime | None = None,
        origins: Iterable[str] = (),
    ) -> CreatedKey: ...

    async def key(self, tenant_id: TenantId, key_id: KeyId) -> ApiKey: ...

    async def list_keys(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> Page[ApiKey]: ...

    async def revoke_key(self, tenant_id: TenantId, key_id: str) -> ApiKey: ...


class KeyCheck(Protocol):
    """See tenfold.access.keyring.Keyring."""

    def authenticate(self, presented: str) -> Principal | None: ...

    async def load(self, presented: str) -> Principal: ...


class AskService(Protocol):
    """See tenfold.assistant.assistant.Assistant."""

    def ask(self, principal: Principal, question: str) -> AsyncGenerator[AskEvent, None]: ...

    async def answer(self, principal: Principal, question: str) -> Answer: ...


@dataclass(frozen=True, kw_only=True)
class ReceiptLine:
    """A settled call, as a row of the usage page. `cost_nano` is None when no price is known."""

    id: str
    at: datetime
    operation: str
    model: str
    provider: str | None
    input_tokens: int
    output_tokens: int
    cost_nano: int | None
    latency_ms: int
    cache: CacheState
    status: Status


@dataclass(frozen=True, kw_only=True)
class DaySpend:
    """`cache_hits` are the calls that no model was asked for."""

    day: date
    calls: int
    cost_nano: int
    cache_hits: int = 0


class UsageService(Protocol):
    async def receipts(self, tenant_id: TenantId, *, cursor: str | None, limit: int) -> Page[ReceiptLine]:
        """The newest first. Raises InvalidRequest for a cursor that is none."""
        ...

    async def daily_spend(self, tenant_id: TenantId, *, days: int) -> list[DaySpend]:
        """The last days (UTC) that have any calls, the oldest first, today included."""
        ...


@dataclass(frozen=True, kw_only=True)
class DocEntry:
    slug: str
    title: str


@dataclass(frozen=True, kw_only=True)
class DocPage:
    """`html` is safe to put into a page: it was made from Markdown in which HTML stays text."""

    slug: str
    title: str
    html: str


class DocumentationService(Protocol):
    def entries(self) -> list[DocEntry]:
        """In reading order; the first is the start page."""
        ...

    def page(self, slug: str) -> DocPage | None: ...


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """A budget with what is spent of it in the period that runs: of its one subject, or of each that has spent, in
    their order. `more`: there are further ones."""

    budget: Budget
    states: list[BudgetState]
    more: bool = False


class BudgetService(Protocol):
    """Budgets of a tenant. `by` is who asks; what the operator has set, a tenant sees and cannot change."""

    async def create(
        self,
        tenant_id: TenantId,
        *,
        per: str,
        period: str,
        limit_nano: int,
        subject: str | None = None,
        hard: bool = True,
        alerts: Iterable[int] = DEFAULT_ALERTS,
        by: Owner = "tenant",
    ) -> Budget:
        """Raises InvalidRequest."""
        ...

    async def lines(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> Page[BudgetLine]:
        """The oldest first, the operator's included. Raises InvalidRequest for a cursor that is none."""
        ...

    async def line(self, tenant_id: TenantId, budget_id: str) -> BudgetLine:
        """Raises NotFound."""
        ...

    async def change(
        self,
        tenant_id: TenantId,
        budget_id: str,
        *,
        limit_nano: int | None = None,
        hard: bool | None = None,
        alerts: Iterable[int] | None = None,
        by: Owner = "tenant",
    ) -> Budget:
        """What is None stays. Raises InvalidRequest, NotFound, PermissionDenied."""
        ...

    async def end(self, tenant_id: TenantId, budget_id: str, *, by: Owner = "tenant") -> None:
        """Raises NotFound, PermissionDenied."""
        ...


class LimitService(Protocol):
    """See tenfold.limits.handlers.LimitAdmin."""

    async def create(
        self,
        tenant_id: TenantId,
        *,
        per: str,
        measure: str,
        amount: int,
        window_s: int | None = None,
        subject: str | None = None,
        burst: int | None = None,
        by: Owner = "tenant",
    ) -> Limit: ...

    async def list(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> LimitPage: ...

    async def end(self, tenant_id: TenantId, limit_id: str, *, by: Owner = "tenant") -> None: ...


class AlertService(Protocol):
    async def alerts(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> Page[BudgetAlert]:
        """The newest first. Raises InvalidRequest for a cursor that is none."""
        ...


@dataclass(frozen=True, kw_only=True)
class MoneyServices:
    """What the Budgets page and its API stand on."""

    budgets: BudgetService
    limits: LimitService
    alerts: AlertService


@dataclass(frozen=True, kw_only=True)
class SloIndicator:
    """How one objective of a pathway stands. `burn_rates` by window: 1 spends the budget exactly in its days.
    `budget_left` is 1 for an untouched budget and below 0 for one overspent; `firing` are the alerts that hold."""

    objective: float
    burn_rates: dict[str, float]
    budget_left: float
    firing: tuple[Literal["page", "ticket"], ...] = ()


@dataclass(frozen=True, kw_only=True)
class SloStanding:
    """A pathway: its budget, what its good calls took in the last hour (None without any), and its objectives.
    `availability` is None where a pathway has no such objective."""

    name: str
    pathway: str
    feature: str | None
    model: str | None
    window_days: int
    alerts: bool
    p95_budget_ms: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    latency: SloIndicator
    availability: SloIndicator | None


class SloService(Protocol):
    """See tenfold.app.slo.book.SloBook."""

    def standings(self) -> list[SloStanding]: ...


@dataclass(frozen=True, kw_only=True)
class KeyLimit:
    """A key of a provider: how many calls at once it is found to take, and how many it has."""

    key: str  # its number in the settings, never the secret
    limit: int
    in_flight: int
    waiting: int


@dataclass(frozen=True, kw_only=True)
class TargetStanding:
    """A model of a provider, as the process that answers knows it. `calls`, `failures` and `slow` ended within the
    breakers' window; what no call has told yet is None. `keys` are the provider's, for all its models."""

    provider: str
    model: str  # as the provider names it
    served_as: tuple[str, ...]  # the models of the settings that lead here
    state: State
    asked_again_s: float  # from now on; 0: it may be asked
    in_flight: int
    calls: int
    failures: int
    slow: int
    latency_ms: float | None  # to the first token, or of a whole reply: a peak that fades
    duration_ms: float | None
    opened_total: int  # since the process started
    keys: tuple[KeyLimit, ...] = ()


class TargetService(Protocol):
    """See tenfold.app.explaining.LiveTargets."""

    def targets(self) -> list[TargetStanding]:
        """In the order of their providers' names, then the models'."""
        ...


class RouteService(Protocol):
    """See tenfold.inference.explanation.Explainer."""

    async def explain(self, principal: Principal, inquiry: Inquiry) -> Explanation: ...


@dataclass(frozen=True, kw_only=True)
class HealthServices:
    """What the Status page and `/api/v1/health/targets` stand on, and `/api/v1/route/explain`."""

    targets: TargetService
    routes: RouteService


class TicketService(Protocol):
    """See tenfold.inference.tickets.handlers.Tickets."""

    async def list(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> TicketPage: ...

    async def find(self, tenant_id: TenantId, ticket: str) -> Ticket: ...

    async def remove(self, principal: Principal, ticket: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class JobServices:
    """What `/api/v1/jobs` and its kind stand on."""

    jobs: Jobs
    submissions: Submissions
    schedules: ScheduleAdmin


@dataclass(frozen=True, kw_only=True)
class WebhookServices:
    """What `/api/v1/webhooks` and `/api/v1/webhook-deliveries` stand on."""

    admin: WebhookAdmin
    log: WebhookLog


class FlagService(Protocol):
    """See tenfold.rollout.handlers.FlagAdmin."""

    async def create(
        self,
        tenant_id: TenantId,
        key: str,
        *,
        type: str,  # noqa: A002
        variants: Mapping[str, Any] | None = None,
        default_variant: str | None = None,
        rules: Sequence[object] = (),
        enabled: bool = True,
        description: str = "",
        reason: str = "",
        actor: str,
    ) -> Flag: ...

    async def change(
        self,
        tenant_id: TenantId,
        key: str,
        *,
        variants: Mapping[str, Any] | None = None,
        default_variant: str | None = None,
        rules: Sequence[object] | None = None,
        enabled: bool | None = None,
        description: str | None = None,
        reason: str = "",
        actor: str,
    ) -> Flag: ...

    async def end(self, tenant_id: TenantId, key: str, *, reason: str = "", actor: str) -> None: ...

    async def show(self, tenant_id: TenantId, key: str) -> Flag: ...

    async def list(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> FlagPage: ...

    async def kill(self, tenant_id: TenantId, *, scope: str, subject: str, reason: str = "", actor: str) -> Kill: ...

    async def end_kill(self, tenant_id: TenantId, kill_id: str, *, reason: str = "", actor: str) -> None: ...

    async def kills(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> KillPage: ...

    async def changes(
        self, tenant_id: TenantId, *, subject: str | None = None, cursor: str | None = None, limit: int = 20
    ) -> ChangePage: ...


class FlagValues(Protocol):
    """See tenfold.rollout.book.Flags."""

    async def evaluate(self, principal: Principal, key: str, context: Mapping[str, Any]) -> Evaluation: ...

    async def evaluate_all(self, principal: Principal, context: Mapping[str, Any]) -> list[Evaluation]: ...


@dataclass(frozen=True, kw_only=True)
class FlagServices:
    """What `/api/v1/flags` and its kind stand on, and OFREP."""

    admin: FlagService
    values: FlagValues


EXAMPLE_QUESTIONS = (
    "How do I point the OpenAI SDK at Tenfold?",
    "What happens when a provider is down?",
    "How is the cost of a request worked out?",
)


@dataclass(frozen=True, kw_only=True)
class ConsoleServices:
    """`model` is the one the snippets name; `public_url` stands in them instead of the address of the request;
    `secure_cookies` marks cookies Secure also where TLS ends before Tenfold. Without `knowledge` no Knowledge page,
    without `support` no Support page and no widget, without `money` no Budgets page, without `health` no Status
    page."""

    accounts: AccountService
    keys: KeyService
    keyring: KeyCheck
    assistant: AskService
    usage: UsageService
    documentation: DocumentationService
    model: str
    knowledge: KnowledgeService | None = None
    support: Support | None = None
    precompute: Precompute | None = None
    money: MoneyServices | None = None
    flags: FlagServices | None = None
    tickets: TicketService | None = None
    jobs: JobServices | None = None
    webhooks: WebhookServices | None = None
    cache: CacheServices | None = None
    slo: SloService | None = None
    health: HealthServices | None = None
    version: str = ""
    sign_up_open: bool = True
    secure_cookies: bool = False
    public_url: str | None = None
    examples: tuple[str, ...] = field(default=EXAMPLE_QUESTIONS)
