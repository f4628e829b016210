"""Vector stores in memory, knowledge bases that find by shared words, and a reader of plain text: for tests of whatever
stands on them. `FakeVectorStoreRows` is under the contract suite of the real ones.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from msgspec import UNSET, Struct, structs

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.retrieval.vector_stores.ports import Refusal, ToEmpty
from tenfold.retrieval.vector_stores.types import (
    Adding,
    Attributes,
    FileBatch,
    FileCounts,
    FileError,
    FileStatus,
    NewStore,
    Place,
    StoreChanges,
    StoreFile,
    VectorStore,
)

_IDLE_S = 60.0
_WORD = re.compile(r"\w+")
_Item = TypeVar("_Item")


class _Kept(Struct):
    new: NewStore
    kb: str
    created_at: datetime
    last_active_at: datetime
    expires_at: datetime | None = None
    state: str = "live"
    emptied: bool = False


class _KeptFile(Struct):
    file: StoreFile
    added: UUID
    changed_at: datetime
    begun: bool = False


class _KeptBatch(Struct):
    store_id: UUID
    created_at: datetime
    file_ids: frozenset[UUID]
    cancelled: bool = False


class FakeVectorStoreRows:
    """Set `away` to make every call raise StoreUnavailable. `has_job` tells whether a job of these kinds works on a
    store."""

    def __init__(self, clock: Clock) -> None:
        self.away = False
        self.has_job: Callable[[TenantId, UUID, Sequence[str]], bool] = lambda _tenant_id, _store_id, _kinds: False
        self._clock = clock
        self._stores: dict[tuple[TenantId, UUID], _Kept] = {}
        self._files: dict[tuple[TenantId, UUID, UUID], _KeptFile] = {}
        self._batches: dict[tuple[TenantId, UUID], _KeptBatch] = {}
        self._added = 0

    # -- stores ----------------------------------------------------------------------------------

    async def add(self, new: NewStore, *, most: int) -> VectorStore | None:
        await self._reach()
        return self._add(new, most)

    async def obtain(self, new: NewStore, *, most: int) -> VectorStore | None:
        await self._reach()
        return self._titled(new.tenant_id, new.title) or self._add(new, most)

    def _add(self, new: NewStore, most: int) -> VectorStore | None:
        at = new.tenant_id, new.id
        if at not in self._stores:
            if sum(of[0] == new.tenant_id and kept.state != "deleted" for of, kept in self._stores.items()) >= most:
                return None
            now = self._clock.now()
            kept = _Kept(new=new, kb=f"vs_{new.id.hex}", created_at=now, last_active_at=now)
            self._stores[at] = kept
            self._use(kept)
        return self._told(at)

    async def titled(self, tenant_id: TenantId, title: str) -> VectorStore | None:
        await self._reach()
        return self._titled(tenant_id, title)

    def _titled(self, tenant_id: TenantId, title: str) -> VectorStore | None:
        for at in self._mine(tenant_id):
            if self._stores[at].new.title == title and self._is_live(at):
                return self._told(at)
        return None

    async def find(self, tenant_id: TenantId, store_id: UUID) -> VectorStore | None:
        await self._reach()
        return self._told((tenant_id, store_id))

    async def brief(self, tenant_id: TenantId, store_ids: Sequence[UUID]) -> dict[UUID, VectorStore]:
        await self._reach()
        found = {each: self._told((tenant_id, each)) for each in store_ids}
        return {
            each: structs.replace(store, counts=FileCounts(), usage_bytes=0)
            for each, store in found.items()
            if store is not None
        }

    async def page(self, tenant_id: TenantId, place: Place) -> list[VectorStore]:
        await self._reach()
        found = [store for at in self._mine(tenant_id) if (store := self._told(at)) is not None]
        return _page(place, [(store.id, store) for store in found], place.above, place.below)

    async def update(self, tenant_id: TenantId, store_id: UUID, changes: StoreChanges) -> VectorStore | None:
        await self._reach()
        at = tenant_id, store_id
        if self._is_live(at):
            kept = self._stores[at]
            given = {key: value for key, value in structs.asdict(changes).items() if value is not UNSET}
            kept.new = structs.replace(kept.new, **given)
            self._use(kept)
        return self._told(at)

    async def touch(self, tenant_id: TenantId, store_ids: Sequence[UUID]) -> None:
        await self._reach()
        for store_id in store_ids:
            found = self._told((tenant_id, store_id))
            if found is not None and found.idle and not found.expired:
                self._use(self._stores[tenant_id, store_id])

    async def hide(self, tenant_id: TenantId, store_id: UUID) -> bool:
        await self._reach()
        if self._told((tenant_id, store_id)) is None:
            return False
        kept = self._stores[tenant_id, store_id]
        kept.state, kept.emptied, kept.kb = "deleted", False, f"dropped-{kept.kb}"
        return True

    # -- files -----------------------------------------------------------------------------------

    async def put(self, adding: Adding, *, most: int, most_bytes: int) -> list[StoreFile] | Refusal:
        await self._reach()
        tenant_id, store_id = adding.principal.tenant_id, adding.store_id
        if not self._is_live((tenant_id, store_id)):
            return "gone"
        there = {at[2] for at in self._files if at[:2] == (tenant_id, store_id)}
        used = sum(kept.file.usage_bytes for at, kept in self._files.items() if at[0] == tenant_id)
        if len(there | {new.file_id for new in adding.files}) > most or used >= most_bytes:
            return "full"
        self._use(self._stores[tenant_id, store_id])
        now, found = self._clock.now(), dict[UUID, StoreFile]()
        for new in adding.files:
            at = tenant_id, store_id, new.file_id
            kept = self._files.get(at)
            if kept is None:
                file = StoreFile(
                    tenant_id=tenant_id,
                    store_id=store_id,
                    file_id=new.file_id,
                    job_id=adding.job_id,
                    filename=new.filename,
                    attributes=new.attributes,
                    chunking=new.chunking,
                    status="in_progress",
                    error=None,
                    usage_bytes=0,
                    pages=(),
                    created_at=now,
                )
                self._added += 1
                self._files[at] = _KeptFile(file=file, added=UUID(int=self._added), changed_at=now)
            elif kept.file.status in ("failed", "cancelled") or (kept.file.attributes, kept.file.chunking) != (
                new.attributes,
                new.chunking,
            ):
                self._change(
                    at,
                    job_id=adding.job_id,
                    attributes=new.attributes,
                    chunking=new.chunking,
                    status="in_progress",
                    error=None,
                )
            found[new.file_id] = self._files[at].file
        if adding.batch_id is not None:
            self._batches[tenant_id, adding.batch_id] = _KeptBatch(
                store_id=store_id, created_at=now, file_ids=frozenset(found)
            )
        return list(found.values())

    async def withdraw(self, adding: Adding) -> None:
        await self._reach()
        tenant_id = adding.principal.tenant_id
        if adding.batch_id is not None:
            self._batches.pop((tenant_id, adding.batch_id), None)
        error = FileError(
            code="server_error", message="There was no room for the job that reads it. Add it again later."
        )
        for at in self._to_read(tenant_id, adding.store_id, adding.job_id):
            if self._files[at].file.usage_bytes:
                self._change(at, status="failed", error=error)
            else:
                self._drop(at)

    async def find_file(self, tenant_id: TenantId, store_id: UUID, file_id: UUID) -> StoreFile | None:
        return (await self.files(tenant_id, store_id, [file_id])).get(file_id)

    async def files(self, tenant_id: TenantId, store_id: UUID, file_ids: Iterable[UUID]) -> dict[UUID, StoreFile]:
        await self._reach()
        return {
            file_id: self._files[tenant_id, store_id, file_id].file
            for file_id in file_ids
            if (tenant_id, store_id, file_id) in self._files
        }

    async def stores_of(self, tenant_id: TenantId, file_id: UUID) -> list[UUID]:
        await self._reach()
        return sorted(at[1] for at in self._files if at[0] == tenant_id and at[2] == file_id and self._told(at[:2]))

    async def page_files(
        self,
        tenant_id: TenantId,
        store_id: UUID,
        place: Place,
        *,
        status: FileStatus | None = None,
        batch_id: UUID | None = None,
    ) -> list[StoreFile]:
        await self._reach()
        batch = None if batch_id is None else self._batches.get((tenant_id, batch_id))
        mine = [
            (kept.added, kept.file)
            for at, kept in self._files.items()
            if at[:2] == (tenant_id, store_id)
            and (status is None or kept.file.status == status)
            and (batch_id is None or (batch is not None and at[2] in batch.file_ids))
        ]
        ends = []
        for file_id in (place.above, place.below):
            kept_at = None if file_id is None else self._files.get((tenant_id, store_id, file_id))
            if file_id is not None and kept_at is None:
                return []
            ends.append(None if kept_at is None else kept_at.added)
        return _page(place, mine, *ends)

    async def begin(self, tenant_id: TenantId, store_id: UUID, file_id: UUID, job_id: UUID) -> StoreFile | None:
        await self._reach()
        at = tenant_id, store_id, file_id
        if not self._is_due(at, job_id):
            return None
        self._change(at, begun=True)
        return self._files[at].file

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
        await self._reach()
        at = tenant_id, store_id, file_id
        if not self._is_due(at, job_id):
            return False
        status = "completed" if error is None else "failed"
        self._change(at, status=status, error=error, usage_bytes=usage_bytes, pages=tuple(pages))
        return True

    async def fail(self, tenant_id: TenantId, store_id: UUID, job_id: UUID, error: FileError, *, begun: bool) -> int:
        await self._reach()
        due = [at for at in self._to_read(tenant_id, store_id, job_id) if self._files[at].begun or not begun]
        for at in due:
            self._change(at, status="failed", error=error)
        return len(due)

    async def describe(
        self, tenant_id: TenantId, store_id: UUID, file_id: UUID, attributes: Attributes
    ) -> StoreFile | None:
        await self._reach()
        at = tenant_id, store_id, file_id
        if at not in self._files:
            return None
        self._change(at, attributes=attributes, begun=self._files[at].begun)
        return self._files[at].file

    async def release(self, tenant_id: TenantId, store_id: UUID, file_id: UUID) -> StoreFile | None:
        await self._reach()
        at = tenant_id, store_id, file_id
        if at not in self._files:
            return None
        self._change(at, status="cancelled", job_id=uuid7())
        return self._files[at].file

    async def take_out(self, tenant_id: TenantId, store_id: UUID, file_id: UUID) -> bool:
        await self._reach()
        at = tenant_id, store_id, file_id
        there = at in self._files
        if there:
            self._drop(at)
        return there

    # -- batches ---------------------------------------------------------------------------------

    async def find_batch(self, tenant_id: TenantId, store_id: UUID, batch_id: UUID) -> FileBatch | None:
        await self._reach()
        kept = self._batches.get((tenant_id, batch_id))
        if kept is None or kept.store_id != store_id:
            return None
        return FileBatch(
            tenant_id=tenant_id,
            id=batch_id,
            store_id=store_id,
            created_at=kept.created_at,
            cancelled=kept.cancelled,
            counts=_counts(self._files[tenant_id, store_id, each].file for each in kept.file_ids),
        )

    async def cancel_batch(self, tenant_id: TenantId, store_id: UUID, batch_id: UUID) -> FileBatch | None:
        found = await self.find_batch(tenant_id, store_id, batch_id)
        if found is None or not found.counts.in_progress:
            return found
        kept = self._batches[tenant_id, batch_id]
        kept.cancelled = True
        for file_id in kept.file_ids:
            if self._files[tenant_id, store_id, file_id].file.status == "in_progress":
                self._change((tenant_id, store_id, file_id), status="cancelled")
        return await self.find_batch(tenant_id, store_id, batch_id)

    # -- tidying up ------------------------------------------------------------------------------

    async def tenants_to_tidy(self) -> list[TenantId]:
        await self._reach()
        late = self._clock.now() - timedelta(seconds=_IDLE_S)
        stores = {at[0] for at in self._stores if not self._is_live(at) and not self._stores[at].emptied}
        files = {
            at[0] for at, kept in self._files.items() if kept.file.status == "in_progress" and kept.changed_at <= late
        }
        return list(stores | files)

    async def to_empty(self, tenant_id: TenantId, *, limit: int) -> list[ToEmpty]:
        await self._reach()
        found = [
            ToEmpty(store_id=at[1], kb=kept.kb, deleted=kept.state == "deleted")
            for at, kept in self._stores.items()
            if at[0] == tenant_id and not self._is_live(at) and not kept.emptied
        ]
        return found[:limit]

    async def emptied(self, tenant_id: TenantId, store: ToEmpty) -> None:
        await self._reach()
        at = tenant_id, store.store_id
        for each in [each for each in self._files if each[:2] == at]:
            self._drop(each)
        for batch in [of for of, kept in self._batches.items() if (of[0], kept.store_id) == at]:
            del self._batches[batch]
        if store.deleted:
            self._stores.pop(at, None)
        else:
            self._stores[at].emptied = True

    async def fail_forgotten(self, tenant_id: TenantId, error: FileError, *, kinds: Sequence[str]) -> int:
        await self._reach()
        late = self._clock.now() - timedelta(seconds=_IDLE_S)
        gone = [
            at
            for at, kept in self._files.items()
            if at[0] == tenant_id
            and kept.file.status == "in_progress"
            and kept.changed_at <= late
            and not self.has_job(tenant_id, at[1], kinds)
        ]
        for at in gone:
            self._change(at, status="failed", error=error)
        return len(gone)

    # -- inside ------------------------------------------------------------------------------------

    def _mine(self, tenant_id: TenantId) -> list[tuple[TenantId, UUID]]:
        return sorted((at for at in self._stores if at[0] == tenant_id), key=lambda at: at[1])

    def _use(self, kept: _Kept) -> None:
        kept.last_active_at = self._clock.now()
        days = kept.new.expires_days
        kept.expires_at = None if days is None else kept.last_active_at + timedelta(days=days)

    def _is_live(self, at: tuple[TenantId, UUID]) -> bool:
        kept = self._stores.get(at)
        if kept is None or kept.state != "live":
            return False
        return kept.expires_at is None or kept.expires_at > self._clock.now()

    def _told(self, at: tuple[TenantId, UUID]) -> VectorStore | None:
        kept = self._stores.get(at)
        if kept is None or kept.state == "deleted":
            return None
        files = [each.file for of, each in self._files.items() if of[:2] == at]
        return VectorStore(
            tenant_id=at[0],
            id=at[1],
            title=kept.new.title,
            description=kept.new.description,
            metadata=kept.new.metadata,
            expires_days=kept.new.expires_days,
            expires_at=kept.expires_at,
            expired=not self._is_live(at),
            created_at=kept.created_at,
            last_active_at=kept.last_active_at,
            counts=_counts(files),
            usage_bytes=sum(file.usage_bytes for file in files),
            idle=kept.last_active_at < self._clock.now() - timedelta(seconds=_IDLE_S),
        )

    def _to_read(self, tenant_id: TenantId, store_id: UUID, job_id: UUID) -> list[tuple[TenantId, UUID, UUID]]:
        return [
            at
            for at, kept in self._files.items()
            if at[:2] == (tenant_id, store_id) and kept.file.job_id == job_id and kept.file.status == "in_progress"
        ]

    def _is_due(self, at: tuple[TenantId, UUID, UUID], job_id: UUID) -> bool:
        kept = self._files.get(at)
        due = kept is not None and kept.file.job_id == job_id and kept.file.status == "in_progress"
        return due and self._is_live(at[:2])

    def _change(self, at: tuple[TenantId, UUID, UUID], *, begun: bool = False, **members: Any) -> None:
        kept = self._files[at]
        kept.file = structs.replace(kept.file, **members)
        kept.begun, kept.changed_at = begun, self._clock.now()

    def _drop(self, at: tuple[TenantId, UUID, UUID]) -> None:
        del self._files[at]
        for batch in self._batches.values():
            if batch.store_id == at[1]:
                batch.file_ids -= {at[2]}

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("The database is away.")


def _page(place: Place, items: list[tuple[UUID, _Item]], above: UUID | None, below: UUID | None) -> list[_Item]:
    found = sorted(
        (item for item in items if (above is None or item[0] > above) and (below is None or item[0] < below)),
        key=lambda item: item[0],
        reverse=not place.upwards,
    )
    return place.told([item for _, item in found[: place.limit]])


def _counts(files: Iterable[StoreFile]) -> FileCounts:
    counts = {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0}
    for file in files:
        counts[file.status] += 1
    return FileCounts(**counts)
