"""The seam of this part: idempotency keys at rest. `fake.FakeIdempotencyRows` is the in-memory twin of
`queries.PostgresIdempotencyRows`, under one contract suite."""

from typing import Literal, Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.ledger.idempotency.types import Claim, Claimed, StoredReply


class IdempotencyRows(Protocol):
    """Every method raises StoreUnavailable while the database is away; it may have done its work all the same, and can
    be called again. What ends a claim does nothing when the key is no longer that call's."""

    async def claim(self, claim: Claim, *, keep_s: float) -> Claimed:
        """Of any number of claims at once exactly one is new. An expired key is taken over."""
        ...

    async def finish(self, claim: Claim, reply: StoredReply) -> None:
        """The call has ended; this is its reply from now on."""
        ...

    async def interrupt(self, claim: Claim, why: Literal["interrupted", "too_large"]) -> None:
        """The call is charged and there is no reply to keep. It is never made again under this key."""
        ...

    async def release(self, claim: Claim) -> None:
        """The call cost nothing: the key is free again."""
        ...

    async def tenants_in_flight(self, holder: UUID) -> list[TenantId]:
        """Where this process has keys in flight."""
        ...

    async def settle_holder(self, tenant_id: TenantId, holder: UUID) -> tuple[int, int]:
        """The process is dead and its receipts are in the database: its keys in flight whose call has a receipt that a
        provider or money stands on are interrupted, the others (no provider was asked) are free again. How many of
        each."""
        ...

    async def tenants_expired(self) -> list[TenantId]:
        """Where keys have expired."""
        ...

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        """Delete up to `limit` expired keys; how many there were."""
        ...
