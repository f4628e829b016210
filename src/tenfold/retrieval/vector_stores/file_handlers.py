"""The rules of a store's files: how they come in, one by one and in batches, and how they go.

It reads no file: the job does (`reading`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar
from uuid import UUID

from msgspec import json

from tenfold.core.errors import Conflict, InvalidRequest, NotFound, TooLarge
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.inputs import one_of
from tenfold.core.principal import Principal
from tenfold.inference.files.handlers import Files
from tenfold.inference.files.types import file_id, file_name
from tenfold.jobs.ports import Jobs
from tenfold.jobs.types import NewJob
from tenfold.retrieval.types import Chunking
from tenfold.retrieval.vector_stores.naming import (
    expired,
    no_batch,
    no_file,
    no_store,
    one_more,
    page_of,
    place_of,
)
from tenfold.retrieval.vector_stores.ports import Shelf, VectorStoreRows
from tenfold.retrieval.vector_stores.types import (
    FILE_STATUSES,
    KIND,
    MAX_BATCH_FILES,
    Adding,
    Attributes,
    FileBatch,
    FileText,
    NewFile,
    Place,
    StoreFile,
    StoreFilePage,
    StoreLimits,
    ToRead,
    VectorStore,
    batch_id_of,
    store_id_of,
    store_name,
)

_MAX_ATTRIBUTES, _MAX_KEY, _MAX_VALUE = 16, 64, 512
_MIN_TOKENS, _MAX_TOKENS = 100, 4_096
ATTEMPTS = 8
_LOOKS_AT_ONCE = 8
WRITER_PATIENCE_S = 15.0  # another writer of the same store is done in less
_WRITER_POLL_S = 0.1

_T = TypeVar("_T")


class StoreFiles:
    """Stores, files and batches are named by their public ids ("vs_...", "file-...", "vsfb_...")."""

    def __init__(
        self, rows: VectorStoreRows, files: Files, jobs: Jobs, shelf: Shelf, *, limits: StoreLimits | None = None
    ) -> None:
        self._rows = rows
        self._files = files
        self._jobs = jobs
        self._shelf = shelf
        self._limits = limits or StoreLimits()

    # -- coming in -------------------------------------------------------------------------------

    async def add(
        self,
        principal: Principal,
        store: str,
        file: str,
        *,
        attributes: Attributes | None = None,
        chunking: Chunking | None = None,
    ) -> StoreFile:
        """It is read in the background. One that is there already, unchanged, is told as it is. Raises InvalidRequest,
        NotFound (no such store, or file), TooLarge, RateLimited, Overloaded, StoreUnavailable."""
        found = await self._live(principal.tenant_id, store)
        asked = await self.asked(principal.tenant_id, [file], attributes=attributes, chunking=chunking)
        return (await self.put(principal, found, asked))[0]

    async def add_batch(self, principal: Principal, store: str, files: Sequence[NewFile]) -> FileBatch:
        """Of files as `asked` gives them. Raises as `add` does."""
        if not 1 <= len(files) <= MAX_BATCH_FILES:
            raise InvalidRequest(f"A batch has 1 to {MAX_BATCH_FILES} files.", param="file_ids")
        found = await self._live(principal.tenant_id, store)
        batch_id = uuid7()
        await self.put(principal, found, files, as_batch=batch_id)
        batch = await self._rows.find_batch(found.tenant_id, found.id, batch_id)
        if batch is None:
            raise no_store(store)  # deleted meanwhile
        return batch

    async def asked(
        self,
        tenant_id: TenantId,
        files: Sequence[str],
        *,
        attributes: Attributes | None = None,
        chunking: Chunking | None = None,
    ) -> list[NewFile]:
        """Files that may come into a store. Raises InvalidRequest, NotFound (no such file), StoreUnavailable."""
        if len(set(files)) != len(files):
            raise InvalidRequest("A file is named twice.", param="file_ids")
        found: list[NewFile] = []
        for at in range(0, len(files), _LOOKS_AT_ONCE):
            some = files[at : at + _LOOKS_AT_ONCE]
            for file in await asyncio.gather(*(self._files.find(tenant_id, name) for name in some)):
                new = NewFile(
                    file_id=file.id, filename=file.filename, attributes=dict(attributes or {}), chunking=chunking
                )
                found.append(new)
        return found

    async def put(
        self, principal: Principal, store: VectorStore, files: Sequence[NewFile], *, as_batch: UUID | None = None
    ) -> list[StoreFile]:
        """Raises InvalidRequest, NotFound (the store is gone), TooLarge, RateLimited, Overloaded, StoreUnavailable."""
        for file in files:
            check_attributes(file.attributes)
            check_chunking(file.chunking)
        adding = Adding(principal=principal, store_id=store.id, job_id=uuid7(), files=tuple(files), batch_id=as_batch)
        put = await self._rows.put(adding, most=self._limits.max_files, most_bytes=self._limits.max_bytes)
        if put == "gone":
            raise no_store(store.public_id)
        if put == "full":
            raise TooLarge(
                f"A vector store has at most {self._limits.max_files} files, and all stores of a tenant together"
                f" {self._limits.max_bytes} bytes of text. Take some out first."
            )
        to_read = [file.file_id for file in put if file.job_id == adding.job_id]
        if to_read:
            work = ToRead(store_id=store.id, job_id=adding.job_id, file_ids=tuple(to_read))
            try:
                await self._jobs.enqueue(job_of(principal, work, adding.job_id))
            except Exception:  # refused: then nothing was asked for
                await self._rows.withdraw(adding)
                raise
        return put

    # -- looking -----------------------------------------------------------------------------------

    async def list(
        self,
        tenant_id: TenantId,
        store: str,
        *,
        batch: str | None = None,
        status: str | None = None,
        after: str | None = None,
        before: str | None = None,
        order: str = "desc",
        limit: int = 20,
    ) -> StoreFilePage:
        """Of the store, or of a batch, by age. Raises InvalidRequest, NotFound, StoreUnavailable."""
        found = await self._store(tenant_id, store)
        of_batch = None if batch is None else (await self._batch(found, batch)).id
        of_status = None if status is None else one_of(status, FILE_STATUSES, "filter")
        place = place_of(file_id, after=after, before=before, order=order, limit=limit)
        files = await self._rows.page_files(tenant_id, found.id, one_more(place), status=of_status, batch_id=of_batch)
        if not files:
            await self._check_place(found, place)
        items, has_more = page_of(files, place)
        return StoreFilePage(items=items, has_more=has_more)

    async def find(self, tenant_id: TenantId, store: str, file: str) -> StoreFile:
        """Raises NotFound, StoreUnavailable."""
        of_store = await self._store(tenant_id, store)
        known = file_id(file)
        found = None if known is None else await self._rows.find_file(tenant_id, of_store.id, known)
        if found is None:
            raise no_file(file, of_store)
        return found

    async def find_batch(self, tenant_id: TenantId, store: str, batch: str) -> FileBatch:
        """Raises NotFound, StoreUnavailable."""
        return await self._batch(await self._store(tenant_id, store), batch)

    async def text(self, tenant_id: TenantId, store: str, file: str) -> FileText:
        """What was read from a file; nothing as long as it was not. Raises NotFound, StoreUnavailable."""
        found = await self.find(tenant_id, store, file)
        stored = await self._shelf.document(tenant_id, store_name(found.store_id), found.public_id)
        if stored is None:
            return FileText(file=found, title=found.filename, text="", hash="")
        return FileText(file=found, title=stored.title, text=stored.text, hash=stored.hash)

    # -- changing ----------------------------------------------------------------------------------

    async def describe(self, tenant_id: TenantId, store: str, file: str, attributes: Attributes) -> StoreFile:
        """It has these attributes from now on. Raises InvalidRequest, NotFound, Conflict (somebody writes to the store
        for so long), StoreUnavailable."""
        check_attributes(attributes)
        found = await self.find(tenant_id, store, file)
        kb = store_name(found.store_id)
        described = await self._rows.describe(tenant_id, found.store_id, found.file_id, attributes)
        if described is None:
            raise no_file(file, await self._store(tenant_id, store))
        await patiently(lambda: self._shelf.describe(tenant_id, kb, found.public_id, dict(attributes)))
        return described

    async def remove(self, tenant_id: TenantId, store: str, file: str) -> None:
        """Out of the store, with all that came of it; the file itself stays. Raises NotFound, Conflict (somebody
        writes to the store for so long), StoreUnavailable."""
        found = await self.find(tenant_id, store, file)
        kb = store_name(found.store_id)
        await self._rows.release(tenant_id, found.store_id, found.file_id)
        await patiently(lambda: self._shelf.delete(tenant_id, kb, [found.public_id]))
        if not await self._rows.take_out(tenant_id, found.store_id, found.file_id):
            raise no_file(file, await self._store(tenant_id, store))

    async def forget(self, tenant_id: TenantId, file: str) -> None:
        """Out of all stores, since the file itself is to be deleted. Raises Conflict (somebody writes to a store for so
        long), StoreUnavailable."""
        known = file_id(file)
        for store_id in [] if known is None else await self._rows.stores_of(tenant_id, known):
            with suppress(NotFound):  # somebody else took it out meanwhile
                await self.remove(tenant_id, store_name(store_id), file)

    async def cancel_batch(self, tenant_id: TenantId, store: str, batch: str) -> FileBatch:
        """Files that are not read yet are cancelled. Raises NotFound, StoreUnavailable."""
        of_store = await self._store(tenant_id, store)
        known = batch_id_of(batch)
        found = None if known is None else await self._rows.cancel_batch(tenant_id, of_store.id, known)
        if found is None:
            raise no_batch(batch, of_store)
        return found

    # -- inside ------------------------------------------------------------------------------------

    async def _store(self, tenant_id: TenantId, name: str) -> VectorStore:
        known = store_id_of(name)
        store = None if known is None else (await self._rows.brief(tenant_id, [known])).get(known)
        if store is None:
            raise no_store(name)
        return store

    async def _live(self, tenant_id: TenantId, name: str) -> VectorStore:
        store = await self._store(tenant_id, name)
        if store.expired:
            raise expired(store)
        return store

    async def _check_place(self, store: VectorStore, place: Place) -> None:
        """A page that begins or ends at a file that was taken out is empty: nobody is to take that for the end of the
        list. Raises InvalidRequest."""
        ends = {"after": place.after, "before": place.before}
        asked = {param: each for param, each in ends.items() if each is not None}
        there = await self._rows.files(store.tenant_id, store.id, asked.values()) if asked else {}
        for param, each in asked.items():
            if each not in there:
                raise InvalidRequest(
                    f"`{param}`: there is no file '{file_name(each)}' in the vector store (any more). List from the"
                    " beginning.",
                    param=param,
                )

    async def _batch(self, store: VectorStore, name: str) -> FileBatch:
        known = batch_id_of(name)
        batch = None if known is None else await self._rows.find_batch(store.tenant_id, store.id, known)
        if batch is None:
            raise no_batch(name, store)
        return batch


async def patiently(work: Callable[[], Awaitable[_T]], *, patience_s: float = WRITER_PATIENCE_S) -> _T:
    """What is refused while somebody else writes to the store is tried again. Raises Conflict after so long."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    while True:
        try:
            return await work()
        except Conflict:
            if loop.time() >= until:
                raise
        await asyncio.sleep(_WRITER_POLL_S)


def job_of(principal: Principal, work: ToRead, job_id: UUID | None = None) -> NewJob:
    """The job that reads these files. Jobs of one store come one after the other: it has one writer at a time."""
    return NewJob(
        kind=KIND,
        principal=principal,
        input=json.encode(work),
        id=job_id or uuid7(),
        subject=store_name(work.store_id),
        max_attempts=ATTEMPTS,
        most_retry_s=60.0,
        order_key=store_name(work.store_id),
    )


def check_attributes(attributes: Attributes) -> None:
    """Raises InvalidRequest."""
    if len(attributes) > _MAX_ATTRIBUTES or any(
        len(key) > _MAX_KEY or "\0" in key or (isinstance(value, str) and (len(value) > _MAX_VALUE or "\0" in value))
        for key, value in attributes.items()
    ):
        raise InvalidRequest(
            f"`attributes` has at most {_MAX_ATTRIBUTES} pairs, with keys of at most {_MAX_KEY} and texts of at most"
            f" {_MAX_VALUE} characters, and no NUL.",
            param="attributes",
        )


def check_chunking(chunking: Chunking | None) -> None:
    """Raises InvalidRequest."""
    if chunking is None:
        return
    if not _MIN_TOKENS <= chunking.max_tokens <= _MAX_TOKENS:
        raise InvalidRequest(
            f"`max_chunk_size_tokens` is a whole number from {_MIN_TOKENS} to {_MAX_TOKENS}.",
            param="chunking_strategy.static.max_chunk_size_tokens",
        )
    if not 0 <= chunking.overlap_tokens <= chunking.max_tokens // 2:
        raise InvalidRequest(
            "`chunk_overlap_tokens` is a whole number from 0 to half of `max_chunk_size_tokens`.",
            param="chunking_strategy.static.chunk_overlap_tokens",
        )
