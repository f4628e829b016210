"""What stands in the tables of a tenant, set by set."""

from collections import Counter
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.retrieval.types import SourceDocument
from tenfold.store import Store


def documents(count: int, word: str = "zebra") -> list[SourceDocument]:
    return [SourceDocument(id=f"d{n:03}", text=f"# Page {n}\n\nAbout {word} number {n}.") for n in range(count)]


async def sets(store: Store, tenant: TenantId, table: str) -> Counter[UUID]:
    """Rows of `postings` or `chunk_vectors` by set."""
    async with store.tenant(tenant) as tx:
        rows = await tx.fetch(f"SELECT kb_id, count(*) FROM {table} WHERE tenant_id = $1 GROUP BY kb_id", tenant)
    return Counter({row["kb_id"]: row["count"] for row in rows})
