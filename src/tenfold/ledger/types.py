"""The receipt of a call, and the sums made of receipts. Values only."""

from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

from tenfold.core.call import NOT_ANSWERED, CacheState, Call, Status
from tenfold.core.ids import KeyId, TenantId
from tenfold.core.usage import Usage

MAX_TEXT = 200
"""Names come from clients and from providers; longer ones are cut, so that a receipt stays a small row."""

_MAX_MS = 2**31 - 1

GroupBy = Literal[
    "total", "day", "key", "operation", "model", "provider", "feature", "task", "end_user", "run", "status"
]


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one call used and cost. `usage` is None when nothing was metered, and the three amounts (10^-9 USD)
    are None when no price is known."""

    id: UUID  # the call's: one call has one receipt, however often it is written
    tenant_id: TenantId
    at: datetime  # when the call began
    operation: str
    client_dialect: str
    model_asked: str
    status: Status
    http_status: int
    latency_ms: int
    cache: CacheState
    key_id: KeyId | None = None
    provider: str | None = None
    model_used: str | None = None
    error_code: str | None = None
    stream: bool = False
    first_byte_ms: int | None = None
    usage: Usage | None = None
    estimated: bool = False
    input_nano: int | None = None
    output_nano: int | None = None
    total_nano: int | None = None
    feature: str | None = None
    task: str | None = None
    end_user: str | None = None
    run: str | None = None
    leases: tuple[UUID, ...] = ()  # of the budgets that are charged with it
    degraded: str | None = None  # the steps of the fallback chain that were taken, in order: "fallback,stale"
    attempts: int = 1  # requests sent to providers; 0 where none was needed or none was possible
    draft: bool = False  # written before the provider was asked: what holds if nothing more is heard of the call

    @property
    def priced(self) -> bool:
        return self.total_nano is not None


class Cursor(Struct, frozen=True, kw_only=True):
    """Where a page of receipts ended: the next one begins with older ones."""

    at: datetime
    id: UUID


class Spend(Struct, frozen=True, kw_only=True):
    """Sums over the receipts of one group. `group` is None for receipts without that mark.
    `total_nano` leaves out the `unpriced` calls: with any of them it is a lower bound."""

    group: str | None
    calls: int
    failed: int  # any status but "ok"
    cache_hits: int  # answered by the cache, or by the call of an identical one in flight
    unpriced: int
    input_tokens: int
    output_tokens: int
    total_nano: int


class UpperBound(Protocol):
    """What a call may use and cost at most. Money is 10^-9 USD; `nano` is the whole of it."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def nano(self) -> int: ...
    @property
    def input_nano(self) -> int: ...
    @property
    def output_nano(self) -> int: ...


def draft_of(call: Call, bound: UpperBound) -> Receipt:
    """The receipt of a call that is about to ask a provider, should nothing more be heard of it: cut off and charged
    at the bound."""
    options = call.options
    return Receipt(
        id=call.id,
        tenant_id=call.principal.tenant_id,
        at=call.at,
        operation=call.operation,
        client_dialect=call.dialect,
        model_asked=_text(call.model) or "",
        status="cut",
        http_status=NOT_ANSWERED,
        latency_ms=0,
        cache=call.cache_state,
        key_id=call.principal.key_id,
        stream=call.stream,
        usage=Usage(input_tokens=bound.input_tokens, output_tokens=bound.output_tokens),
        estimated=True,
        input_nano=bound.input_nano,
        output_nano=bound.output_nano,
        total_nano=bound.nano,
        feature=options.feature and _text(options.feature),
        task=options.task and _text(options.task),
        end_user=options.end_user and _text(options.end_user),
        run=options.run and _text(options.run),
        leases=call.admission.leases if call.admission is not None else (),
        degraded=_steps(call) if call.degraded else None,
        draft=True,
    )


def receipt_of(call: Call) -> Receipt:
    """The receipt of a finished call. Text is made safe to store."""
    end = call.started if call.finished is None else call.finished
    options = call.options
    return Receipt(
        id=call.id,
        tenant_id=call.principal.tenant_id,
        at=call.at,
        operation=call.operation,
        client_dialect=call.dialect,
        model_asked=_text(call.model) or "",
        status=call.status,
        http_status=call.http_status,
        latency_ms=_milliseconds(end - call.started),
        cache=call.cache_state,
        key_id=call.principal.key_id,
        provider=call.provider and _text(call.provider),
        model_used=call.upstream_model and _text(call.upstream_model),
        error_code=_text(call.error.code) if call.error is not None else None,
        stream=call.stream,
        first_byte_ms=None if call.first_byte is None else _milliseconds(call.first_byte - call.started),
        usage=call.usage,
        estimated=call.estimated,
        input_nano=call.input_cost_nano,
        output_nano=call.output_cost_nano,
        total_nano=call.cost_nano,
        feature=options.feature and _text(options.feature),
        task=options.task and _text(options.task),
        end_user=options.end_user and _text(options.end_user),
        run=options.run and _text(options.run),
        leases=call.admission.leases if call.admission is not None else (),
        degraded=_steps(call) if call.degraded else None,
        attempts=call.attempts,
    )


def _steps(call: Call) -> str:
    return ",".join(call.degraded)[:MAX_TEXT]


def _text(value: str | None) -> str | None:
    """Postgres takes no NUL and no lone surrogate."""
    if value is None or (len(value) <= MAX_TEXT and value.isascii() and "\0" not in value):
        return value
    return value[:MAX_TEXT].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _milliseconds(seconds: float) -> int:
    return max(0, min(round(seconds * 1000), _MAX_MS))
