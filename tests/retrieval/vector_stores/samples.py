"""What tests of vector stores put into them."""

from uuid import UUID

from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import ALL_SCOPES, Principal
from tenfold.retrieval.types import Chunking
from tenfold.retrieval.vector_stores.ports import VectorStoreRows
from tenfold.retrieval.vector_stores.types import Adding, Attributes, NewFile, NewStore, StoreFile, VectorStore


def principal_of(tenant_id: TenantId) -> Principal:
    return Principal(tenant_id=tenant_id, tenant_slug="one", scopes=ALL_SCOPES)


async def made(
    rows: VectorStoreRows, tenant_id: TenantId, title: str = "manuals", *, days: int | None = None
) -> VectorStore:
    store = await rows.add(NewStore(tenant_id=tenant_id, id=uuid7(), title=title, expires_days=days), most=100)
    assert store is not None
    return store


def adding(
    store: VectorStore,
    *file_ids: UUID,
    attributes: Attributes | None = None,
    chunking: Chunking | None = None,
    batch_id: UUID | None = None,
) -> Adding:
    return Adding(
        principal=principal_of(store.tenant_id),
        store_id=store.id,
        job_id=uuid7(),
        files=tuple(
            NewFile(file_id=each, filename=f"{each.hex[-4:]}.txt", attributes=attributes or {}, chunking=chunking)
            for each in file_ids
        ),
        batch_id=batch_id,
    )


async def put(rows: VectorStoreRows, given: Adding) -> list[StoreFile]:
    files = await rows.put(given, most=100, most_bytes=1_000_000)
    assert isinstance(files, list)
    return files


async def read_in(rows: VectorStoreRows, given: Adding, *, usage_bytes: int = 10) -> None:
    """As its job would."""
    for file in given.files:
        at = given.principal.tenant_id, given.store_id, file.file_id, given.job_id
        assert await rows.begin(*at) is not None
        assert await rows.end(*at, usage_bytes=usage_bytes)
