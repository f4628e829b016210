"""Durable work in one process: the rows, who asks for jobs, who does them, and what is counted of both."""

import logging
from collections import Counter
from collections.abc import Collection, Coroutine, Iterable, Sequence
from typing import Any

from msgspec import json

from tenfold.app.alerts import Receiver
from tenfold.app.settings import Settings
from tenfold.app.telemetry.metrics import SECONDS, Figure, Histogram, Labels, seconds
from tenfold.core.clock import Clock
from tenfold.core.errors import UpstreamUnavailable
from tenfold.core.ids import uuid7
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.keeping import EXPIRE_EVERY_S, DeadLetterWatch, expire_jobs
from tenfold.jobs.ports import Handler, Weight
from tenfold.jobs.queries import PostgresJobRows
from tenfold.jobs.types import DeadLetters, Work
from tenfold.jobs.worker import JobWorker
from tenfold.store import Store, keep

logger = logging.getLogger(__name__)

GRACE_S = 5.0  # for the jobs under way when the process is to stop


class Background:
    """`jobs` can be asked from the start; `work` once the handlers are there; run each of `tasks`; `stop`, then cancel
    the tasks, then `aclose`."""

    def __init__(
        self, settings: Settings, store: Store, clock: Clock, *, kinds: Collection[str], weight: Weight
    ) -> None:
        given = settings.jobs
        self._settings = given
        self._store = store
        self._clock = clock
        self.rows = PostgresJobRows(store)
        self.followers = Followers(self.rows)
        self.counts = JobCounts()
        self.jobs = JobService(
            self.rows,
            kinds,
            followers=self.followers,
            clock=clock,
            weight=weight,
            most_waiting=given.max_waiting,
            most_waiting_bytes=given.max_waiting_bytes,
            most_in_all=given.max_waiting_all,
            max_input_bytes=given.max_input_bytes,
        )
        self.worker: JobWorker | None = None
        self._receiver: Receiver | None = None
        self._dead_letters = DeadLetterWatch(self.rows, self._tell_dead, older_than_s=given.dead_letter_alert_s)

    def work(self, handlers: Iterable[Handler], receiver: Receiver | None) -> None:
        """From here on this process does jobs. `receiver` is told of dead letters that nobody looks after."""
        self._receiver = receiver
        self.worker = JobWorker(
            self.rows,
            handlers,
            clock=self._clock,
            hints=self._store,
            observer=self.counts,
            slots=self._settings.slots,
        )
        self.jobs.begin_in(self.worker)

    def tasks(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "app.job_followers", self.followers.run(self._store)
        if self.worker is not None:
            yield "app.jobs", self.worker.run()
            expiry = keep(lambda: expire_jobs(self.rows), every_s=EXPIRE_EVERY_S, otherwise="jobs are not expired")
            yield "app.jobs_expiry", expiry
            yield "app.dead_letters", self._dead_letters.run()

    async def stop(self) -> None:
        """No job is begun any more; those under way may end, or are given back."""
        if self.worker is not None:
            await self.worker.stop(GRACE_S)

    async def aclose(self) -> None:
        await self.jobs.aclose()
        await self.rows.aclose()

    def figures(self) -> Iterable[Figure]:
        """For /metrics."""
        worker = self.worker
        if worker is not None:
            yield "tenfold_jobs_busy_slots", (), worker.busy
            state = worker.state
            if state is not None:
                yield "tenfold_jobs_waiting", (), state.waiting
                yield "tenfold_jobs_later", (), state.later
                yield "tenfold_jobs_running", (), state.running
                yield "tenfold_jobs_oldest_wait_seconds", (), state.oldest_wait_s
            yield "tenfold_jobs_dead_letters", (), self._dead_letters.count
        yield from self.counts.figures()

    async def _tell_dead(self, found: Sequence[DeadLetters]) -> None:
        """Of dead letters that nobody looks after; none: there are no more."""
        for each in found:
            logger.warning(
                "tenant %s has %d dead letters, the oldest for %.0f s; look with `tenfold jobs list --state failed`",
                each.tenant_id,
                each.count,
                each.oldest_age_s,
            )
        if self._receiver is not None:
            told = [{"tenant_id": each.tenant_id, "count": each.count, "age_s": each.oldest_age_s} for each in found]
            body = json.encode({"type": "jobs.dead_letters", "timestamp": self._clock.now(), "data": told})
            error = await self._receiver.post(f"evt_{uuid7().hex}", body)
            if error is not None:
                raise UpstreamUnavailable(f"The alerts' webhook did not take it: {error}")


class JobCounts:
    """Implements `jobs.ports.Observer`."""

    def __init__(self) -> None:
        self._ended: Counter[tuple[str, str]] = Counter()
        self._taken_over = 0
        self._waits: dict[str, Histogram] = {}  # by kind
        self._runs: dict[str, Histogram] = {}

    def started(self, work: Work, waited_s: float) -> None:
        self._waits.setdefault(work.job.kind, seconds()).observe(SECONDS, waited_s)

    def ended(self, work: Work, how: str, ran_s: float) -> None:
        self._ended[work.job.kind, how] += 1
        self._runs.setdefault(work.job.kind, seconds()).observe(SECONDS, ran_s)

    def taken_over(self, jobs: int) -> None:
        self._taken_over += jobs

    def figures(self) -> Iterable[Figure]:
        for (kind, how), count in self._ended.items():
            yield "tenfold_jobs_ended_total", (("kind", kind), ("how", how)), count
        yield "tenfold_jobs_taken_over_total", (), self._taken_over

    def histograms(self) -> Iterable[tuple[str, Labels, Histogram]]:
        for kind, waits in self._waits.items():
            yield "tenfold_jobs_wait_seconds", (("kind", kind),), waits
        for kind, runs in self._runs.items():
            yield "tenfold_jobs_run_seconds", (("kind", kind),), runs
