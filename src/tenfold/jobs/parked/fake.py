"""Parked calls in memory, for tests of whatever stands on them; under the contract suite of the real ones."""

import asyncio
from datetime import timedelta
from uuid import UUID

from msgspec import structs

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.jobs.parked.types import Ended, ParkedCall, Ticket


class FakeParkedRows:
    """Set `away` to make every call raise StoreUnavailable."""

    def __init__(self, clock: Clock) -> None:
        self.away = False
        self._clock = clock
        self._calls: dict[tuple[TenantId, UUID], ParkedCall] = {}  # of those that wait
        self._tickets: dict[tuple[TenantId, UUID], Ticket] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    async def add(self, call: ParkedCall, *, keep_s: float, most: int, most_bytes: int) -> Ticket | None:
        await self._reach()
        at = call.tenant_id, call.id
        if at not in self._tickets:
            bodies = [self._calls[of].body for of in self._calls if of[0] == call.tenant_id and not self._is_late(of)]
            if len(bodies) >= most or sum(map(len, bodies)) + len(call.body) > most_bytes:
                return None
            now = self._clock.now()
            self._calls[at] = call
            self._tickets[at] = Ticket(
                tenant_id=call.tenant_id,
                call_id=call.id,
                state="waiting",
                operation=call.operation,
                dialect=call.dialect,
                model=call.model,
                feature=call.options.feature,
                created_at=now,
                expires_at=now + timedelta(seconds=keep_s),
            )
        return self._told(at)

    async def find(self, tenant_id: TenantId, call_id: UUID) -> Ticket | None:
        await self._reach()
        return self._told((tenant_id, call_id)) if (tenant_id, call_id) in self._tickets else None

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Ticket]:
        await self._reach()
        mine = sorted((at for at in self._tickets if at[0] == tenant_id), key=lambda at: at[1], reverse=True)
        found = [at for at in mine if before is None or at[1] < before][:limit]
        return [structs.replace(self._told(at), reply=None) for at in found]

    async def load(self, tenant_id: TenantId, call_id: UUID) -> ParkedCall | None:
        await self._reach()
        at = tenant_id, call_id
        return self._calls[at] if at in self._calls and not self._is_late(at) else None

    async def finish(
        self,
        tenant_id: TenantId,
        call_id: UUID,
        state: Ended,
        *,
        http_status: int,
        keep_s: float,
        error_code: str | None = None,
        reply: bytes | None = None,
    ) -> bool:
        await self._reach()
        at = tenant_id, call_id
        if at not in self._calls or self._is_late(at):
            return False
        del self._calls[at]
        self._tickets[at] = structs.replace(
            self._tickets[at],
            state=state,
            http_status=http_status,
            error_code=error_code,
            reply=reply,
            ended_at=self._clock.now(),
            expires_at=self._clock.now() + timedelta(seconds=keep_s),
        )
        return True

    async def remove(self, tenant_id: TenantId, call_id: UUID) -> bool:
        await self._reach()
        self._calls.pop((tenant_id, call_id), None)
        return self._tickets.pop((tenant_id, call_id), None) is not None

    async def tenants_expired(self) -> list[TenantId]:
        await self._reach()
        return list({at[0] for at in self._tickets if self._is_late(at)})

    async def expire(self, tenant_id: TenantId, *, keep_s: float, limit: int) -> int:
        await self._reach()
        late = [at for at in self._tickets if at[0] == tenant_id and self._is_late(at)]
        old = [at for at in late if at not in self._calls][:limit]
        for at in old:
            del self._tickets[at]
        waited = [at for at in late if at in self._calls][:limit]
        for at in waited:
            del self._calls[at]
            now = self._clock.now()
            self._tickets[at] = structs.replace(
                self._tickets[at], state="expired", ended_at=now, expires_at=now + timedelta(seconds=keep_s)
            )
        return len(old) + len(waited)

    def _is_late(self, at: tuple[TenantId, UUID]) -> bool:
        return self._tickets[at].expires_at <= self._clock.now()

    def _told(self, at: tuple[TenantId, UUID]) -> Ticket:
        ticket = self._tickets[at]
        return structs.replace(ticket, state="expired") if at in self._calls and self._is_late(at) else ticket

    async def _reach(self) -> None:
        await asyncio.sleep(0)  # as a database would, let others run
        if self.away:
            raise StoreUnavailable("The database is not reachable at the moment.")
