"""How long calls take, as the receipts tell."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.ids import TenantId, uuid7
from tenfold.core.usage import Usage
from tenfold.ledger.paces import FEWEST, Pace, Paces, PostgresPaceRows
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.types import Receipt
from tenfold.store import Store
from tests.ledger.samples import add_tenant, receipt


class CountedRows:
    def __init__(self, pace: Pace) -> None:
        self.asked = 0
        self._pace = pace

    async def pace(self, tenant_id: TenantId, model: str) -> Pace:
        self.asked += 1
        return self._pace


def test_too_few_calls_tell_nothing() -> None:
    assert Pace(calls=FEWEST - 1, median_ms=5000).expected_s(None) is None
    assert Pace(calls=FEWEST, median_ms=5000).expected_s(None) == 5.0


@pytest.mark.parametrize(("max_tokens", "expected_s"), [(None, 2.0), (10, 0.3), (500, 2.0)])
def test_a_call_that_may_write_little_takes_less(max_tokens: int | None, expected_s: float) -> None:
    pace = Pace(calls=100, median_ms=2000, token_ms=10, base_ms=200)
    assert pace.expected_s(max_tokens) == expected_s


@settings(deadline=None)
@given(
    median_ms=st.floats(0, 1e7),
    token_ms=st.none() | st.floats(-1e4, 1e4),
    base_ms=st.none() | st.floats(-1e6, 1e6),
    max_tokens=st.none() | st.integers(1, 10**6),
)
def test_it_is_never_negative_and_never_above_the_median(
    median_ms: float, token_ms: float | None, base_ms: float | None, max_tokens: int | None
) -> None:
    expected_s = Pace(calls=100, median_ms=median_ms, token_ms=token_ms, base_ms=base_ms).expected_s(max_tokens)
    assert expected_s is not None
    assert 0 <= expected_s <= median_ms / 1000


async def test_it_is_asked_once_for_many_calls() -> None:
    tenant = TenantId(uuid7())
    rows = CountedRows(Pace(calls=100, median_ms=100))
    paces = Paces(rows)
    for _ in range(5):
        assert await paces.expected_s(tenant, "m", None) == 0.1
    await paces.expected_s(tenant, "n", None)
    assert rows.asked == 2


async def test_the_receipts_of_a_tenant_and_model_tell(store: Store) -> None:
    tenant_id, other = TenantId(uuid7()), TenantId(uuid7())
    for each in (tenant_id, other):
        await add_tenant(store, each)
    rows, now = PostgresReceiptRows(store), datetime.now(UTC)

    def call(number: int, **facts: Any) -> Receipt:
        tokens = 100 * (number % 5 + 1)
        usage = Usage(input_tokens=10, output_tokens=tokens)
        usual: dict[str, Any] = {"at": now - timedelta(minutes=number), "usage": usage, "latency_ms": 200 + 10 * tokens}
        return receipt(tenant_id, **({"model_asked": "m"} | usual | facts))

    await rows.add(tenant_id, [call(number) for number in range(30)])
    strange: list[dict[str, Any]] = [
        {"model_asked": "n"},
        {"cache": "hit"},
        {"status": "error", "http_status": 502},
        {"operation": "embeddings"},
        {"at": now - timedelta(days=8)},
    ]
    await rows.add(tenant_id, [call(number, **({"latency_ms": 900_000} | strange[number % 5])) for number in range(40)])
    paces = PostgresPaceRows(store)
    pace = await paces.pace(tenant_id, "m")
    assert (pace.calls, pace.median_ms) == (30, 3200)
    assert pace.token_ms == pytest.approx(10)
    assert pace.base_ms == pytest.approx(200)
    assert (await paces.pace(other, "m")).calls == 0
