"""The values of reports: sums of usage, outcomes of tasks, drift of costs, corrections. Money is 10^-9 USD."""

from datetime import datetime
from fractions import Fraction
from typing import Generic, Literal, TypeVar
from uuid import UUID

from msgspec import Struct

from tenfold.core.ids import TenantId

ItemT = TypeVar("ItemT")

Dimension = Literal[
    "key",
    "operation",
    "model",
    "provider",
    "feature",
    "status",
    "task",
    "run",
    "end_user",
]
Grouping = Literal[
    "total", "hour", "day", "key", "operation", "model", "provider", "feature", "status", "task", "run", "end_user"
]
OutcomeKind = Literal["success", "failure"]
Factor = Literal["price", "model_mix", "tokens", "cache_share"]
Verdict = Literal["steady", "changed", "too_few", "new", "gone"]

MAX_PAGE = 1000


class Page(Struct, Generic[ItemT], frozen=True, kw_only=True):
    """`cursor` asks for the next page; None: this was the last."""

    items: list[ItemT]
    cursor: str | None


class Range(Struct, frozen=True, kw_only=True):
    """From `since` (inclusive) to `until` (exclusive), both in UTC."""

    since: datetime
    until: datetime


class UsageQuery(Struct, frozen=True, kw_only=True):
    """`filters`: only calls with exactly these values; "" is those without one."""

    range: Range
    group_by: Grouping = "total"
    filters: dict[Dimension, str] = {}


class SumCursor(Struct, frozen=True, kw_only=True):
    """Where a page of sums ended. `group` is "" for calls without the mark."""

    total_nano: int
    group: str


class UsageSum(Struct, frozen=True, kw_only=True):
    """What the calls of one group used, corrections included. `group` is None for calls without that mark.
    `total_nano` leaves out the `unpriced` calls."""

    group: str | None
    calls: int
    failed: int  # any status but "ok"
    cache_hits: int  # from the cache, or by the call of an identical one in flight
    estimated: int  # stand on an estimate that nothing has corrected yet
    unpriced: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    input_nano: int
    output_nano: int
    total_nano: int
    latency_ms: int  # of all calls together


class HourRow(Struct, frozen=True, kw_only=True):
    """One row of the hourly roll-up. "" and an all-zero key: calls without one."""

    hour: datetime
    key_id: UUID
    operation: str
    model: str
    provider: str
    feature: str
    status: str
    calls: int
    cache_hits: int
    estimated: int
    unpriced: int
    paid: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    paid_input_tokens: int
    paid_output_tokens: int
    input_nano: int
    output_nano: int
    total_nano: int
    latency_ms: int


class CostDay(Struct, frozen=True, kw_only=True):
    """How many priced calls of a feature cost about as much; `day` is a date in UTC, as ISO 8601."""

    day: str
    feature: str
    bucket: int
    calls: int


# -- outcomes --------------------------------------------------------------------------------


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a task. Reported again, the last report holds."""

    task: str
    outcome: OutcomeKind
    at: datetime
    value_nano: int | None = None


class TaskCost(Struct, frozen=True, kw_only=True):
    """What the calls of one task cost in one feature, whenever they were made."""

    task: str
    feature: str
    calls: int
    unpriced: int
    total_nano: int


class LooseCost(Struct, frozen=True, kw_only=True):
    """Calls of a time that no outcome accounts for: without a task, or of `tasks` nobody has reported. `feature` None:
    of all features, where a task of two of them is one."""

    feature: str | None
    calls: int
    total_nano: int
    tasks: int


class OutcomeLine(Struct, frozen=True, kw_only=True):
    """One feature; `feature` None: calls without one. A task counts in each feature it called."""

    feature: str | None
    successes: int
    failures: int
    calls: int
    unpriced: int
    total_nano: int
    value_nano: int
    nano_per_success: int | None  # None: nothing succeeded
    untasked_calls: int  # in the range, without a task
    untasked_nano: int
    open_tasks: int  # with calls in the range, without an outcome
    open_calls: int
    open_nano: int


class OutcomeReport(Struct, frozen=True, kw_only=True):
    """`total` counts each task once. `uncalled`: reported tasks that no receipt names."""

    range: Range
    total: OutcomeLine
    uncalled: int
    features: list[OutcomeLine]


# -- drift -----------------------------------------------------------------------------------


class ModelUse(Struct, frozen=True, kw_only=True):
    """The priced calls of one model; `paid` are those that no cache answered for nothing."""

    calls: int
    paid: int
    input_tokens: int  # of the paid calls, as are the others
    output_tokens: int
    input_nano: int
    output_nano: int
    total_nano: int


class FeatureUse(Struct, frozen=True, kw_only=True):
    """A feature in a range: its models, and how many of its priced calls fell into which bucket of cost."""

    models: dict[str, ModelUse]
    costs: dict[int, int]
    unpriced: int = 0


class CostFigures(Struct, frozen=True, kw_only=True):
    """Cost of a request in 10^-9 USD. None where nothing was priced; percentiles are within 3.1 %."""

    calls: int  # priced ones
    unpriced: int
    mean_nano: int | None
    p50_nano: int | None
    p95_nano: int | None
    p99_nano: int | None


class Part(Struct, frozen=True, kw_only=True):
    """How much of the change one factor explains: 10^-9 USD a request, and hundredths of a percent of the mean
    before (None where that was 0). Over all four they add up to the change exactly."""

    factor: Factor
    nano: int
    basis_points: int | None


class Drift(Struct, frozen=True, kw_only=True):
    feature: str | None
    verdict: Verdict
    before: CostFigures
    after: CostFigures
    change_nano: int | None
    change_basis_points: int | None
    parts: list[Part]


class DriftReport(Struct, frozen=True, kw_only=True):
    """The largest changes first. `findings` of the features changed by more than the threshold."""

    before: Range
    after: Range
    findings: int
    features: list[Drift]


Parts = dict[Factor, Fraction]


# -- corrections -----------------------------------------------------------------------------


class Counted(Struct, frozen=True, kw_only=True):
    """A receipt as it counts now: what it says and all its corrections. Costs None: no price is known."""

    tenant_id: TenantId
    id: UUID
    at: datetime
    key_id: UUID | None
    operation: str
    client_dialect: str
    provider: str | None
    model_asked: str
    model_used: str | None
    status: str
    http_status: int
    error_code: str | None
    stream: bool
    cache: str
    latency_ms: int
    first_byte_ms: int | None
    estimated: bool  # and not corrected yet
    corrected: bool
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    input_nano: int | None
    output_nano: int | None
    total_nano: int | None
    feature: str | None
    task: str | None
    end_user: str | None
    run: str | None
    leases: tuple[UUID, ...] = ()
    degraded: str | None = None  # the steps of the fallback chain that were taken
    attempts: int | None = None  # requests sent to providers; None: from before they were counted


class Adjustment(Struct, frozen=True, kw_only=True):
    """The difference one correction made to what a receipt counts."""

    receipt_id: UUID
    receipt_at: datetime
    source: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    input_nano: int
    output_nano: int
    total_nano: int
    flagged: bool  # more than can be right: recorded, and for a person to look at
