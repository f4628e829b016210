"""The rules of limits: what may be set, by whom. It refuses to know SQL (`queries`) and HTTP (`edge`, `console`)."""

from typing import get_args
from uuid import UUID

from tenfold.core.clock import Clock
from tenfold.core.errors import InvalidRequest, NotFound, PermissionDenied
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.inputs import one_of, plain_subject, uuid_of
from tenfold.limits.ports import LimitRows
from tenfold.limits.types import (
    MAX_AMOUNT,
    MAX_SLOTS,
    MAX_SUBJECT_CHARS,
    MAX_WEIGHT,
    MAX_WINDOW_S,
    MEASURES,
    PERS,
    Limit,
    LimitPage,
    Owner,
)

DEFAULT_PAGE = 20
MAX_PAGE = 100

_OWNERS: tuple[Owner, ...] = get_args(Owner)
_MAY_END: dict[Owner, frozenset[Owner]] = {
    "operator": frozenset(_OWNERS),
    "tenant": frozenset({"tenant"}),
}


class LimitAdmin:
    """`by` is who asks: the tenant itself, or the operator of this installation. What one process writes, every process
    follows within a second."""

    def __init__(self, rows: LimitRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

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
    ) -> Limit:
        """`amount`: requests, tokens, 10^-9 USD or calls at once. Raises InvalidRequest, NotFound,
        Conflict (too many)."""
        known_per = one_of(per, PERS, "per")
        known_measure = one_of(measure, MEASURES, "measure")
        if known_measure == "concurrency":
            _whole(amount, MAX_SLOTS, "amount")
            if window_s is not None or burst is not None:
                param = "window_s" if window_s is not None else "burst"
                raise InvalidRequest("A limit of calls at once has neither a window nor a burst.", param=param)
        else:
            _whole(amount, MAX_AMOUNT, "amount")
            _whole(window_s, MAX_WINDOW_S, "window_s")
            if burst is not None:
                _whole(burst, MAX_AMOUNT, "burst")
        limit = Limit(
            id=uuid7(),
            tenant_id=tenant_id,
            per=known_per,
            subject=None if subject is None else _subject(known_per, subject),
            measure=known_measure,
            amount=amount,
            window_s=window_s,
            burst=burst,
            owner=by,
            created_at=self._clock.now(),
        )
        await self._rows.add(limit)
        return limit

    async def list(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = DEFAULT_PAGE) -> LimitPage:
        """The newest first, the operator's included. Raises InvalidRequest."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
        before = uuid_of(cursor) if cursor else None
        if cursor and before is None:
            raise InvalidRequest("This is not a cursor.", param="cursor")
        found = await self._rows.page(tenant_id, before=before, limit=limit + 1)
        more = len(found) > limit
        return LimitPage(items=found[:limit], cursor=str(found[limit - 1].id) if more else None)

    async def end(self, tenant_id: TenantId, limit_id: str | UUID, *, by: Owner = "tenant") -> None:
        """Raises NotFound, for another tenant's limit too; PermissionDenied for the operator's."""
        known_id = limit_id if isinstance(limit_id, UUID) else uuid_of(limit_id)
        if known_id is not None:
            if await self._rows.end(tenant_id, known_id, _MAY_END[by]):
                return
            if await self._rows.find(tenant_id, known_id) is not None:
                raise PermissionDenied("This limit was set by the operator, who alone can end it.")
        raise NotFound("There is no such limit.")

    async def set_weight(self, tenant_id: TenantId, weight: int, *, by: Owner) -> None:
        """The tenant's share beside others when a process is full. Raises InvalidRequest, PermissionDenied,
        NotFound."""
        if by != "operator":
            raise PermissionDenied("The weight of a tenant is the operator's to set.")
        _whole(weight, MAX_WEIGHT, "weight")
        await self._rows.set_weight(tenant_id, weight)


def _whole(value: int | None, most: int, param: str) -> None:
    # The types say so, the wires do not: true is 1 to Python, and 1.5 would round somewhere.
    if type(value) is not int or not 1 <= value <= most:
        raise InvalidRequest(f"`{param}` is a whole number from 1 to {most}.", param=param)


def _subject(per: str, subject: str) -> str:
    if per == "tenant":
        raise InvalidRequest("A limit of the tenant has no subject.", param="subject")
    if per == "key":
        key_id = uuid_of(subject)
        if key_id is None:
            raise InvalidRequest("The subject of a limit of a key is the key's id.", param="subject")
        return str(key_id)
    return plain_subject(subject, MAX_SUBJECT_CHARS)
