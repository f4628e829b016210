"""What a process knows of each tenant: read once when it is first asked for, forgotten when it has changed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from tenfold.core.ids import TenantId

T = TypeVar("T")

MAX_KNOWN = 100_000


class TenantBook(Generic[T]):
    """`get(tenant) or await load(tenant)`. However many ask for one tenant, it is read once at a time."""

    def __init__(self, read: Callable[[TenantId], Awaitable[T]], *, max_known: int = MAX_KNOWN) -> None:
        self._read = read
        self._max_known = max_known
        self._known: dict[TenantId, T] = {}
        self._reading: dict[TenantId, asyncio.Task[T]] = {}

    def get(self, tenant_id: TenantId) -> T | None:
        return self._known.get(tenant_id)

    async def load(self, tenant_id: TenantId) -> T:
        """Raises what `read` raises."""
        known = self._known.get(tenant_id)
        if known is not None:
            return known
        reading = self._reading.get(tenant_id)
        if reading is None:
            reading = self._reading[tenant_id] = asyncio.create_task(self._fetch(tenant_id), name="core.tenant_book")
        return await asyncio.shield(reading)  # others may wait for the same answer

    def forget(self, tenant_id: TenantId | None) -> None:
        """It has changed; None: anything may have. What is being read now may be old already: it is not kept."""
        if tenant_id is None:
            self._known.clear()
            self._reading.clear()
            return
        self._known.pop(tenant_id, None)
        self._reading.pop(tenant_id, None)

    async def _fetch(self, tenant_id: TenantId) -> T:
        task = asyncio.current_task()
        try:
            value = await self._read(tenant_id)
            if self._reading.get(tenant_id) is task:
                if len(self._known) >= self._max_known:
                    del self._known[next(iter(self._known))]
                self._known[tenant_id] = value
            return value
        finally:
            if self._reading.get(tenant_id) is task:
                del self._reading[tenant_id]
