"""The values of limits: what may be set, and what holds for whom.

A call counts against every limit that holds for its tenant, its key, its model and its end user.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID, uuid5

from msgspec import Struct

from tenfold.core.ids import TenantId
from tenfold.limits.gcra import Rate

Per = Literal["tenant", "key", "model", "end_user"]
Measure = Literal["requests", "tokens", "usd", "concurrency"]
Owner = Literal["operator", "tenant"]

PERS: tuple[Per, ...] = get_args(Per)
MEASURES: tuple[Measure, ...] = get_args(Measure)

MAX_AMOUNT = 10**15 - 1
"""Of any measure, and the largest number a header can hold (RFC 9651, section 3.3.1). One million USD."""
MAX_WINDOW_S = 31 * 86_400
MAX_SLOTS = 1_000_000
MAX_LIMITS = 500  # of one tenant: all of them are read at once
MAX_SUBJECT_CHARS = 256
MAX_WEIGHT = 1_000
DEFAULT_WEIGHT = 1

_DEFAULTS = UUID("5a9e1f0e-6a0c-5c53-9d0a-6f1f8ad3b0c1")  # name space of the ids of limits that come from settings


class Limit(Struct, frozen=True, kw_only=True):
    """`amount` requests, tokens or 10^-9 USD in `window_s` seconds, or `amount` calls at once (concurrency, no window).

    `subject` is a key's id, a model as clients name it, or an end user; None: each of them has this much for itself.
    `burst` is how much may be used at one moment after a pause; None: the whole amount."""

    id: UUID
    tenant_id: TenantId | None = None  # None: of every tenant, from the settings
    per: Per
    measure: Measure
    amount: int
    window_s: int | None = None
    subject: str | None = None
    burst: int | None = None
    owner: Owner = "tenant"  # only the operator changes the operator's
    created_at: datetime | None = None  # None: from the settings

    @property
    def rate(self) -> Rate:
        assert self.window_s is not None
        return Rate(amount=self.amount, window_ns=self.window_s * 10**9, burst=self.burst or self.amount)


class TenantLimits(Struct, frozen=True, kw_only=True):
    """What a process knows of a tenant: its limits, and the weight of its share when the process is full."""

    limits: tuple[Limit, ...] = ()
    weight: int = DEFAULT_WEIGHT


NO_LIMITS = TenantLimits()


class LimitPage(Struct, frozen=True, kw_only=True):
    """The newest first. `cursor` asks for the page after this one; None on the last."""

    items: list[Limit]
    cursor: str | None = None


def default_limit(per: Per, measure: Measure, amount: int, window_s: int | None, burst: int | None = None) -> Limit:
    """One from the settings, of each tenant (key, model, end user). Its id is the same in every process."""
    name = f"{per}/{measure}/{window_s}"
    return Limit(
        id=uuid5(_DEFAULTS, name),
        per=per,
        measure=measure,
        amount=amount,
        window_s=window_s,
        burst=burst,
        owner="operator",
    )


def holding(limits: Iterable[Limit], defaults: Iterable[Limit], per: Per, subject: str | None) -> list[Limit]:
    """The limits of one subject. Of the same measure and owner, those that name it take the place of those of each,
    and the operator's own take the place of the settings'. A tenant's limits hold beside the operator's."""
    ranked: dict[tuple[Measure, Owner], tuple[int, list[Limit]]] = {}
    for limit in (*limits, *defaults):
        if limit.per != per or limit.subject not in (None, subject):
            continue
        rank = 2 * (limit.created_at is not None) + (limit.subject is not None)
        best, found = ranked.get((limit.measure, limit.owner), (-1, []))
        if rank > best:
            ranked[limit.measure, limit.owner] = rank, [limit]
        elif rank == best:
            found.append(limit)
    return [limit for _, found in ranked.values() for limit in found]
