"""Who follows jobs in this process: any number, at the cost of one subscription to hints.

A hint says of which job something was told; only those that follow it look. As a hint may be lost, a slow round wakes
everybody once in a while; it is no faster for 10,000 that wait than for a hundred.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from tenfold.core.errors import NotFound, StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.jobs.ports import TOLD, HintFeed, JobRows
from tenfold.jobs.types import Job, JobEvent

logger = logging.getLogger(__name__)

ROUND_S = 30.0  # how often everybody looks without a hint, as long as there are at most ROUND_S * MOST_PER_S jobs
MOST_PER_S = 20
PAGE = 50
AT_ONCE = 4  # looks: what follows must not take the connections from what works
AWAY_S = 1.0


class _Topic:
    """A job that is followed."""

    __slots__ = ("followers", "hints", "waiting")

    def __init__(self) -> None:
        self.hints = 0
        self.followers = 0
        self.waiting: set[asyncio.Future[None]] = set()

    def hint(self) -> None:
        self.hints += 1
        waiting, self.waiting = self.waiting, set()
        for one in waiting:
            if not one.done():
                one.set_result(None)

    async def hinted(self, since: int) -> None:
        """More often than `since`."""
        if self.hints != since:
            return
        one = asyncio.get_running_loop().create_future()
        self.waiting.add(one)
        try:
            await one
        finally:
            self.waiting.discard(one)


class Followers:
    """`run` until cancelled, with what hints come from."""

    def __init__(self, rows: JobRows, *, round_s: float = ROUND_S) -> None:
        self._rows = rows
        self._round_s = round_s
        self._topics: dict[str, _Topic] = {}
        self._round: list[str] = []  # those that are still to come
        self._looks = asyncio.Semaphore(AT_ONCE)

    async def run(self, hints: HintFeed) -> None:
        with suppress(StoreUnavailable):  # it goes on trying
            await hints.listen(TOLD, self.hint)
        while True:
            await asyncio.sleep(min(1.0, self._round_s))
            self.step()

    def step(self) -> None:
        """A second's part of the slow round."""
        self._round = self._round or list(self._topics)
        for _ in range(min(MOST_PER_S, 1 + int(len(self._topics) / self._round_s))):
            if self._round and (topic := self._topics.get(self._round.pop())) is not None:
                topic.hint()

    def hint(self, payload: str) -> None:
        """`<tenant>:<job>`; "": hints may have been lost."""
        if not payload:
            for topic in list(self._topics.values()):
                topic.hint()
        elif (found := self._topics.get(payload)) is not None:
            found.hint()

    async def follow(self, tenant_id: TenantId, job_id: UUID, *, after: int = 0) -> AsyncGenerator[JobEvent, None]:
        """See `ports.Jobs.follow`."""
        known = False
        with self._topic(tenant_id, job_id) as topic:
            while True:
                seen = topic.hints
                try:
                    events, job = await self._look(tenant_id, job_id, after)
                except StoreUnavailable as error:
                    if not known:
                        raise
                    logger.info("a job is not followed, the database is away: %s", error.message)
                    await asyncio.sleep(AWAY_S)
                    continue
                known = True
                for event in events:
                    after = event.seq
                    yield event
                if job is not None and job.ended and not events:
                    return
                if job is not None and not events:
                    await topic.hinted(seen)

    async def wait(self, tenant_id: TenantId, job_id: UUID, timeout_s: float) -> Job:
        """See `ports.Jobs.wait`. Raises NotFound, StoreUnavailable."""
        job = None
        try:
            async with asyncio.timeout(timeout_s):
                with self._topic(tenant_id, job_id) as topic:
                    while True:
                        seen = topic.hints
                        try:
                            job = await self._find(tenant_id, job_id)
                        except StoreUnavailable:
                            if job is None:
                                raise
                            await asyncio.sleep(AWAY_S)
                            continue
                        if job.ended:
                            return job
                        await topic.hinted(seen)
        except TimeoutError:
            return job if job is not None else await self._find(tenant_id, job_id)

    # -- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _topic(self, tenant_id: TenantId, job_id: UUID) -> Iterator[_Topic]:
        name = f"{tenant_id.hex}:{job_id.hex}"
        topic = self._topics.setdefault(name, _Topic())
        topic.followers += 1
        try:
            yield topic
        finally:
            topic.followers -= 1
            if not topic.followers:
                del self._topics[name]

    async def _look(self, tenant_id: TenantId, job_id: UUID, after: int) -> tuple[list[JobEvent], Job | None]:
        """What comes next; the job itself only where there is nothing."""
        async with self._looks:
            events = await self._rows.events(tenant_id, job_id, after=after, limit=PAGE)
            if events:
                return events, None
        job = await self._find(tenant_id, job_id)
        if job.ended:  # in between, perhaps
            async with self._looks:
                events = await self._rows.events(tenant_id, job_id, after=after, limit=PAGE)
        return events, job

    async def _find(self, tenant_id: TenantId, job_id: UUID) -> Job:
        async with self._looks:
            job = await self._rows.find(tenant_id, job_id)
        if job is None:
            raise NotFound("There is no such job.")
        return job
