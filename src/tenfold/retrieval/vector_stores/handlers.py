"""The rules of vector stores: what may be asked for, how many a tenant has, and what becomes of those that go."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from msgspec import UNSET, structs

from tenfold.core.errors import Conflict, InvalidRequest
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.retrieval.types import Chunking
from tenfold.retrieval.vector_stores.file_handlers import StoreFiles, check_chunking
from tenfold.retrieval.vector_stores.naming import expired, no_store, one_more, page_of, place_of
from tenfold.retrieval.vector_stores.ports import Shelf, VectorStoreRows
from tenfold.retrieval.vector_stores.types import (
    KIND,
    KIND_DEAD,
    MAX_CREATE_FILES,
    MAX_DESCRIPTION,
    MAX_EXPIRES_DAYS,
    MAX_TITLE,
    FileError,
    NewStore,
    StoreChanges,
    StoreLimits,
    StorePage,
    VectorStore,
    store_id_of,
)

EMPTY_EVERY_S = 60.0
_MAX_METADATA, _MAX_METADATA_KEY, _MAX_METADATA_VALUE = 16, 64, 512
_EMPTIED_AT_ONCE = 20
_DOCUMENTS_AT_ONCE = 100


class VectorStores:
    """Stores are named by their public ids ("vs_...")."""

    def __init__(
        self, rows: VectorStoreRows, files: StoreFiles, shelf: Shelf, *, limits: StoreLimits | None = None
    ) -> None:
        self._rows = rows
        self._files = files
        self._shelf = shelf
        self._limits = limits or StoreLimits()
        self._deleted = asyncio.Event()

    async def create(
        self,
        principal: Principal,
        *,
        title: str = "",
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expires_days: int | None = None,
        file_ids: Sequence[str] = (),
        chunking: Chunking | None = None,
    ) -> VectorStore:
        """With these files (public ids), which are read in the background. Raises InvalidRequest (the
        tenant has too many stores as well), NotFound (no such file), RateLimited, Overloaded, StoreUnavailable."""
        _check(title=title, description=description, metadata=metadata or {}, expires_days=expires_days)
        check_chunking(chunking)
        if len(file_ids) > MAX_CREATE_FILES:
            raise InvalidRequest(
                f"A store is made with at most {MAX_CREATE_FILES} files. Add more by file batches.", param="file_ids"
            )
        asked = await self._files.asked(principal.tenant_id, file_ids, chunking=chunking)
        new = NewStore(
            tenant_id=principal.tenant_id,
            id=uuid7(),
            title=title,
            description=description,
            metadata=dict(metadata or {}),
            expires_days=expires_days,
        )
        made = await self._rows.add(new, most=self._limits.max_stores)
        if made is None:
            raise self._full()
        if not asked:
            return made
        try:
            await self._files.put(principal, made, asked)
        except Exception:  # it was asked for as a whole
            await self._rows.hide(made.tenant_id, made.id)
            self._deleted.set()
            raise
        return await self.find(made.tenant_id, made.public_id)

    async def obtain(self, principal: Principal, title: str) -> VectorStore:
        """The tenant's store of this title, made if need be. Raises InvalidRequest (it has too many as well),
        StoreUnavailable."""
        _check(title=title)
        new = NewStore(tenant_id=principal.tenant_id, id=uuid7(), title=title)
        found = await self._rows.obtain(new, most=self._limits.max_stores)
        if found is None:
            raise self._full()
        return found

    async def titled(self, tenant_id: TenantId, title: str) -> VectorStore | None:
        """The tenant's oldest live store of this title; None: it has none. Raises StoreUnavailable."""
        return await self._rows.titled(tenant_id, title)

    async def find(self, tenant_id: TenantId, name: str) -> VectorStore:
        """Raises NotFound, StoreUnavailable."""
        known = store_id_of(name)
        store = None if known is None else await self._rows.find(tenant_id, known)
        if store is None:
            raise no_store(name)
        return store

    async def list(
        self,
        tenant_id: TenantId,
        *,
        after: str | None = None,
        before: str | None = None,
        order: str = "desc",
        limit: int = 20,
    ) -> StorePage:
        """By age. Raises InvalidRequest, StoreUnavailable."""
        place = place_of(store_id_of, after=after, before=before, order=order, limit=limit)
        items, has_more = page_of(await self._rows.page(tenant_id, one_more(place)), place)
        return StorePage(items=items, has_more=has_more)

    async def update(self, tenant_id: TenantId, name: str, changes: StoreChanges) -> VectorStore:
        """Raises InvalidRequest, NotFound, StoreUnavailable."""
        _check(**{key: value for key, value in structs.asdict(changes).items() if value is not UNSET})
        known = store_id_of(name)
        store = None if known is None else await self._rows.update(tenant_id, known, changes)
        if store is None:
            raise no_store(name)
        if store.expired:
            raise expired(store)
        return store

    async def remove(self, tenant_id: TenantId, name: str) -> None:
        """At once nobody finds anything in it; what it held is deleted in the background. The files themselves stay.
        Raises NotFound, StoreUnavailable."""
        known = store_id_of(name)
        if known is None or not await self._rows.hide(tenant_id, known):
            raise no_store(name)
        self._deleted.set()

    # -- what goes ---------------------------------------------------------------------------------

    async def wait_for_work(self) -> None:
        """Until a store was deleted here, or for EMPTY_EVERY_S."""
        with suppress(TimeoutError):
            async with asyncio.timeout(EMPTY_EVERY_S):
                await self._deleted.wait()
        self._deleted.clear()

    async def tidy(self) -> int:
        """Empties what was deleted or has expired, of all tenants, and gives up files whose job is gone; how many
        stores and files. Raises StoreUnavailable."""
        gone = FileError(code="server_error", message="It was not read: the job for it is gone. Add the file again.")
        count = 0
        for tenant_id in await self._rows.tenants_to_tidy():
            count += await self._rows.fail_forgotten(tenant_id, gone, kinds=(KIND, KIND_DEAD))
            for store in await self._rows.to_empty(tenant_id, limit=_EMPTIED_AT_ONCE):
                try:
                    await self._empty(tenant_id, store.kb)
                except Conflict:  # somebody writes to it, or another process is at this: next time
                    continue
                await self._rows.emptied(tenant_id, store)
                count += 1
        return count

    async def _empty(self, tenant_id: TenantId, kb: str) -> None:
        while ids := await self._shelf.document_ids(tenant_id, kb, limit=_DOCUMENTS_AT_ONCE):
            await self._shelf.delete(tenant_id, kb, ids)

    def _full(self) -> InvalidRequest:
        return InvalidRequest(
            f"You have {self._limits.max_stores} vector stores, the most you may have. Delete some, or let them expire"
            " (expires_after)."
        )


def _check(
    *,
    title: str = "",
    description: str | None = None,
    metadata: Mapping[str, str] | None = None,
    expires_days: int | None = None,
) -> None:
    """Raises InvalidRequest."""
    if len(title) > MAX_TITLE or "\0" in title:
        raise InvalidRequest(f"`name` has at most {MAX_TITLE} characters, and no NUL.", param="name")
    if description is not None and (len(description) > MAX_DESCRIPTION or "\0" in description):
        raise InvalidRequest(
            f"`description` has at most {MAX_DESCRIPTION} characters, and no NUL.", param="description"
        )
    pairs = list((metadata or {}).items())
    if len(pairs) > _MAX_METADATA or any(
        len(key) > _MAX_METADATA_KEY or len(value) > _MAX_METADATA_VALUE or "\0" in key + value for key, value in pairs
    ):
        raise InvalidRequest(
            f"`metadata` has at most {_MAX_METADATA} pairs, of at most {_MAX_METADATA_KEY} and {_MAX_METADATA_VALUE}"
            " characters, and no NUL.",
            param="metadata",
        )
    if expires_days is not None and not 1 <= expires_days <= MAX_EXPIRES_DAYS:
        raise InvalidRequest(
            f"`expires_after.days` is a whole number from 1 to {MAX_EXPIRES_DAYS}.", param="expires_after.days"
        )
