"""The SQL of parts of batches. Each query names its tenant."""

from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.inference.handover.types import Part
from tenfold.store import Store

ADD = """
INSERT INTO batch_parts (tenant_id, batch_id, id, target, at, lines) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
"""

OF = """
SELECT tenant_id, batch_id, id, target, at, lines, state, vendor_id FROM batch_parts
WHERE tenant_id = $1 AND batch_id = $2 ORDER BY id
"""

PUT = """
UPDATE batch_parts SET lines = $4, state = $5, vendor_id = $6 WHERE tenant_id = $1 AND batch_id = $2 AND id = $3
"""


class PostgresPartRows:
    """See `PartRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, part: Part) -> None:
        async with self._store.tenant(part.tenant_id) as tx:
            await tx.execute(ADD, part.tenant_id, part.batch_id, part.id, part.target, part.at, list(part.lines))

    async def of(self, tenant_id: TenantId, batch_id: UUID) -> list[Part]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            rows = await tx.fetch(OF, tenant_id, batch_id)
        return [Part(**{**dict(row), "lines": tuple(row["lines"])}) for row in rows]

    async def put(self, part: Part) -> None:
        async with self._store.tenant(part.tenant_id) as tx:
            await tx.execute(PUT, part.tenant_id, part.batch_id, part.id, list(part.lines), part.state, part.vendor_id)
