"""Receipts and processes in memory, for tests of whatever stands on the ledger; under the contract suites of the real
ones."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from uuid import UUID

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.types import Cursor, GroupBy, Receipt, Spend

FakeEffect = Callable[[TenantId, Sequence[Receipt]], Awaitable[None]]


class FakeReceiptRows:
    """Set `away` to make every call raise StoreUnavailable; `lose_answer` to raise it after the rows were kept,
    as when the connection breaks during the commit. `refuse` names receipts the database would not take. `effects` are
    called with the receipts that were not here before; when one raises, none of them is kept."""

    def __init__(self, effects: Sequence[FakeEffect] = ()) -> None:
        self._effects = effects
        self.away = False
        self.lose_answer = False
        self.refuse: Callable[[Receipt], bool] = lambda _receipt: False
        self.days: set[date] = set()
        self.attempts = 0
        self._receipts: dict[tuple[TenantId, datetime, object], Receipt] = {}
        self._added = asyncio.Event()

    @property
    def all(self) -> list[Receipt]:
        return sorted(self._receipts.values(), key=_newest_last)

    async def wait_for(self, count: int) -> None:
        """Returns when so many receipts are here."""
        while len(self._receipts) < count:
            self._added.clear()
            await self._added.wait()

    async def add(self, tenant_id: TenantId, receipts: Sequence[Receipt]) -> list[Receipt]:
        self.attempts += 1
        self._answer()
        if any(self.refuse(receipt) for receipt in receipts):
            raise ValueError("a receipt violates a constraint")
        if any(receipt.tenant_id != tenant_id for receipt in receipts):
            raise ValueError("a receipt of another tenant")
        found: dict[tuple[TenantId, datetime, object], Receipt] = {}
        for receipt in receipts:
            found.setdefault((tenant_id, receipt.at, receipt.id), receipt)
        new = {key: receipt for key, receipt in found.items() if key not in self._receipts}
        if new:
            for effect in self._effects:
                await effect(tenant_id, list(new.values()))
        self._receipts |= new
        self._added.set()
        if self.lose_answer:
            raise StoreUnavailable("The connection to the database was lost.")
        return list(new.values())

    async def prepare_days(self, first: date, days: int) -> None:
        self._answer()
        self.days |= {date.fromordinal(first.toordinal() + n) for n in range(days)}

    async def recent(self, tenant_id: TenantId, *, limit: int, before: Cursor | None = None) -> list[Receipt]:
        self._answer()
        newest_first = [receipt for receipt in reversed(self.all) if receipt.tenant_id == tenant_id]
        older = [r for r in newest_first if before is None or (r.at, r.id) < (before.at, before.id)]
        return older[:limit]

    async def spend(self, tenant_id: TenantId, *, since: datetime, group_by: GroupBy) -> list[Spend]:
        self._answer()
        groups: dict[str | None, list[Receipt]] = {}
        for receipt in self.all:
            if receipt.tenant_id == tenant_id and receipt.at >= since:
                groups.setdefault(_group(receipt, group_by), []).append(receipt)
        sums = [_sum(group, receipts) for group, receipts in groups.items()]
        if group_by == "day":
            return sorted(sums, key=lambda s: s.group or "")
        return sorted(sums, key=lambda s: (-s.total_nano, -s.calls, s.group is None, s.group or ""))

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("The database is not reachable at the moment.")


class FakeMemberList:
    """The processes that share a database: `unseen_s` says for how many seconds each of the others was not seen."""

    def __init__(self) -> None:
        self.id = uuid7()
        self.away = False
        self.unseen_s: dict[UUID, float] = {}

    async def dead(self, after_s: float) -> list[UUID]:
        self._answer()
        return sorted(member_id for member_id, unseen_s in self.unseen_s.items() if unseen_s > after_s)

    async def remove(self, member_id: UUID) -> None:
        self._answer()
        self.unseen_s.pop(member_id, None)

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("The database is not reachable at the moment.")


def _newest_last(receipt: Receipt) -> tuple[datetime, int]:
    return receipt.at, receipt.id.int


def _group(receipt: Receipt, group_by: GroupBy) -> str | None:
    if group_by == "total":
        return None
    if group_by == "day":
        return receipt.at.date().isoformat()
    if group_by == "key":
        return str(receipt.key_id) if receipt.key_id else None
    if group_by == "model":
        return receipt.model_used if receipt.model_used is not None else receipt.model_asked
    value = getattr(receipt, group_by)
    return None if value is None else str(value)


def _sum(group: str | None, receipts: list[Receipt]) -> Spend:
    metered = [receipt.usage for receipt in receipts if receipt.usage is not None]
    return Spend(
        group=group,
        calls=len(receipts),
        failed=sum(receipt.status != "ok" for receipt in receipts),
        cache_hits=sum(receipt.cache in ("hit", "coalesced") for receipt in receipts),
        unpriced=sum(not receipt.priced for receipt in receipts),
        input_tokens=sum(usage.input_tokens for usage in metered),
        output_tokens=sum(usage.output_tokens for usage in metered),
        total_nano=sum(receipt.total_nano or 0 for receipt in receipts),
    )
