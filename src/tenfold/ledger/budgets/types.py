"""The values of budgets. Money is 10^-9 USD."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from tenfold.core.ids import KeyId, TenantId

Per = Literal["tenant", "key", "feature", "endpoint", "model", "run"]
Period = Literal["day", "month", "total"]
Owner = Literal["operator", "tenant"]

MAX_LIMIT_NANO = 2**63 - 1
"""9.2 thousand million USD: what a bigint holds."""


class Budget(Struct, frozen=True, kw_only=True):
    """How much may be spent in a period (UTC days and months). `subject` None: each key (feature, model, run, ...) has
    this much for itself. Not `hard`: it only alerts. `alerts` are percentages of the limit."""

    id: UUID
    tenant_id: TenantId
    per: Per
    period: Period
    limit_nano: int
    subject: str | None = None
    hard: bool = True
    alerts: tuple[int, ...] = (80, 100)
    owner: Owner = "tenant"  # only the operator changes the operator's
    created_at: datetime
    ended_at: datetime | None = None


class Spender(Struct, frozen=True, kw_only=True, gc=False):
    """Whose money a call spends. `endpoint` is the operation; `model` as the client names it."""

    tenant_id: TenantId
    endpoint: str
    model: str
    key_id: KeyId | None = None
    feature: str | None = None
    run: str | None = None


class BudgetState(Struct, frozen=True, kw_only=True):
    """A budget of one subject in one period. Always: reserved = settled + released + held, and for a hard budget whose
    limit was not lowered, settled + held <= limit (but for what a provider charges beyond its stated maximum)."""

    budget: Budget
    subject: str  # "" for a tenant's
    period_start: datetime
    period_end: datetime | None  # None: total
    reserved_nano: int
    settled_nano: int
    released_nano: int

    @property
    def held_nano(self) -> int:
        """Leased to processes and not spent, or not known to be."""
        return self.reserved_nano - self.settled_nano - self.released_nano

    @property
    def remaining_nano(self) -> int:
        return max(0, self.budget.limit_nano - self.settled_nano - self.held_nano)


class Lease(Struct, frozen=True, kw_only=True):
    """A slice of one budget's period, held by one process. What it may still spend is granted - settled, less what it
    has promised to calls in flight. Only its holder takes more or gives back, until the holder is known to be dead."""

    id: UUID
    tenant_id: TenantId
    budget_id: UUID
    subject: str
    period_start: datetime
    holder: UUID
    granted_nano: int  # net of what was given back
    settled_nano: int
    charged_nano: int = (
        0  # its holder vanished: counts as settled in the period, until receipts or the holder tell better
    )
    closed: bool = False


class Grant(Struct, frozen=True, kw_only=True):
    """The answer to a process that asked for more of a budget: how the database has its lease now. Times are those of
    the database's clock."""

    lease: Lease
    amount_nano: int  # granted by this answer; 0: refused, or nothing was wanted
    period_end: datetime | None  # None: total
    ends_in_s: float | None
    hard: bool
    settled_nano: int  # of the whole period
    remaining_nano: int  # limit - settled - held after this answer; negative where a soft budget was passed


class Return(Struct, frozen=True, kw_only=True):
    """What a holder gives back of a lease. `done`: it has no call in flight on it, so the lease closes as soon as the
    receipts of all its calls have arrived."""

    lease_id: UUID
    amount_nano: int
    done: bool = False


class BudgetAlert(Struct, frozen=True, kw_only=True):
    """A budget has reached `percent` of its limit in a period. `tries` were made to deliver it before."""

    id: UUID
    tenant_id: TenantId
    budget_id: UUID
    per: Per
    subject: str  # "" for a tenant's
    period: Period
    period_start: datetime
    percent: int
    limit_nano: int
    spent_nano: int
    hard: bool
    at: datetime
    tries: int = 0
    delivered: bool = False
