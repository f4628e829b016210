"""The knowledge bases of all tenants, as `app` wires them: one object with a store and an embedder."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from tenfold.core.ids import TenantId
from tenfold.retrieval import documents, queries
from tenfold.retrieval.embedders import embedders_of
from tenfold.retrieval.embedding import embed_missing
from tenfold.retrieval.index.dropping import drop
from tenfold.retrieval.index.progress import Part
from tenfold.retrieval.index.rebuild import PARTS, rebuild
from tenfold.retrieval.index.types import Rebuilt
from tenfold.retrieval.index.vectors import reembed
from tenfold.retrieval.ingest import delete, ingest
from tenfold.retrieval.ports import Embedder, Embedders, Recorder
from tenfold.retrieval.search import search
from tenfold.retrieval.types import Filter, IngestReport, KnowledgeStatus, Passage, SourceDocument, StoredDocument
from tenfold.store import Store


class Library:
    """`embedder`: one for all tenants, each tenant's own, or None: searches go by words alone. A knowledge base is made
    by its first document. `recorder` is told how long the parts of each search took."""

    def __init__(self, store: Store, embedder: Embedder | Embedders | None, recorder: Recorder | None = None) -> None:
        self._store = store
        self._embedders = embedders_of(embedder)
        self._recorder = recorder

    async def ingest(
        self, tenant_id: TenantId, kb: str, documents: Iterable[SourceDocument], *, prune: bool = False
    ) -> IngestReport:
        """See `ingest.ingest`. New text is found by its words at once, by its meaning after `embed`."""
        return await ingest(self._store, tenant_id, kb, documents, prune=prune)

    async def embed(self, tenant_id: TenantId, kb: str) -> int:
        """Fills in missing vectors; returns how many. See `embedding.embed_missing`."""
        made = await embed_missing(self._store, tenant_id, kb, self._embedders)
        return await self.reembed(tenant_id, kb) if made is None else made

    async def reembed(self, tenant_id: TenantId, kb: str) -> int:
        """Where the vectors are not of the wanted embedder: makes them beside, and switches. Returns how many. See
        `index.vectors.reembed`."""
        return await reembed(self._store, tenant_id, kb, self._embedders)

    async def delete(self, tenant_id: TenantId, kb: str, document_ids: Sequence[str]) -> int:
        """Returns how many documents there were. See `ingest.delete`."""
        return await delete(self._store, tenant_id, kb, document_ids)

    async def describe(self, tenant_id: TenantId, kb: str, document_id: str, metadata: dict[str, Any]) -> bool:
        """See `documents.describe`."""
        return await documents.describe(self._store, tenant_id, kb, document_id, metadata)

    async def document(self, tenant_id: TenantId, kb: str, document_id: str) -> StoredDocument | None:
        """As it is stored, with its text."""
        return await documents.find(self._store, tenant_id, kb, document_id)

    async def document_ids(self, tenant_id: TenantId, kb: str, *, limit: int) -> list[str]:
        """The first ones, in their order."""
        return await documents.ids(self._store, tenant_id, kb, limit=limit)

    async def drop(self, tenant_id: TenantId, kb: str) -> bool:
        """The knowledge base with all that is in it. See `index.dropping.drop`."""
        return await drop(self._store, tenant_id, kb)

    async def rebuild(
        self, tenant_id: TenantId, kb: str, *, parts: Collection[Part] = PARTS, switch: bool = False
    ) -> Rebuilt:
        """See `index.rebuild.rebuild`."""
        return await rebuild(self._store, tenant_id, kb, self._embedders, parts=parts, switch=switch)

    async def search(
        self,
        tenant_id: TenantId,
        kb: str,
        query: str,
        k: int = 10,
        *,
        filters: Filter | None = None,
        max_tokens: int | None = None,
    ) -> list[Passage]:
        """See `search.search`."""
        return await search(
            self._store,
            tenant_id,
            kb,
            query,
            k,
            filters=filters,
            max_tokens=max_tokens,
            embedders=self._embedders,
            recorder=self._recorder,
        )

    async def status(self, tenant_id: TenantId, kb: str) -> KnowledgeStatus:
        """All zero when there is no such knowledge base."""
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(queries.STATUS, tenant_id, kb)
        if row is None:
            return KnowledgeStatus(documents=0, chunks=0, embedded=0, vectors_in_use=False)
        return KnowledgeStatus(
            documents=row["document_count"],
            chunks=row["chunk_count"],
            embedded=row["vectors"],
            vectors_in_use=bool(row["embedded"] and self._embedders.named(tenant_id, row["embedder"]) is not None),
        )
