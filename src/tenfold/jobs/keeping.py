"""What is done with ended jobs in the course of time: they go when they were kept long enough, and dead letters that
nobody looks after are told of.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from tenfold.core.errors import TenfoldError
from tenfold.jobs.ports import JobRows
from tenfold.jobs.types import DeadLetters
from tenfold.store import expire

logger = logging.getLogger(__name__)

EXPIRE_EVERY_S = 300.0
LOOK_EVERY_S = 60.0
ALERT_AFTER_S = 86_400.0
BATCH_JOBS = 100  # a result may be megabytes

Alert = Callable[[Sequence[DeadLetters]], Awaitable[None]]


async def expire_jobs(rows: JobRows) -> int:
    """How many there were. Raises StoreUnavailable."""
    return await expire(rows, batch=BATCH_JOBS)


class DeadLetterWatch:
    """`run` until cancelled. `alert` is told of the tenants whose dead letters are older than `older_than_s`: when one
    comes to it, and again when there are more. With an empty sequence when there are none any more."""

    def __init__(
        self,
        rows: JobRows,
        alert: Alert,
        *,
        older_than_s: float = ALERT_AFTER_S,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._rows = rows
        self._alert = alert
        self._older_than_s = older_than_s
        self._every_s = every_s
        self._told: dict[object, int] = {}  # by tenant, how many
        self.count = 0  # of all tenants, when it looked last

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except TenfoldError as error:  # the database is away, or who is to be told
                logger.info("dead letters are told of later: %s", error.message)
            except Exception:  # edge of a task: whoever is told may fail, and is told again
                logger.exception("an alert of dead letters failed")
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """Raises StoreUnavailable, and what `alert` raises; then it is told again."""
        found = await self._rows.dead_letters(older_than_s=self._older_than_s)
        self.count = sum(one.count for one in found)
        counts: dict[object, int] = {one.tenant_id: one.count for one in found}
        more = [one for one in found if one.count > self._told.get(one.tenant_id, 0)]
        if more or (self._told and not found):
            await self._alert(more)
        self._told = counts
