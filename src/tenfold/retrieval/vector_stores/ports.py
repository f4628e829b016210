"""The seams of this part: stores and their files at rest (`VectorStoreRows`; `fake.FakeVectorStoreRows` is the
in-memory twin of `queries.PostgresVectorStoreRows`, under one contract suite), the knowledge bases behind them
(`Shelf`), and who reads files (`Reader`).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol
from uuid import UUID

from msgspec import Struct

from tenfold.core.ids import TenantId
from tenfold.retrieval.extract.types import Extracted
from tenfold.retrieval.types import Filter, IngestReport, Passage, SourceDocument, StoredDocument
from tenfold.retrieval.vector_stores.types import (
    Adding,
    Attributes,
    FileBatch,
    FileError,
    FileStatus,
    NewStore,
    Place,
    StoreChanges,
    StoreFile,
    VectorStore,
)

Refusal = Literal["gone", "full"]
"""`gone`: there is no such store, or it has expired. `full`: the tenant has as much as it may."""


class ToEmpty(Struct, frozen=True, kw_only=True):
    """A store whose documents go, and then what is known of its files: deleted, it goes itself; expired, it stays."""

    store_id: UUID
    kb: str  # by what name its knowledge base goes now
    deleted: bool


class VectorStoreRows(Protocol):
    """Every method raises StoreUnavailable while the database is away; it may have done its work all the same, and can
    be called again. What is asked of another tenant's store, or of a deleted one, finds nothing. All times are the
    database's."""

    # -- stores ----------------------------------------------------------------------------------

    async def add(self, new: NewStore, *, most: int) -> VectorStore | None:
        """With its knowledge base, which is empty. One that is there already is told as it is. None: the tenant has
        `most` stores."""
        ...

    async def obtain(self, new: NewStore, *, most: int) -> VectorStore | None:
        """The tenant's oldest live store of this title; `new` if there is none. However many ask at once, it is one.
        None as for `add`."""
        ...

    async def titled(self, tenant_id: TenantId, title: str) -> VectorStore | None:
        """The tenant's oldest live store of this title."""
        ...

    async def find(self, tenant_id: TenantId, store_id: UUID) -> VectorStore | None: ...

    async def brief(self, tenant_id: TenantId, store_ids: Sequence[UUID]) -> dict[UUID, VectorStore]:
        """Those of them that are there, without counts and usage: of many files these take a while to be summed."""
        ...

    async def page(self, tenant_id: TenantId, place: Place) -> list[VectorStore]:
        """By age."""
        ...

    async def update(self, tenant_id: TenantId, store_id: UUID, changes: StoreChanges) -> VectorStore | None:
        """Of a live one; else it is told as it is."""
        ...

    async def touch(self, tenant_id: TenantId, store_ids: Sequence[UUID]) -> None:
        """They were used just now, if they were idle."""
        ...

    async def hide(self, tenant_id: TenantId, store_id: UUID) -> bool:
        """Nobody sees it any more, or finds anything in it, and what was answered from it is evicted. False: there is
        none."""
        ...

    # -- files -----------------------------------------------------------------------------------

    async def put(self, adding: Adding, *, most: int, most_bytes: int) -> list[StoreFile] | Refusal:
        """The files as they then are, in the order asked for, each once; those with `adding.job_id` are to be read. One
        that is there with these attributes and this chunking, or on its way, is left as it is. `full`: the store would
        have more than `most` files, or the tenant has `most_bytes` of text already; then nothing is changed."""
        ...

    async def withdraw(self, adding: Adding) -> None:
        """There will be no such job: of its files those that were not in the store before are not in it; the others
        have failed. Its batch is gone."""
        ...

    async def find_file(self, tenant_id: TenantId, store_id: UUID, file_id: UUID) -> StoreFile | None: ...

    async def files(self, tenant_id: TenantId, store_id: UUID, file_ids: Iterable[UUID]) -> dict[UUID, StoreFile]:
        """Those of them that are in the store."""
        ...

    async def stores_of(self, tenant_id: TenantId, file_id: UUID) -> list[UUID]:
        """That have this file. Those that were deleted are not told."""
        ...

    async def page_files(
        self,
        tenant_id: TenantId,
        store_id: UUID,
        place: Place,
        *,
        status: FileStatus | None = None,
        batch_id: UUID | None = None,
    ) -> list[StoreFile]:
        """By age."""
        ...

    async def begin(self, tenant_id: TenantId, store_id: UUID, file_id: UUID, job_id: UUID) -> StoreFile | None:
        """Its job is at it. None: it is not to be read, or not by this job."""
        ...

    async def end(
        self,
        tenant_id: TenantId,
        store_id: UUID,
        file_id: UUID,
        job_id: UUID,
        *,
        error: FileError | None = None,
        usage_bytes: int = 0,
        pages: Sequence[int] = (),
    ) -> bool:
        """It is read in, or has failed. False: it was not to be read by this job any more, and nothing is changed."""
        ...

    async def fail(self, tenant_id: TenantId, store_id: UUID, job_id: UUID, error: FileError, *, begun: bool) -> int:
        """The files that this job had still to read have failed; if `begun`, those only that it was at. How many."""
        ...

    async def describe(
        self, tenant_id: TenantId, store_id: UUID, file_id: UUID, attributes: Attributes
    ) -> StoreFile | None: ...

    async def release(self, tenant_id: TenantId, store_id: UUID, file_id: UUID) -> StoreFile | None:
        """It is cancelled, whatever job is at it."""
        ...

    async def take_out(self, tenant_id: TenantId, store_id: UUID, file_id: UUID) -> bool:
        """It is not in the store any more. False: nor was it before."""
        ...

    # -- batches ---------------------------------------------------------------------------------

    async def find_batch(self, tenant_id: TenantId, store_id: UUID, batch_id: UUID) -> FileBatch | None: ...

    async def cancel_batch(self, tenant_id: TenantId, store_id: UUID, batch_id: UUID) -> FileBatch | None:
        """Its files that are not read yet are cancelled."""
        ...

    # -- tidying up ------------------------------------------------------------------------------

    async def tenants_to_tidy(self) -> list[TenantId]: ...

    async def to_empty(self, tenant_id: TenantId, *, limit: int) -> list[ToEmpty]:
        """Stores that were deleted or have expired, and are not empty yet; also knowledge bases that a job began again
        after their store was deleted."""
        ...

    async def emptied(self, tenant_id: TenantId, store: ToEmpty) -> None:
        """No document is left in it."""
        ...

    async def fail_forgotten(self, tenant_id: TenantId, error: FileError, *, kinds: Sequence[str]) -> int:
        """Files that are to be read for a minute, and no job of these kinds is there that would: they have failed. How
        many."""
        ...


class Shelf(Protocol):
    """The knowledge bases: see tenfold.retrieval.library.Library, and `fake.FakeShelf`. Whatever writes raises Conflict
    while somebody else writes to the same one."""

    async def ingest(
        self, tenant_id: TenantId, kb: str, documents: Iterable[SourceDocument], *, prune: bool = False
    ) -> IngestReport: ...

    async def embed(self, tenant_id: TenantId, kb: str) -> int:
        """Raises UpstreamError as well."""
        ...

    async def delete(self, tenant_id: TenantId, kb: str, document_ids: Sequence[str]) -> int: ...

    async def describe(self, tenant_id: TenantId, kb: str, document_id: str, metadata: dict[str, Any]) -> bool:
        """It has this metadata from now on. False: there is no such document."""
        ...

    async def document(self, tenant_id: TenantId, kb: str, document_id: str) -> StoredDocument | None: ...

    async def document_ids(self, tenant_id: TenantId, kb: str, *, limit: int) -> list[str]: ...

    async def search(
        self,
        tenant_id: TenantId,
        kb: str,
        query: str,
        k: int = 10,
        *,
        filters: Filter | None = None,
        max_tokens: int | None = None,
    ) -> list[Passage]: ...


class Reader(Protocol):
    """See tenfold.retrieval.extract, and `fake.FakeReader`."""

    async def extract(self, data: bytes, *, filename: str, content_type: str = "") -> Extracted:
        """Raises UnreadableFile."""
        ...
