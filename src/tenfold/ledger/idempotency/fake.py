"""Idempotency keys in memory, for tests of whatever stands on them; under the contract suite of the real ones."""

import asyncio
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.ledger.idempotency.types import Claim, Claimed, Found, StoredReply


@dataclass
class _Row:
    claim: Claim
    expires_s: float
    state: Found = "in_flight"
    reply: StoredReply | None = None


class FakeIdempotencyRows:
    """Set `away` to make every call raise StoreUnavailable; `lose_answer` to raise it after the work was done, as when
    the connection breaks during the commit. `receipts` are the ids of the calls that have one."""

    def __init__(self, clock: Clock) -> None:
        self.away = False
        self.lose_answer = False
        self.receipts: set[UUID] = set()
        self._clock = clock
        self._rows: dict[tuple[TenantId, bytes], _Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def states(self) -> list[Found]:
        """Of the keys, in the order of their claims."""
        return [row.state for row in self._rows.values()]

    @property
    def holders(self) -> set[UUID]:
        """Of all keys."""
        return {row.claim.holder for row in self._rows.values()}

    async def claim(self, claim: Claim, *, keep_s: float) -> Claimed:
        await self._reach()
        at = claim.tenant_id, claim.key
        row = self._rows.get(at)
        if row is None or self._expired(row):
            self._rows.pop(at, None)
            self._rows[at] = _Row(claim, self._clock.monotonic_s() + keep_s)
            answer = Claimed(found="new")
        elif row.claim.request_hash != claim.request_hash:
            answer = Claimed(found="mismatch")
        elif row.state == "in_flight" and row.claim.call_id == claim.call_id:
            answer = Claimed(found="new")
        else:
            first = None if row.state == "done" else (row.claim.call_id, row.claim.call_at)
            answer = Claimed(found=row.state, reply=row.reply, first=first)
        self._answer()
        return answer

    async def finish(self, claim: Claim, reply: StoredReply) -> None:
        await self._reach()
        row = self._held(claim)
        if row is not None:
            row.state, row.reply = "done", reply
        self._answer()

    async def interrupt(self, claim: Claim, why: Literal["interrupted", "too_large"]) -> None:
        await self._reach()
        row = self._held(claim)
        if row is not None:
            row.state = why
        self._answer()

    async def release(self, claim: Claim) -> None:
        await self._reach()
        if self._held(claim) is not None:
            del self._rows[claim.tenant_id, claim.key]
        self._answer()

    async def tenants_in_flight(self, holder: UUID) -> list[TenantId]:
        await self._reach()
        return list({tenant_id for (tenant_id, _), row in self._rows.items() if self._is_held_by(row, holder)})

    async def settle_holder(self, tenant_id: TenantId, holder: UUID) -> tuple[int, int]:
        await self._reach()
        held = [row for (of, _), row in self._rows.items() if of == tenant_id and self._is_held_by(row, holder)]
        begun = [row for row in held if row.claim.call_id in self.receipts]
        for row in held:
            if row in begun:
                row.state = "interrupted"
            else:
                del self._rows[tenant_id, row.claim.key]
        self._answer()
        return len(begun), len(held) - len(begun)

    async def tenants_expired(self) -> list[TenantId]:
        await self._reach()
        return list({tenant_id for (tenant_id, _), row in self._rows.items() if self._expired(row)})

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        await self._reach()
        expired = [at for at, row in self._rows.items() if at[0] == tenant_id and self._expired(row)][:limit]
        for at in expired:
            del self._rows[at]
        self._answer()
        return len(expired)

    def _held(self, claim: Claim) -> _Row | None:
        row = self._rows.get((claim.tenant_id, claim.key))
        held = row is not None and row.claim.call_id == claim.call_id and row.state == "in_flight"
        return row if held else None

    def _is_held_by(self, row: _Row, holder: UUID) -> bool:
        return row.claim.holder == holder and row.state == "in_flight"

    def _expired(self, row: _Row) -> bool:
        return row.expires_s <= self._clock.monotonic_s()

    async def _reach(self) -> None:
        await asyncio.sleep(0)  # as a database would, let others run
        if self.away:
            raise StoreUnavailable("The database is not reachable at the moment.")

    def _answer(self) -> None:
        if self.lose_answer:
            raise StoreUnavailable("The connection to the database was lost.")
