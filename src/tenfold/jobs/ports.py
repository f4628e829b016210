"""The seams of this part: jobs at rest (`JobRows`), what the rest of Tenfold asks for (`Jobs`), and what does the work
(`Handler`). `fake.FakeJobRows` is the in-memory twin of `queries.PostgresJobRows`, under one contract suite.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.jobs.types import (
    DeadLetters,
    Ended,
    Held,
    Job,
    JobEvent,
    JobPage,
    NewJob,
    Progress,
    QueueState,
    Result,
    Room,
    State,
    Work,
)


class JobRows(Protocol):
    """Every method raises StoreUnavailable while the database is away; it may have done its work all the same, and can
    be called again. What is asked of another tenant's job finds nothing. All times are the database's."""

    async def add(
        self,
        tenant_id: TenantId,
        jobs: Sequence[NewJob],
        *,
        weight: int,
        most: int,
        most_bytes: int,
        holder: UUID | None = None,
    ) -> list[Job | None]:
        """In their order, all of one tenant, all in one transaction. A job that is there already (by id, or by
        `dedup`) is told as it is. None: so many of the tenant wait, or so many bytes of input, that there is no room.
        `holder`: begun already, by this worker, with fence 1, and needs no room; one with an order_key or a delay waits
        to be claimed all the same. `weight` is the tenant's share of the workers."""
        ...

    async def claim(self, holder: UUID, kinds: Collection[str], *, limit: int, room: Room | None = None) -> list[Work]:
        """Jobs that are due, for this worker from now on. Tenants by turns, each as often as its weight says; of one
        tenant the highest priority first, then the oldest; but every AGED_EVERY-th is the one that was due longest, if
        it was for AGED_S. However many claim at once, each job is one's. One that waits behind another of its order_key
        is not claimed. Of those with which SUSPECT_CRASHES workers died a worker gets one, and no other for SUSPECT_S
        as long as it has that, whatever the `room`.

        While a tenant of weight w waits, each other one, of weight v, has at most floor(v / w) + 1 jobs claimed before
        its next. Of a tenant's jobs one that was due for AGED_S, with n of them due longer, is among the next
        AGED_EVERY * (n + 1) that are claimed."""
        ...

    async def work(self, tenant_id: TenantId, job_id: UUID, holder: UUID) -> Work | None:
        """A job that was added with `holder`. None: it is not this one's (any more)."""
        ...

    async def finish(self, work: Work, holder: UUID, state: Ended, result: Result, **error: str) -> bool:
        """With its last event (rules.ended_event), `result.then`, however many wait, and the `error` (`code`,
        `message`) of a failed one, in one transaction. False: the job was lost to another worker, and nothing is
        written."""
        ...

    async def retry(self, work: Work, holder: UUID, delay_s: float, *, cost_nano: int, code: str, message: str) -> bool:
        """Once more, after so long. False as for `finish`."""
        ...

    async def give_back(self, work: Work, holder: UUID) -> bool:
        """As if it had not been claimed: the worker is stopping. False as for `finish`."""
        ...

    async def tell(
        self, work: Work, holder: UUID, progress: Progress | None, events: Sequence[tuple[str, bytes]], *, after: int
    ) -> bool:
        """Progress and events (kind, data), which followers are hinted of. `after`: the number of the last event before
        these, so that what is told again after StoreUnavailable is there once. False as for `finish`."""
        ...

    async def beat(self, holder: UUID, *, slots: int, busy: int, ended: int) -> QueueState:
        """This worker lives and has ended so many jobs since it joined. What is due becomes ready to be claimed. The
        state is that of all tenants (`dead` is 0)."""
        ...

    async def leave(self, holder: UUID) -> None:
        """An orderly end."""
        ...

    async def take_over(self, *, dead_after_s: float, then: Callable[[str], str | None]) -> int:
        """The jobs of workers that gave no sign of life for so long, by this process's own clock, are ready to be
        claimed again: to be called every second or so, and the first call only looks. One that has now crashed for the
        MAX_CRASHES-th time ends as failed (code `poison`) instead. `then` tells, of the kind of a job that so ends,
        the kind of the job that follows it, as in `Handler.after_death`. How many jobs. Nobody is dead before the
        database itself has been up for so long: till then it is the database that could not see them."""
        ...

    async def find(self, tenant_id: TenantId, job_id: UUID) -> Job | None: ...

    async def result(self, tenant_id: TenantId, job_id: UUID) -> bytes | None:
        """Of one that is done."""
        ...

    async def input(self, tenant_id: TenantId, job_id: UUID) -> bytes | None:
        """Of one that has not ended, or that failed: else nobody needs it any more, and it is gone."""
        ...

    async def page(
        self, tenant_id: TenantId, *, state: State | None, kind: str | None, before: UUID | None, limit: int
    ) -> list[Job]:
        """The newest first, from before this one on."""
        ...

    async def events(self, tenant_id: TenantId, job_id: UUID, *, after: int, limit: int) -> list[JobEvent]: ...

    async def cancel(self, tenant_id: TenantId, job_id: UUID, *, then: Sequence[NewJob] = ()) -> Job | None:
        """One that waits is cancelled at once, with `then`; of one that runs the wish is noted, which its worker sees
        at its next `tell` or heartbeat; one that has ended stays as it is. None: there is none."""
        ...

    async def held(self, holder: UUID) -> list[Held]:
        """The jobs this worker has, as the database sees it, and which of them somebody wants cancelled. It tells of
        claims whose answer was lost, and of jobs that were taken over."""
        ...

    async def redrive(self, tenant_id: TenantId, job_id: UUID) -> Job | None:
        """A failed one waits again, with all its attempts; its cost so far stays. None: there is none that failed."""
        ...

    async def discard(self, tenant_id: TenantId, job_id: UUID) -> bool:
        """An ended one is deleted with all that is kept of it. False: there is none."""
        ...

    async def failed_ids(self, tenant_id: TenantId, *, kind: str | None, limit: int) -> list[UUID]:
        """The oldest first."""
        ...

    async def dead_letters(self, *, older_than_s: float) -> list[DeadLetters]:
        """Of each tenant that has failed jobs which ended so long ago, how many those are. At most 1,000 tenants."""
        ...

    async def state(self, tenant_id: TenantId | None) -> QueueState:
        """Of one tenant, or (None) of all together; workers, slots and drain are always all."""
        ...

    async def tenants_expired(self) -> list[TenantId]:
        """Where ended jobs were kept long enough."""
        ...

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        """Deletes up to so many of them; how many there were."""
        ...


class JobContext(Protocol):
    """What a handler sees of the job it does. See tenfold.jobs.worker."""

    @property
    def work(self) -> Work: ...

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants it cancelled. Then the handler's task is cancelled, too; it may tidy up, and raises
        CancelledError (the job is cancelled) or returns a Result (it was done after all)."""
        ...

    def key(self, step: str) -> str:
        """The Idempotency-Key of a step: the same whoever does the job, however often."""
        ...

    async def progress(self, stage: str = "", done: int = 0, total: int | None = None) -> None:
        """Cheap: written at most a few times a second. Raises JobLost."""
        ...

    async def emit(self, data: bytes) -> None:
        """An "output" event; followers see it within about 0.2 s. Raises JobLost."""
        ...

    def spent(self, cost_nano: int) -> None:
        """The attempt has cost so much more (10^-9 USD): kept also if it fails. `Result.cost_nano` comes on top."""
        ...

    async def flush(self) -> None:
        """What was told is in the database. Raises JobLost, StoreUnavailable."""
        ...


class JobLost(Exception):
    """Another worker has the job: this one stops, and writes nothing."""


class JobCancelled(Exception):
    """What a handler raises in CancelledError's place, if the end of a cancelled job has something to say."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


class Handler(Protocol):
    """Does the jobs of one kind. May be called more than once for the same job: what it does is repeatable, and what is
    paid for goes by `JobContext.key`."""

    kind: str
    after_death: str | None  # the kind of the job that follows one that failed or was poison; see rules.follow_up

    async def run(self, job: JobContext) -> Result:
        """Raises a TenfoldError: tried again if it is `retryable` and attempts are left (`retry_after_s` is heeded),
        else the job has failed. Any other exception is a bug: failed at once, and logged."""
        ...


class Jobs(Protocol):
    """See tenfold.jobs.handlers.JobService."""

    async def enqueue(self, new: NewJob) -> Job:
        """Accepted: it is in the database. Raises InvalidRequest (no such kind), TooLarge, RateLimited (the tenant's
        queue is full), Overloaded (the queues are), with `retry_after_s` of the drain rate; StoreUnavailable."""
        ...

    async def start(self, new: NewJob) -> Job:
        """The same, for one that somebody waits for: begun at once in this process if it has a free slot."""
        ...

    async def get(self, tenant_id: TenantId, job_id: UUID) -> Job:
        """Raises NotFound, StoreUnavailable."""
        ...

    async def result(self, tenant_id: TenantId, job_id: UUID) -> bytes | None: ...

    async def input(self, tenant_id: TenantId, job_id: UUID) -> bytes | None: ...

    async def list(
        self,
        tenant_id: TenantId,
        *,
        state: str | None = None,
        kind: str | None = None,
        cursor: str | None = None,
        limit: int = 20,
    ) -> JobPage:
        """The newest first. Raises InvalidRequest, StoreUnavailable."""
        ...

    async def cancel(self, tenant_id: TenantId, job_id: UUID, *, then: Sequence[NewJob] = ()) -> Job:
        """Raises NotFound, Conflict (it has ended otherwise), StoreUnavailable."""
        ...

    def follow(self, tenant_id: TenantId, job_id: UUID, *, after: int = 0) -> AsyncGenerator[JobEvent, None]:
        """Its events from after this one on, as they come, to the last one of a job that has ended. While nothing
        happens nothing is asked. Raises NotFound; StoreUnavailable only where the first look fails."""
        ...

    async def wait(self, tenant_id: TenantId, job_id: UUID, timeout_s: float) -> Job:
        """As it is when it has ended, or after so long."""
        ...

    async def redrive(self, tenant_id: TenantId, job_id: UUID) -> Job:
        """Raises NotFound, Conflict (it is no dead letter)."""
        ...

    async def redrive_all(self, tenant_id: TenantId, *, kind: str | None = None) -> int: ...

    async def discard(self, tenant_id: TenantId, job_id: UUID) -> None:
        """Raises NotFound, Conflict (it has not ended)."""
        ...

    async def discard_all(self, tenant_id: TenantId, *, kind: str | None = None) -> int:
        """Dead letters only."""
        ...

    async def state(self, tenant_id: TenantId | None) -> QueueState: ...


class HintFeed(Protocol):
    """Where hints are heard: `store.Store` is one. A hint may be lost; whoever waits for one looks by himself, too."""

    async def listen(self, channel: str, callback: Callable[[str], None]) -> None:
        """Raises StoreUnavailable, and goes on trying. After the connection was lost, calls with ""."""
        ...


READY = "tenfold_jobs"  # a hint: some job can be claimed
TOLD = "tenfold_job_events"  # a hint "<tenant>:<job>": something was told of it, or it has ended


class Observer(Protocol):
    """Who counts and measures. Must not raise."""

    def started(self, work: Work, waited_s: float) -> None:
        """`waited_s`: from when it was due to its start."""
        ...

    def ended(self, work: Work, how: str, ran_s: float) -> None:
        """`how`: done, failed, cancelled; retried, given_back, lost."""
        ...

    def taken_over(self, jobs: int) -> None: ...


Weight = Callable[[Principal], int]
"""The share of the workers that the tenant has whose job it is, as its plan has it, say; at least 1."""
