"""The seams of this part. `fake.FakeQuestionRows` is the in-memory twin of `queries.PostgresQuestionRows`, under one
contract suite."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from tenfold.assistant.precompute.types import Ahead, Earned, EndedWhy, Frequent, Noted, Run
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal


class QuestionRows(Protocol):
    """Every method raises StoreUnavailable while the database is away. What is asked of another tenant's finds nothing.
    Days are the database's, in UTC."""

    async def note(self, tenant_id: TenantId, asked: Sequence[Noted], *, min_askers: int) -> None:
        """Counts them. The text is kept of those that so many people have asked by now, in KEEP_DAYS."""
        ...

    async def frequent(self, tenant_id: TenantId, *, limit: int, offset: int = 0) -> list[Frequent]:
        """Those asked in the last WINDOW_DAYS, in the order of their `types.score`, the highest first."""
        ...

    async def begin(self, tenant_id: TenantId, run_id: UUID, *, budget_nano: int) -> Run:
        """The run, as it is where it has begun."""
        ...

    async def paid(self, tenant_id: TenantId, run_id: UUID, digest: bytes, cost_nano: int) -> None:
        """A call was paid for. Told once more after StoreUnavailable it may count twice."""
        ...

    async def answered(
        self,
        tenant_id: TenantId,
        run_id: UUID,
        digest: bytes,
        *,
        call_nano: int = 0,
        ahead: Ahead | None = None,
        documents: Sequence[str] = (),
        degraded: bool = False,
    ) -> None:
        """A question of the run is done; `ahead` None: it has no answer worth keeping. `degraded`: no model answered,
        and what was kept stays. `call_nano`: what a model was paid for it, and each hit saves; 0: what it was paid
        before. Once for each question of a run, however often it is told."""
        ...

    async def end(self, tenant_id: TenantId, run_id: UUID, why: EndedWhy) -> None:
        """It stays as it has ended the first time."""
        ...

    async def runs(self, tenant_id: TenantId, *, limit: int, before: UUID | None = None) -> list[Run]:
        """The latest first."""
        ...

    async def earned(self, tenant_id: TenantId) -> Earned: ...

    async def ahead(self, tenant_id: TenantId, *, limit: int) -> list[Ahead]:
        """Answers whose documents are as they were, of the most asked questions first."""
        ...

    async def tenants_asked(self) -> list[TenantId]:
        """Where `frequent` finds any."""
        ...

    async def tenants_expired(self) -> list[TenantId]:
        """Where something was counted more than KEEP_DAYS ago."""
        ...

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        """It goes, and so do the words of what nobody has asked since. At most about so many rows; how many there
        were."""
        ...


class Principals(Protocol):
    async def __call__(self, tenant_id: TenantId) -> Principal:
        """Who acts for the tenant. Raises NotFound, StoreUnavailable."""
        ...
