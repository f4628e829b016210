"""The seams of this part: batches at rest (`BatchRows`), and the calls of their lines (`LineCaller`). `fake` has the
in-memory twins.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

from tenfold.core.call import CallOptions
from tenfold.core.errors import TenfoldError
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.background import Cancellable
from tenfold.inference.batches.types import Batch, Ended, Endpoint, LineError, LineResult, Spec
from tenfold.jobs.ports import JobContext

Why = Literal["all", "cancelled", "late"]
"""Why the work is over: there is none left, somebody cancelled it, its window has closed."""


class BatchRows(Protocol):
    """Every method raises StoreUnavailable while the database is away; it may have done its work all the same, and can
    be called again. What is asked of another tenant's batch finds nothing. All times are the database's. Methods that
    change a batch do so only from the status they name, and tell it as it then is; None: there is none."""

    async def add(self, spec: Spec) -> Batch:
        """Validating. One that is there already is told as it is."""
        ...

    async def find(self, tenant_id: TenantId, batch_id: UUID) -> Batch | None: ...

    async def page(self, tenant_id: TenantId, *, after: UUID | None, limit: int) -> list[Batch]:
        """The newest first, from after this one on."""
        ...

    async def begin(self, tenant_id: TenantId, batch_id: UUID, *, total: int, model: str | None) -> Batch | None:
        """One that was validating is in progress."""
        ...

    async def done(self, tenant_id: TenantId, batch_id: UUID) -> list[int]:
        """The lines that have results."""
        ...

    async def record(self, tenant_id: TenantId, batch_id: UUID, results: Sequence[LineResult]) -> Batch | None:
        """Results of lines, counted with it; a line keeps the first one it gets. Not of one that has ended."""
        ...

    async def finalize(self, tenant_id: TenantId, batch_id: UUID, *, lapsed: bool) -> Batch | None:
        """One that was in progress gets no more results but for those that `lapsed` tells of."""
        ...

    async def results(self, tenant_id: TenantId, batch_id: UUID, *, failed: bool, after: int) -> list[LineResult]:
        """In the order of lines, from after this one on: some, about 4 MiB at most; none at the end. Only `line`,
        `failed` and `data` are told."""
        ...

    async def end(
        self,
        tenant_id: TenantId,
        batch_id: UUID,
        status: Ended,
        *,
        errors: Sequence[LineError] = (),
        output: UUID | None = None,
        refused: UUID | None = None,
        keep_s: float,
    ) -> Batch | None:
        """In one transaction: it has ended, and these drafts of files (see tenfold.inference.files) are whole, for so
        long. None: it has ended already, and nothing is changed."""
        ...

    async def clear(self, tenant_id: TenantId, batch_id: UUID, *, limit: int) -> int:
        """Deletes up to so many results of one that has ended; how many there were."""
        ...

    async def cancel(self, tenant_id: TenantId, batch_id: UUID) -> Batch | None:
        """One that was validating is cancelled; one in progress is cancelling."""
        ...

    async def tenants_old(self) -> list[TenantId]:
        """Where batches can be deleted, or are overdue."""
        ...

    async def overdue(self, tenant_id: TenantId, *, limit: int) -> list[Batch]:
        """Those that have not ended an hour after their window."""
        ...

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        """Deletes up to so many that ended long enough ago; how many there were."""
        ...


class LineReply(Struct, frozen=True, kw_only=True):
    """What came of the call of a line. `error` is in `body`, too, as the dialect says it."""

    request_id: str
    status: int
    body: bytes
    cost_nano: int = 0
    error: TenfoldError | None = None


class LineCaller(Protocol):
    async def ask(
        self,
        job: Cancellable,
        principal: Principal,
        endpoint: Endpoint,
        body: bytes,
        options: CallOptions,
        key: str,
    ) -> LineReply:
        """Raises StoreUnavailable, Overloaded, IdempotencyInFlight: nothing was asked, try again later."""
        ...


class Elsewhere(Protocol):
    """Who may do lines of a batch before they are asked one by one. See tenfold.inference.handover."""

    async def run(
        self, job: JobContext, batch: Batch, endpoint: Endpoint, content: Callable[[], AsyncIterator[bytes]]
    ) -> Why:
        """Returns when no more comes from there; lines that have no result then are left. Raises JobLost,
        StoreUnavailable, Conflict (the input file is gone)."""
        ...
