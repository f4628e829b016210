"""The Knowledge page on vector stores: a tenant's documents are the files of its store that is named "support"."""

from collections.abc import AsyncIterator
from contextlib import suppress

from tenfold.app.settings import Settings
from tenfold.app.support import SUPPORT_STORE
from tenfold.console.knowledge_services import KnowledgeCounts, KnowledgeFile, KnowledgeList, KnowledgeText
from tenfold.core.errors import Conflict, NotFound, TenfoldError
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.files.handlers import Files, check_upload
from tenfold.retrieval.vector_stores.file_handlers import StoreFiles
from tenfold.retrieval.vector_stores.handlers import VectorStores
from tenfold.retrieval.vector_stores.types import StoreFile, VectorStore

_UPLOADED = {"uploaded": "console"}  # by this page, whose file goes with what came of it
_FORM_BYTES = 128 * 1024  # around the files
_NOBODYS = KnowledgeCounts()


def most_uploaded(settings: Settings) -> int:
    """Bytes of one form that is uploaded."""
    return min(settings.server.max_body_bytes - _FORM_BYTES, settings.files.max_bytes)


class StoreKnowledge:
    """Implements `console.knowledge_services.KnowledgeService`. `max_upload_bytes`: of one form."""

    def __init__(self, stores: VectorStores, store_files: StoreFiles, files: Files, *, max_upload_bytes: int) -> None:
        self._stores = stores
        self._store_files = store_files
        self._files = files
        self._max_upload_bytes = max_upload_bytes

    @property
    def max_upload_bytes(self) -> int:
        return self._max_upload_bytes

    async def files(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> KnowledgeList:
        store = await self._stores.titled(tenant_id, SUPPORT_STORE)
        if store is None:
            return KnowledgeList(items=[], cursor=None, counts=_NOBODYS)
        page = await self._store_files.list(tenant_id, store.public_id, after=cursor, limit=limit)
        items = [_told(file) for file in page.items]
        return KnowledgeList(items=items, cursor=items[-1].id if page.has_more else None, counts=_counts(store))

    async def counts(self, tenant_id: TenantId) -> KnowledgeCounts:
        store = await self._stores.titled(tenant_id, SUPPORT_STORE)
        return _NOBODYS if store is None else _counts(store)

    async def add(self, principal: Principal, name: str, pieces: AsyncIterator[bytes]) -> None:
        store = await self._stores.obtain(principal, SUPPORT_STORE)
        tenant_id = principal.tenant_id
        async with self._files.draft(tenant_id) as draft:
            async for piece in pieces:
                await draft.write(piece)
            filename, purpose = check_upload(draft, name, "assistants")
            file = await draft.finish(filename, purpose, None)
        try:
            await self._store_files.add(principal, store.public_id, file.public_id, attributes=dict(_UPLOADED))
        except TenfoldError:
            with suppress(TenfoldError):  # the first error is the one to tell
                await self._files.remove(tenant_id, file.public_id)
            raise

    async def text(self, tenant_id: TenantId, file_id: str) -> KnowledgeText:
        store = await self._store(tenant_id)
        found = await self._store_files.text(tenant_id, store.public_id, file_id)
        if not found.hash:
            raise Conflict("This document has not been read yet, or could not be. See its state under Knowledge.")
        return KnowledgeText(file=_told(found.file), title=found.title, text=found.text, pages=found.file.pages)

    async def remove(self, principal: Principal, file_id: str) -> None:
        tenant_id = principal.tenant_id
        store = await self._store(tenant_id)
        file = await self._store_files.find(tenant_id, store.public_id, file_id)
        await self._store_files.remove(tenant_id, store.public_id, file_id)
        if _UPLOADED.items() <= file.attributes.items():
            with suppress(NotFound):
                await self._files.remove(tenant_id, file_id)

    async def _store(self, tenant_id: TenantId) -> VectorStore:
        store = await self._stores.titled(tenant_id, SUPPORT_STORE)
        if store is None:
            raise NotFound("There is no such document.")
        return store


def _told(file: StoreFile) -> KnowledgeFile:
    return KnowledgeFile(
        id=file.public_id,
        name=file.filename,
        state=file.status,
        bytes=file.usage_bytes,
        added_at=file.created_at,
        error=file.error.message if file.error else "",
    )


def _counts(store: VectorStore) -> KnowledgeCounts:
    counts = store.counts
    return KnowledgeCounts(in_progress=counts.in_progress, completed=counts.completed, failed=counts.failed)
