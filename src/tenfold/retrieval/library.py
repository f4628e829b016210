"""The knowledge bases of all tenants, as `app` wires them: one object with a store and an embedder."""

from collections.abc import Iterable, Sequence

from tenfold.core.ids import TenantId
from tenfold.retrieval import queries
from tenfold.retrieval.embedding import embed_missing
from tenfold.retrieval.ingest import delete, ingest
from tenfold.retrieval.ports import Embedder, Recorder
from tenfold.retrieval.search import search
from tenfold.retrieval.types import IngestReport, KnowledgeStatus, Passage, SourceDocument
from tenfold.store import Store


class Library:
    """`embedder` None: searches go by words alone. A knowledge base is made by its first document. `recorder` is told
    how long the parts of each search took."""

    def __init__(self, store: Store, embedder: Embedder | None, recorder: Recorder | None = None) -> None:
        self._store = store
        self._embedder = embedder
        self._recorder = recorder

    async def ingest(
        self, tenant_id: TenantId, kb: str, documents: Iterable[SourceDocument], *, prune: bool = False
    ) -> IngestReport:
        """See `ingest.ingest`. New text is found by its words at once, by its meaning after `embed`."""
        return await ingest(self._store, tenant_id, kb, documents, prune=prune)

    async def embed(self, tenant_id: TenantId, kb: str) -> int:
        """Fills in missing vectors; returns how many. See `embedding.embed_missing`."""
        return 0 if self._embedder is None else await embed_missing(self._store, tenant_id, kb, self._embedder)

    async def delete(self, tenant_id: TenantId, kb: str, document_ids: Sequence[str]) -> int:
        """Returns how many documents there were. See `ingest.delete`."""
        return await delete(self._store, tenant_id, kb, document_ids)

    async def search(self, tenant_id: TenantId, kb: str, query: str, k: int = 10) -> list[Passage]:
        """See `search.search`."""
        return await search(self._store, tenant_id, kb, query, k, embedder=self._embedder, recorder=self._recorder)

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
            vectors_in_use=bool(
                self._embedder is not None and row["embedded"] and row["embedder"] == self._embedder.fingerprint
            ),
        )
