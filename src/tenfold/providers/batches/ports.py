"""The seam of a vendor's batch tier. `fake.FakeTier` is the twin of the real ones, under one contract suite."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from tenfold.providers.batches.types import TierLine, TierResult, TierState


class BatchTier(Protocol):
    """Every method raises UpstreamError, its `retryable` as for calls. Ids are the vendor's."""

    def takes(self, path: str) -> bool:
        """Whether it does requests of this path."""
        ...

    async def submit(self, key: str, lines: Sequence[TierLine]) -> str:
        """At least one line, at most MAX_LINES and MAX_BYTES of them. `key` (32 hex digits) is the batch's own name at
        the vendor. Nobody knows after an error whether the batch is there: `find` tells."""
        ...

    async def find(self, key: str, since: datetime, count: int) -> str | None:
        """A batch of so many lines that was submitted under this key after `since`. None: there is none. Raises
        UpstreamError (retryable) where the vendor does not tell yet."""
        ...

    async def state(self, batch_id: str) -> TierState: ...

    def results(self, batch_id: str) -> AsyncIterator[TierResult]:
        """Of one that has ended, in any order; lines that nothing came of are left out."""
        ...

    async def cancel(self, batch_id: str) -> None:
        """It ends soon, with what is done. One that has ended stays as it is."""
        ...
