"""Stored responses in memory, for tests of whatever stands on them; under the contract suite of the real ones. And a
search of files that finds what it is told to.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from msgspec import structs

from tenfold.core.clock import Clock
from tenfold.core.errors import NotFound, StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.responses.types import (
    FoundPassage,
    JsonObject,
    Keyed,
    Link,
    NewResponse,
    Status,
    StoredResponse,
)

At = tuple[TenantId, UUID]


class FakeResponseRows:
    """Set `away` to make every call raise StoreUnavailable."""

    def __init__(self, clock: Clock) -> None:
        self.away = False
        self._clock = clock
        self._rows: dict[At, StoredResponse] = {}
        self._keys: dict[tuple[TenantId, bytes], Keyed] = {}

    def __len__(self) -> int:
        return len(self._rows)

    async def add(self, new: NewResponse, *, keep_s: float, key_s: float) -> StoredResponse:
        await self._reach()
        at = new.tenant_id, new.id
        if at in self._rows:
            return self._rows[at]
        known = None if new.key is None else self._keyed(new.tenant_id, new.key, key_s)
        if known is not None:
            return self._rows[new.tenant_id, known.id]
        now = self._clock.now()
        self._rows[at] = StoredResponse(
            tenant_id=new.tenant_id,
            id=new.id,
            previous_id=new.previous_id,
            background=new.background,
            stream=new.stream,
            status=new.status,
            model=new.model,
            request=new.request,
            input=new.input,
            response=new.response,
            cost_nano=new.cost_nano,
            created_at=now,
            expires_at=now + timedelta(seconds=keep_s),
        )
        if new.key is not None:
            self._keys[new.tenant_id, new.key] = Keyed(id=new.id, request_hash=new.request_hash or b"")
        return self._rows[at]

    async def keyed(self, tenant_id: TenantId, key: bytes, *, key_s: float) -> Keyed | None:
        await self._reach()
        return self._keyed(tenant_id, key, key_s)

    async def find(self, tenant_id: TenantId, response_id: UUID) -> StoredResponse | None:
        await self._reach()
        return self._live(tenant_id, response_id)

    async def chain(self, tenant_id: TenantId, response_id: UUID, *, most: int, most_bytes: int) -> list[Link]:
        await self._reach()
        links: list[Link] = []
        size = 0
        up: UUID | None = response_id
        while up is not None and len(links) < most and size <= most_bytes:
            row = self._live(tenant_id, up)
            if row is None:
                break
            size += len(row.input) + len(row.response)
            fits = size <= most_bytes
            links.append(
                Link(
                    id=row.id,
                    previous_id=row.previous_id,
                    status=row.status,
                    input=row.input if fits else None,
                    response=row.response if fits else None,
                )
            )
            up = row.previous_id
        return links

    async def begin(self, tenant_id: TenantId, response_id: UUID) -> StoredResponse | None:
        await self._reach()
        row = self._live(tenant_id, response_id)
        if row is not None and (row.status == "queued" or row.died):
            row = self._change(row, status="in_progress", died=False)
        return row

    async def finish(
        self,
        tenant_id: TenantId,
        response_id: UUID,
        status: Status,
        response: bytes | None,
        *,
        cost_nano: int = 0,
        died: bool = False,
    ) -> bool:
        await self._reach()
        row = self._rows.get((tenant_id, response_id))
        if row is None or row.ended:
            return False
        self._change(
            row,
            status=status,
            response=row.response if response is None else response,
            cost_nano=row.cost_nano + cost_nano,
            died=died,
            request=row.request if died else b"",
        )
        return True

    async def amend(self, tenant_id: TenantId, response_id: UUID, response: bytes, *, cost_nano: int) -> bool:
        await self._reach()
        row = self._rows.get((tenant_id, response_id))
        if row is None or row.status != "cancelled":
            return False
        self._change(row, response=response, cost_nano=cost_nano)
        return True

    async def remove(self, tenant_id: TenantId, response_id: UUID) -> StoredResponse | None:
        await self._reach()
        row = self._live(tenant_id, response_id)
        if row is not None:
            self._drop((tenant_id, response_id))
        return row

    async def tenants_expired(self) -> list[TenantId]:
        await self._reach()
        return list({at[0] for at, row in self._rows.items() if self._is_late(row)})

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        await self._reach()
        late = [at for at, row in self._rows.items() if at[0] == tenant_id and self._is_late(row)][:limit]
        for at in late:
            self._drop(at)
        return len(late)

    def _drop(self, at: At) -> None:
        del self._rows[at]
        self._keys = {key: keyed for key, keyed in self._keys.items() if (key[0], keyed.id) != at}

    def _change(self, row: StoredResponse, **how: object) -> StoredResponse:
        changed = self._rows[row.tenant_id, row.id] = structs.replace(row, version=row.version + 1, **how)
        return changed

    def _keyed(self, tenant_id: TenantId, key: bytes, key_s: float) -> Keyed | None:
        keyed = self._keys.get((tenant_id, key))
        row = None if keyed is None else self._live(tenant_id, keyed.id)
        if row is None or row.created_at + timedelta(seconds=key_s) <= self._clock.now():
            return None
        return keyed

    def _live(self, tenant_id: TenantId, response_id: UUID) -> StoredResponse | None:
        row = self._rows.get((tenant_id, response_id))
        return None if row is None or self._is_late(row) else row

    def _is_late(self, row: StoredResponse) -> bool:
        return row.expires_at <= self._clock.now()

    async def _reach(self) -> None:
        await asyncio.sleep(0)  # as a database would, let others run
        if self.away:
            raise StoreUnavailable("The database is not reachable at the moment.")


class FakeFileSearcher:
    """`stores`: the passages of each, of one tenant; they are found by any query. Set `away` to make every search raise
    StoreUnavailable. `asked`: the queries of each search, in order."""

    def __init__(self, tenant_id: TenantId, stores: Mapping[str, Sequence[FoundPassage]]) -> None:
        self.away = False
        self.asked: list[tuple[str, ...]] = []
        self.filters: list[JsonObject | None] = []
        self._tenant_id = tenant_id
        self._stores = stores

    async def check(self, principal: Principal, store_ids: Sequence[str]) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("The database is not reachable at the moment.")
        for name in store_ids:
            if principal.tenant_id != self._tenant_id or name not in self._stores:
                raise NotFound(f"There is no vector store '{name}'.", param="vector_store_ids")

    async def search(
        self,
        principal: Principal,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        filters: JsonObject | None = None,
        max_results: int = 20,
        ranking: JsonObject | None = None,
    ) -> list[FoundPassage]:
        self.asked.append(tuple(queries))
        self.filters.append(filters)
        await self.check(principal, store_ids)
        found = [passage for name in store_ids for passage in self._stores[name]]
        return sorted(found, key=lambda passage: -passage.score)[:max_results]
