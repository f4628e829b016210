"""Receipts of all kinds, and a place of rows that takes them whatever stands behind it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from tenfold.core.ids import KeyId, TenantId
from tenfold.core.usage import Usage
from tenfold.ledger.queries import insert_receipts
from tenfold.ledger.reports.fake import FakeReportRows
from tenfold.ledger.reports.ports import ReportRows
from tenfold.ledger.reports.queries import PostgresReportRows, roll_up_receipts
from tenfold.ledger.reports.types import Range
from tenfold.ledger.types import Receipt
from tenfold.store import Store
from tests.ledger.samples import receipt

DAY = datetime(2026, 8, 15, tzinfo=UTC)
MONTH = Range(since=datetime(2026, 8, 1, tzinfo=UTC), until=datetime(2026, 9, 1, tzinfo=UTC))


class Place:
    """Rows under test, and how receipts get there: as the writer of receipts does it."""

    def __init__(self, rows: ReportRows, store: Store | None) -> None:
        self.rows = rows
        self.store = store

    async def add(self, tenant_id: TenantId, receipts: Sequence[Receipt]) -> None:
        if self.store is None:
            assert isinstance(self.rows, FakeReportRows)
            self.rows.add(receipts)
            return
        assert isinstance(self.rows, PostgresReportRows)
        async with self.store.tenant(tenant_id) as tx:
            new = await insert_receipts(tx, tenant_id, receipts)
            await roll_up_receipts(tx, tenant_id, new)


def call(tenant_id: TenantId, nano: int | None = 330_000, *, minute: int = 0, **facts: Any) -> Receipt:
    """A call on the day of the samples, with its cost."""
    at = DAY + timedelta(minutes=minute)
    amounts: dict[str, int | None] = {"input_nano": None, "output_nano": None, "total_nano": None}
    if nano is not None:
        amounts = {"input_nano": nano // 2, "output_nano": nano - nano // 2, "total_nano": nano}
    defaults: dict[str, Any] = {"at": at, **amounts}
    return receipt(tenant_id, **{**defaults, **facts})


_CHOICES: dict[str, list[Any]] = {
    "key_id": [None, UUID(int=7), UUID(int=8)],
    "operation": ["chat", "embeddings"],
    "model_asked": ["small", "large"],
    "model_used": [None, "small-1", "large-1"],
    "provider": [None, "main", "other"],
    "feature": [None, "", "search", "Ω-feature"],
    "status": ["ok", "error", "cut", "cancelled"],
    "cache": ["miss", "bypass", "hit", "coalesced"],
    "task": [None, "t-1", "t-2"],
    "run": [None, "r-1"],
    "end_user": [None, "u-1", "u-2"],
    "estimated": [False, True],
}


@st.composite
def calls(draw: st.DrawFn, max_size: int = 12) -> list[dict[str, Any]]:
    """The facts of any calls around a midnight, for `call`; their amounts are not even consistent."""
    found = []
    for _ in range(draw(st.integers(0, max_size))):
        facts = {name: draw(st.sampled_from(values)) for name, values in _CHOICES.items()}
        tokens = draw(st.integers(0, 10_000))
        usages = [None, Usage(), Usage(input_tokens=tokens, output_tokens=3, cache_read_tokens=tokens // 2)]
        facts["nano"] = draw(st.one_of(st.none(), st.sampled_from([0, 1, 31, 32, 10**6]), st.integers(0, 10**12)))
        facts["usage"] = draw(st.sampled_from(usages))
        facts["minute"] = draw(st.integers(-180, 180))
        facts["latency_ms"] = draw(st.integers(0, 9999))
        found.append(facts)
    return found


def key(number: int) -> KeyId:
    return KeyId(UUID(int=number))
