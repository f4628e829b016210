"""How long calls take, told from the receipts of the last week: of a tenant and a model, by what they wrote."""

import time
from typing import Protocol

from msgspec import Struct

from tenfold.core.ids import TenantId
from tenfold.store import Store

FEWEST = 20  # calls, before anything is said
FRESH_S = 60.0
_MOST_KNOWN = 10_000

# The newest 5,000 receipts of the tenant at most: of a model that is rarely asked nothing is said.
PACE = """
SELECT count(*) AS calls,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS median_ms,
       regr_slope(latency_ms, output_tokens) AS token_ms,
       regr_intercept(latency_ms, output_tokens) AS base_ms
FROM (
    SELECT latency_ms, output_tokens
    FROM (
        SELECT latency_ms, output_tokens, model_asked, status, http_status, cache, operation, provider
        FROM receipts WHERE tenant_id = $1 AND at > now() - interval '7 days' ORDER BY at DESC LIMIT 5000
    ) newest
    WHERE model_asked = $2 AND operation = 'chat' AND status = 'ok' AND http_status = 200
      AND cache <> 'hit' AND provider IS NOT NULL
    LIMIT 500
) of_model
"""


class Pace(Struct, frozen=True, kw_only=True):
    """`median_ms` of the calls there were, and the line through them: `base_ms` and so much for each token."""

    calls: int
    median_ms: float
    token_ms: float | None = None  # None: all wrote alike
    base_ms: float | None = None

    def expected_s(self, max_tokens: int | None) -> float | None:
        """The median; less, where the call may write less than the usual one."""
        if self.calls < FEWEST:
            return None
        expected_ms = self.median_ms
        if max_tokens is not None and self.token_ms is not None and self.base_ms is not None and self.token_ms > 0:
            expected_ms = min(expected_ms, self.base_ms + self.token_ms * max_tokens)
        return max(0.0, expected_ms) / 1000


class PaceRows(Protocol):
    async def pace(self, tenant_id: TenantId, model: str) -> Pace:
        """Raises StoreUnavailable."""
        ...


class PostgresPaceRows:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def pace(self, tenant_id: TenantId, model: str) -> Pace:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(PACE, tenant_id, model)
        assert row is not None
        return Pace(
            calls=row["calls"], median_ms=row["median_ms"] or 0.0, token_ms=row["token_ms"], base_ms=row["base_ms"]
        )


class Paces:
    """Asked of the database once a minute for each tenant and model."""

    def __init__(self, rows: PaceRows) -> None:
        self._rows = rows
        self._known: dict[tuple[TenantId, str], tuple[float, Pace]] = {}

    async def expected_s(self, tenant_id: TenantId, model: str, max_tokens: int | None) -> float | None:
        """None: too few calls to tell. Raises StoreUnavailable."""
        at = tenant_id, model
        known = self._known.get(at)
        now = time.monotonic()
        if known is None or known[0] + FRESH_S < now:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[at] = now, await self._rows.pace(tenant_id, model)
        return known[1].expected_s(max_tokens)
