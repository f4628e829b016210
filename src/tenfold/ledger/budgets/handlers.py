"""The rules of budgets: what may be set, by whom. It refuses to know SQL (`queries`) and HTTP (`edge`, `console`)."""

from collections.abc import Sequence
from typing import get_args
from uuid import UUID

from tenfold.core.clock import Clock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, PermissionDenied
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.inputs import one_of, plain_subject, uuid_of
from tenfold.core.money import format_usd
from tenfold.ledger.budgets.ports import BudgetRows
from tenfold.ledger.budgets.types import MAX_LIMIT_NANO, Budget, Owner, Per, Period

DEFAULT_ALERTS = (80, 100)
MAX_BUDGETS = 100  # each call looks at all of its tenant's
MAX_ALERTS = 10
MAX_PERCENT = 1000
MAX_SUBJECT_CHARS = 200  # as long as the labels of a receipt

PERS: tuple[Per, ...] = get_args(Per)
PERIODS: tuple[Period, ...] = get_args(Period)
ENDPOINTS = ("chat", "embeddings")


class BudgetAdmin:
    """`by` is who asks: the tenant itself, or the operator of this installation. What one process writes, every process
    follows within a second."""

    def __init__(self, rows: BudgetRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def create(
        self,
        tenant_id: TenantId,
        *,
        per: str,
        period: str,
        limit_nano: int,
        subject: str | None = None,
        hard: bool = True,
        alerts: Sequence[int] = DEFAULT_ALERTS,
        by: Owner = "tenant",
    ) -> Budget:
        """Zero is a limit too: nothing may be spent. Raises InvalidRequest, Conflict (too many)."""
        known_per = one_of(per, PERS, "per")
        budget = Budget(
            id=uuid7(),
            tenant_id=tenant_id,
            per=known_per,
            period=one_of(period, PERIODS, "period"),
            limit_nano=_limit(limit_nano),
            subject=None if subject is None else _subject(known_per, subject),
            hard=hard,
            alerts=_alerts(alerts),
            owner=by,
            created_at=self._clock.now(),
        )
        if len(await self._rows.active(tenant_id)) >= MAX_BUDGETS:
            raise Conflict(f"A tenant has at most {MAX_BUDGETS} budgets; one with no subject holds for each of them.")
        await self._rows.add(budget)
        return budget

    async def change(
        self,
        tenant_id: TenantId,
        budget_id: str | UUID,
        *,
        limit_nano: int | None = None,
        hard: bool | None = None,
        alerts: Sequence[int] | None = None,
        by: Owner = "tenant",
    ) -> Budget:
        """What is not given stays. What is spent already stays spent. Raises InvalidRequest, NotFound,
        PermissionDenied (the operator's)."""
        now = await self._find(tenant_id, budget_id, by)
        changed = await self._rows.change(
            tenant_id,
            now.id,
            limit_nano=now.limit_nano if limit_nano is None else _limit(limit_nano),
            hard=now.hard if hard is None else hard,
            alerts=now.alerts if alerts is None else _alerts(alerts),
        )
        if changed is None:
            raise NotFound("There is no such budget.")
        return changed

    async def end(self, tenant_id: TenantId, budget_id: str | UUID, *, by: Owner = "tenant") -> None:
        """From now on it neither counts nor caps. Raises NotFound, for another tenant's too; PermissionDenied."""
        now = await self._find(tenant_id, budget_id, by)
        if await self._rows.end(tenant_id, now.id) is None:
            raise NotFound("There is no such budget.")

    async def _find(self, tenant_id: TenantId, budget_id: str | UUID, by: Owner) -> Budget:
        known_id = budget_id if isinstance(budget_id, UUID) else uuid_of(budget_id)
        found = None if known_id is None else await self._rows.budget(tenant_id, known_id)
        if found is None or found.ended_at is not None:
            raise NotFound("There is no such budget.")
        if by == "tenant" and found.owner == "operator":
            raise PermissionDenied("This budget was set by the operator, who alone can change or end it.")
        return found


def _limit(nano: int) -> int:
    # The types say so, the wires do not: true is 1 to Python, and a float would round somewhere.
    if type(nano) is not int or not 0 <= nano <= MAX_LIMIT_NANO:
        raise InvalidRequest(f"A limit is an amount from 0 to {format_usd(MAX_LIMIT_NANO)} USD.", param="limit_usd")
    return nano


def _alerts(percents: Sequence[int]) -> tuple[int, ...]:
    if len(percents) > MAX_ALERTS or any(type(one) is not int or not 1 <= one <= MAX_PERCENT for one in percents):
        raise InvalidRequest(
            f"Alerts are at most {MAX_ALERTS} whole percentages of the limit, each 1 to {MAX_PERCENT}.", param="alerts"
        )
    return tuple(sorted(set(percents)))


def _subject(per: Per, subject: str) -> str:
    if per == "tenant":
        raise InvalidRequest("A budget of the tenant has no subject.", param="subject")
    if per == "key":
        key_id = uuid_of(subject)
        if key_id is None:
            raise InvalidRequest("The subject of a budget of a key is the key's id.", param="subject")
        return str(key_id)
    if per == "endpoint":
        return one_of(subject, ENDPOINTS, "subject")
    return plain_subject(subject, MAX_SUBJECT_CHARS)
