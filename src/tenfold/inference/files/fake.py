"""Files in memory, for tests of whatever stands on them; under the contract suite of the real ones."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from msgspec import structs

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.inference.files.types import File, Removal

_DRAFT_S = 3600.0


class FakeFileRows:
    """Set `away` to make every call raise StoreUnavailable. `in_use` tells of a file whether a batch reads it."""

    def __init__(self, clock: Clock) -> None:
        self.away = False
        self.in_use: Callable[[TenantId, UUID], bool] = lambda _tenant_id, _file_id: False
        self._clock = clock
        self._files: dict[tuple[TenantId, UUID], File] = {}
        self._whole: set[tuple[TenantId, UUID]] = set()
        self._chunks: dict[tuple[TenantId, UUID], list[bytes]] = {}

    def __len__(self) -> int:
        return len(self._files)

    async def begin(self, tenant_id: TenantId, file_id: UUID, filename: str) -> None:
        await self._reach()
        at = tenant_id, file_id
        if at not in self._files:
            now = self._clock.now()
            self._chunks[at] = []
            self._files[at] = File(
                tenant_id=tenant_id,
                id=file_id,
                filename=filename,
                purpose="",
                bytes=0,
                created_at=now,
                expires_at=now + timedelta(seconds=_DRAFT_S),
            )

    async def append(
        self, tenant_id: TenantId, file_id: UUID, number: int, chunks: list[bytes], *, most_bytes: int | None
    ) -> bool:
        await self._reach()
        at, more = (tenant_id, file_id), sum(map(len, chunks))
        all_bytes = sum(file.bytes for of, file in self._files.items() if of[0] == tenant_id)
        if most_bytes is not None and all_bytes + more > most_bytes:
            return False
        if at not in self._files or at in self._whole:
            return False
        assert number == len(self._chunks[at]), "a gap between chunks"
        self._chunks[at] += chunks
        draft = self._files[at]
        until = self._clock.now() + timedelta(seconds=_DRAFT_S)
        self._files[at] = structs.replace(draft, bytes=draft.bytes + more, expires_at=until)
        return True

    async def finish(
        self, tenant_id: TenantId, file_id: UUID, filename: str, purpose: str, *, keep_s: float | None
    ) -> File | None:
        await self._reach()
        return self.finish_now(tenant_id, file_id, filename, purpose, keep_s=keep_s)

    def finish_now(
        self, tenant_id: TenantId, file_id: UUID, filename: str, purpose: str, *, keep_s: float | None
    ) -> File | None:
        """As `finish`, inside of somebody else's transaction."""
        at = tenant_id, file_id
        if at not in self._files or at in self._whole:
            return None
        until = None if keep_s is None else self._clock.now() + timedelta(seconds=keep_s)
        self._whole.add(at)
        self._files[at] = structs.replace(self._files[at], filename=filename, purpose=purpose, expires_at=until)
        return self._files[at]

    async def find(self, tenant_id: TenantId, file_id: UUID) -> File | None:
        await self._reach()
        return self._files[tenant_id, file_id] if self._is_seen((tenant_id, file_id)) else None

    async def page(
        self, tenant_id: TenantId, *, purpose: str | None, after: UUID | None, ascending: bool, limit: int
    ) -> list[File]:
        await self._reach()
        mine = sorted((at for at in self._files if at[0] == tenant_id and self._is_seen(at)), key=lambda at: at[1])
        if not ascending:
            mine.reverse()
        found = [
            self._files[at]
            for at in mine
            if (purpose is None or self._files[at].purpose == purpose)
            and (after is None or (at[1] > after if ascending else at[1] < after))
        ]
        return found[:limit]

    async def chunks(self, tenant_id: TenantId, file_id: UUID, *, start: int, count: int) -> list[bytes]:
        await self._reach()
        at = tenant_id, file_id
        return self._chunks[at][start : start + count] if at in self._whole else []

    async def remove(self, tenant_id: TenantId, file_id: UUID) -> Removal:
        await self._reach()
        at = tenant_id, file_id
        seen = self._is_seen(at)
        if at in self._files:
            if self.in_use(*at):
                return "in_use" if seen else "none"
            self._drop(at)
        return "gone" if seen else "none"

    async def tenants_expired(self) -> list[TenantId]:
        await self._reach()
        return list({at[0] for at in self._files if self._is_late(at)})

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        await self._reach()
        late = [at for at in self._files if at[0] == tenant_id and self._is_late(at) and not self.in_use(*at)][:limit]
        for at in late:
            self._drop(at)
        return len(late)

    def _drop(self, at: tuple[TenantId, UUID]) -> None:
        del self._files[at], self._chunks[at]
        self._whole.discard(at)

    def _is_seen(self, at: tuple[TenantId, UUID]) -> bool:
        return at in self._whole and not self._is_late(at)

    def _is_late(self, at: tuple[TenantId, UUID]) -> bool:
        until = self._files[at].expires_at
        return until is not None and until <= self._clock.now()

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("The database is away.")
