"""Single documents of a knowledge base, as they are stored: their text, and what is said of them."""

from typing import Any, Final

from msgspec import convert

from tenfold.cache.grounds import DOCUMENTS_TOPIC
from tenfold.core.ids import TenantId
from tenfold.retrieval.lease import Lease
from tenfold.retrieval.prepare import cleaned, content_hash
from tenfold.retrieval.types import Chunking, SourceDocument, StoredDocument
from tenfold.store import Row, Store, tell_change

# One that was read in before texts were kept is told by its chunks.
FIND: Final = """
SELECT d.id, d.hash, d.title, d.url, d.metadata, d.chunking, coalesce(d.text, (
           SELECT string_agg(c.text, E'\\n\\n' ORDER BY c.ordinal) FROM chunks c
           WHERE c.tenant_id = d.tenant_id AND c.kb_id = d.kb_id AND c.document_id = d.id), '') AS text
FROM documents d JOIN knowledge_bases k ON k.tenant_id = d.tenant_id AND k.id = d.kb_id
WHERE d.tenant_id = $1 AND k.name = $2 AND d.id = $3
"""

IDS: Final = """
SELECT d.id FROM documents d JOIN knowledge_bases k ON k.tenant_id = d.tenant_id AND k.id = d.kb_id
WHERE d.tenant_id = $1 AND k.name = $2 ORDER BY d.id LIMIT $3
"""

DESCRIBE: Final = """
UPDATE documents SET metadata = $4, hash = $5, updated_at = now() WHERE tenant_id = $1 AND kb_id = $2 AND id = $3
"""


async def find(store: Store, tenant_id: TenantId, kb: str, document_id: str) -> StoredDocument | None:
    """Raises StoreUnavailable."""
    async with store.tenant(tenant_id, readonly=True) as tx:
        row = await tx.fetchrow(FIND, tenant_id, kb, document_id)
    if row is None:
        return None
    return StoredDocument(
        id=row["id"],
        hash=row["hash"],
        title=row["title"],
        url=row["url"],
        metadata=row["metadata"],
        text=row["text"],
    )


async def ids(store: Store, tenant_id: TenantId, kb: str, *, limit: int) -> list[str]:
    """In their order. Raises StoreUnavailable."""
    async with store.tenant(tenant_id, readonly=True) as tx:
        return [row["id"] for row in await tx.fetch(IDS, tenant_id, kb, limit)]


async def describe(store: Store, tenant_id: TenantId, kb: str, document_id: str, metadata: dict[str, Any]) -> bool:
    """It has this metadata from now on, and is a new version; chunks and vectors stay. False: there is no such one.
    Raises InvalidRequest, Conflict (somebody writes to the knowledge base), StoreUnavailable."""
    if await find(store, tenant_id, kb, document_id) is None:
        return False
    lease = Lease(store, tenant_id, kb, "write")
    try:
        async with store.tenant(tenant_id) as tx:
            held = await lease.hold(tx)
            row = await tx.fetchrow(FIND, tenant_id, kb, document_id)
            if row is None:
                return False
            document = cleaned(_described(row, metadata))
            await tx.execute(DESCRIBE, tenant_id, held.id, document_id, document.metadata, content_hash(document))
            await tell_change(tx, DOCUMENTS_TOPIC, tenant_id)
    finally:
        await lease.release()
    return True


def _described(row: Row, metadata: dict[str, Any]) -> SourceDocument:
    return SourceDocument(
        id=row["id"],
        text=row["text"],
        title=row["title"],
        url=row["url"],
        metadata=metadata,
        chunking=None if row["chunking"] is None else convert(row["chunking"], Chunking),
    )
