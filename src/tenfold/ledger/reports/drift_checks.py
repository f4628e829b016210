"""Which weeks of which tenant have been looked at for drift, so that each is told of once, by one process."""

from datetime import date
from typing import Protocol

from tenfold.core.ids import TenantId
from tenfold.store import Store

KNOWN = "SELECT EXISTS (SELECT FROM drift_checks WHERE tenant_id = $1 AND until = $2)"
NOTE = """
INSERT INTO drift_checks (tenant_id, until, findings) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING TRUE
"""


class DriftChecks(Protocol):
    """Raises StoreUnavailable while the database is away."""

    async def known(self, tenant_id: TenantId, until: date) -> bool: ...

    async def note(self, tenant_id: TenantId, until: date, findings: int) -> bool:
        """True for the one who notes it first."""
        ...


class PostgresDriftChecks:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def known(self, tenant_id: TenantId, until: date) -> bool:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return bool(await tx.fetchval(KNOWN, tenant_id, until))

    async def note(self, tenant_id: TenantId, until: date, findings: int) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            return bool(await tx.fetchval(NOTE, tenant_id, until, findings))


class FakeDriftChecks:
    """The in-memory twin."""

    def __init__(self) -> None:
        self._noted: set[tuple[TenantId, date]] = set()

    async def known(self, tenant_id: TenantId, until: date) -> bool:
        return (tenant_id, until) in self._noted

    async def note(self, tenant_id: TenantId, until: date, findings: int) -> bool:
        first = (tenant_id, until) not in self._noted
        self._noted.add((tenant_id, until))
        return first
