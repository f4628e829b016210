"""A worker: claims jobs when it is hinted that there are some, does as many at once as it has slots, and says that it
lives. Whose heart was not heard is dead to the others, which take over; one that could not be heard stops by itself
before that.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from uuid import UUID

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.jobs.attempt import Attempt
from tenfold.jobs.ports import READY, Handler, HintFeed, JobRows, Observer
from tenfold.jobs.rules import room_left
from tenfold.jobs.types import Held, QueueState, Room, Work

logger = logging.getLogger(__name__)

SLOTS = 32
POLL_S = 1.0  # the net below the hints
BEAT_S = 1.0
DEAD_AFTER_S = 5.0
PATIENCE_S = 4.0  # unheard for so long a worker stops its jobs: before anybody takes them over
LOOK_S = 0.5  # for wishes to cancel
LOOK_FOR_DEAD_S = 1.0
GIVE_BACK_S = 3.0
_MAX_CLAIM = 32
_GATHER_S = 0.01
_HEART_MARGIN_S = 0.01

_Key = tuple[TenantId, UUID, int]


class JobWorker:
    """`run` until cancelled, but `stop` first: what is cancelled without is like a crash. `state` is that of all
    queues, as of the last heartbeat."""

    def __init__(
        self,
        rows: JobRows,
        handlers: Iterable[Handler],
        *,
        clock: Clock,
        hints: HintFeed | None = None,
        observer: Observer | None = None,
        slots: int = SLOTS,
        poll_s: float = POLL_S,
        beat_s: float = BEAT_S,
        dead_after_s: float = DEAD_AFTER_S,
        patience_s: float = PATIENCE_S,
        look_s: float = LOOK_S,
        look_for_dead_s: float = LOOK_FOR_DEAD_S,
    ) -> None:
        self.id = uuid7()
        self.state: QueueState | None = None
        self._rows = rows
        self._handlers = {handler.kind: handler for handler in handlers}
        self._clock = clock
        self._hints = hints
        self._observer = observer
        self._slots = slots
        self._poll_s = poll_s
        self._beat_s = beat_s
        self._dead_after_s = dead_after_s
        self._patience_s = patience_s
        self._look_s = look_s
        self._look_for_dead_s = look_for_dead_s
        self._attempts: dict[_Key, tuple[Attempt, asyncio.Task[None]]] = {}
        self._reserved = 0
        self._ended = 0  # jobs, since this life of the worker began
        self._unknown: set[_Key] = set()  # held, says the database, and we do not know of it
        self._unwritable: set[_Key] = set()
        self._beat_at_s: float | None = None  # when the last heartbeat that was heard was sent
        self._wake = asyncio.Event()
        self._more = False  # the last claim was full: there may be more
        self._sated = False  # or somebody had as many slots as he may
        self._stopping = False
        self._left = False

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(self._handlers)

    @property
    def busy(self) -> int:
        return len(self._attempts) + self._reserved

    @property
    def beating(self) -> bool:
        """Heard of late: nobody takes over what this worker has."""
        return self._beat_at_s is not None and self._clock.monotonic_s() - self._beat_at_s < self._patience_s

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    def room(self) -> Room:
        """For more jobs."""
        running = Counter(tenant_id for tenant_id, _, _ in self._attempts)
        return room_left(self._slots - self.busy, running)

    # -- for jobs that somebody waits for ----------------------------------------------------------

    def reserve(self, kind: str, tenant_id: TenantId) -> bool:
        """A slot for a job that is about to be added with this worker as its holder; `release` it, whatever comes."""
        if self._stopping or not self.beating or kind not in self._handlers or self.room().left(tenant_id) <= 0:
            return False
        self._reserved += 1
        return True

    def release(self) -> None:
        self._reserved -= 1
        self._slot_is_free()

    def begin(self, work: Work, holder: UUID) -> None:
        """A job that `holder`, which this worker was when it claimed it, has. Begun once."""
        key = work.job.tenant_id, work.job.id, work.fence
        if key in self._attempts:
            return
        attempt = Attempt(work, holder, self._handlers[work.job.kind], self._rows, self._clock)
        if holder != self.id or self._stopping:
            attempt.give_back()
        task = asyncio.create_task(self._do(key, attempt), name=f"job-{work.job.kind}")
        self._attempts[key] = attempt, task

    def want_cancelled(self, tenant_id: TenantId, job_id: UUID) -> None:
        """The wish is in the database. If the job is here, nobody has to look for it."""
        for key, (attempt, _) in list(self._attempts.items()):
            if key[:2] == (tenant_id, job_id):
                attempt.want_cancelled()

    # -- its life ----------------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            if self._hints is not None:
                with suppress(StoreUnavailable):  # it goes on trying
                    await self._hints.listen(READY, lambda _payload: self.wake())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._again_and_again(self.beat, self._beat_s), name="jobs-beat")
                tasks.create_task(self._again_and_again(self.look, self._look_s), name="jobs-look")
                tasks.create_task(self._again_and_again(self.look_for_dead, self._look_for_dead_s), name="jobs-dead")
                tasks.create_task(self._keep_checking_heart(), name="jobs-heart")
                tasks.create_task(self._keep_claiming(), name="jobs-claim")
        finally:
            await self._break_off()

    async def stop(self, grace_s: float) -> None:
        """No job is begun any more; those that run may end within the grace, the others are given back. `run` goes on
        meanwhile: it is what lets the others know that we live."""
        self._stopping = True
        self.wake()
        await self._until_idle(grace_s)
        for attempt, _ in self._attempts.values():
            attempt.give_back()
        await self._until_idle(GIVE_BACK_S)
        if not self._attempts:  # else they are to be looked for among what the dead had
            self._left = True
            with suppress(StoreUnavailable):
                await self._rows.leave(self.id)

    async def beat(self) -> None:
        if self._left:
            return
        holder, sent_s = self.id, self._clock.monotonic_s()
        async with asyncio.timeout(self._patience_s):
            self.state = await self._rows.beat(holder, slots=self._slots, busy=self.busy, ended=self._ended)
        if holder != self.id:
            return  # it came too late for that life
        self._beat_at_s = sent_s
        if self.state.waiting:
            self.wake()

    def check_heart(self) -> None:
        """Unheard for too long: what this worker has may be another's soon. It gives back what it still can, and begins
        a new life, under a new name."""
        if self._beat_at_s is None or self.beating:
            return
        logger.warning("this worker was not heard of, its jobs are stopped", extra={"jobs": len(self._attempts)})
        self.id, self._ended = uuid7(), 0
        self._beat_at_s = None
        self._unknown.clear()
        for attempt, _ in self._attempts.values():
            attempt.give_back()

    async def look(self) -> None:
        """Compares what the database says this worker has with what it does."""
        holder, before = self.id, dict(self._attempts)
        held = {(one.tenant_id, one.job_id, one.fence): one for one in await self._rows.held(holder)}
        for key, (attempt, _) in before.items():
            one = held.pop(key, None)
            if attempt.holder != holder:
                continue
            if one is None:
                if attempt.handling:
                    attempt.lose()
            elif one.cancel_requested:
                attempt.want_cancelled()
        unknown = held.keys() - self._attempts.keys() - self._unwritable
        for key in unknown & self._unknown:  # twice: it is not that its claim is still under way
            await self._adopt(held[key], holder)
        self._unknown = unknown

    async def look_for_dead(self) -> None:
        if not self.beating:
            return  # the others may not be heard either
        taken = await self._rows.take_over(dead_after_s=self._dead_after_s, then=self._after_death)
        if taken:
            logger.warning("jobs of dead workers were taken over", extra={"jobs": taken})
            if self._observer is not None:
                self._observer.taken_over(taken)
            self.wake()

    # -- inside ------------------------------------------------------------------------------------

    def _after_death(self, kind: str) -> str | None:
        handler = self._handlers.get(kind)
        return None if handler is None else handler.after_death

    async def _keep_claiming(self) -> None:
        while not self._stopping:
            if not self._more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s * random.uniform(0.8, 1.2)):  # noqa: S311
                        await self._wake.wait()
            elif self.busy >= self._slots or not self.beating:
                await self._wake.wait()
            if self._more or self._sated:
                await asyncio.sleep(_GATHER_S)  # one claim for several
            self._wake.clear()
            try:
                await self.claim()
            except StoreUnavailable as error:
                self._more = False
                logger.info("no jobs are claimed, the database is away: %s", error.message)
            except Exception:  # edge of a task: it has to go on
                self._more = False
                logger.exception("claiming jobs failed")

    async def claim(self) -> None:
        free = min(self._slots - self.busy, _MAX_CLAIM)
        if free <= 0 or not self.beating or self._stopping:
            self._more = self._more or free <= 0
            return
        holder, room = self.id, self.room()
        self._reserved += free
        try:
            claimed = await self._rows.claim(holder, self._handlers.keys(), limit=free, room=room)
        finally:
            self._reserved -= free
        self._more = len(claimed) == free
        taken = Counter(work.job.tenant_id for work in claimed)
        self._sated = any(room.left(tenant_id) <= taken[tenant_id] for tenant_id in taken.keys() | room.of.keys())
        for work in claimed:
            self.begin(work, holder)

    async def _adopt(self, held: Held, holder: UUID) -> None:
        work = await self._rows.work(held.tenant_id, held.job_id, holder)
        if work is not None and holder == self.id:
            logger.warning("a job whose claim was not answered is begun", extra={"job": held.job_id.hex})
            self.begin(work, holder)

    async def _do(self, key: _Key, attempt: Attempt) -> None:
        work, how = attempt.work, "lost"
        if self._observer is not None:
            self._observer.started(work, work.job.waited_s)
        try:
            how = await attempt.run()
        except Exception:
            logger.exception("a job is left to whoever takes it over", extra={"job": work.job.id.hex})
            self._unwritable.add(key)
        finally:
            del self._attempts[key]
            if how in ("done", "failed", "cancelled"):
                self._ended += 1
            if work.job.crashes:
                self.wake()  # the next one of its kind may begin
            if self._observer is not None:
                self._observer.ended(work, how, self._clock.monotonic_s() - attempt.began_s)
            self._slot_is_free()

    def _slot_is_free(self) -> None:
        if self._more or self._sated:
            self.wake()

    async def _keep_checking_heart(self) -> None:
        while True:
            now_s = self._clock.monotonic_s()
            left_s = self._patience_s - (now_s - (now_s if self._beat_at_s is None else self._beat_at_s))
            await asyncio.sleep(left_s + _HEART_MARGIN_S)
            self.check_heart()

    async def _again_and_again(self, step: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                await step()
            except (StoreUnavailable, TimeoutError) as error:
                logger.info("this worker waits for the database: %s", error)
            except Exception:  # edge of a task: it has to go on
                logger.exception("a worker of jobs stumbled")
            await asyncio.sleep(every_s)

    async def _until_idle(self, within_s: float) -> None:
        if tasks := [task for _, task in self._attempts.values()]:
            await asyncio.wait(tasks, timeout=within_s)

    async def _break_off(self) -> None:
        tasks = [task for _, task in self._attempts.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
