"""Usage figures, objectives and the health of targets in memory, for tests and demonstrations of the console."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tenfold.access.types import Page
from tenfold.console.cache_services import LayerCount
from tenfold.console.services import DaySpend, ReceiptLine, SloStanding, TargetStanding
from tenfold.core.errors import InvalidRequest
from tenfold.core.ids import TenantId


class FakeUsage:
    """`add` settles a call; the cursor of a page is the id of its last receipt."""

    def __init__(self) -> None:
        self._receipts: dict[TenantId, list[ReceiptLine]] = {}

    def add(self, tenant_id: TenantId, receipts: Sequence[ReceiptLine]) -> None:
        self._receipts.setdefault(tenant_id, []).extend(receipts)

    async def receipts(self, tenant_id: TenantId, *, cursor: str | None, limit: int) -> Page[ReceiptLine]:
        newest_first = sorted(self._receipts.get(tenant_id, ()), key=lambda receipt: receipt.at, reverse=True)
        known = {receipt.id: receipt for receipt in newest_first}
        shown = _page(list(known), cursor, limit)
        return Page(items=[known[each] for each in shown.items], cursor=shown.cursor)

    async def daily_spend(self, tenant_id: TenantId, *, days: int) -> list[DaySpend]:
        first = datetime.now(UTC).date() - timedelta(days=days - 1)
        spent: dict[object, DaySpend] = {}
        for receipt in self._receipts.get(tenant_id, ()):
            day = receipt.at.astimezone(UTC).date()
            if day < first:
                continue
            before = spent.get(day, DaySpend(day=day, calls=0, cost_nano=0))
            cost_nano = before.cost_nano + (receipt.cost_nano or 0)
            hits = before.cache_hits + (receipt.cache in ("hit", "coalesced"))
            spent[day] = DaySpend(day=day, calls=before.calls + 1, cost_nano=cost_nano, cache_hits=hits)
        return sorted(spent.values(), key=lambda each: each.day)


class FakeSlo:
    """Says what it is told to."""

    def __init__(self, *standings: SloStanding) -> None:
        self.told = list(standings)

    def standings(self) -> list[SloStanding]:
        return self.told


class FakeLayers:
    """Says what it is told to."""

    def __init__(self, *counts: LayerCount) -> None:
        self.told = list(counts)

    def layers(self) -> list[LayerCount]:
        return self.told


class FakeTargets:
    """Says what it is told to."""

    def __init__(self, *standings: TargetStanding) -> None:
        self.told = list(standings)

    def targets(self) -> list[TargetStanding]:
        return self.told


def _page(ids: list[str], cursor: str | None, limit: int) -> Page[str]:
    """The ids after the cursor, which is the last one of the page before."""
    if cursor is not None and cursor not in ids:
        raise InvalidRequest("This is not a cursor.", param="cursor")
    start = 0 if cursor is None else ids.index(cursor) + 1
    items = ids[start : start + limit]
    return Page(items=items, cursor=items[-1] if len(ids) > start + limit else None)
