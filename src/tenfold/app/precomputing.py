"""Frequent questions answered ahead of time, put together: counting in every process, runs where jobs are done."""

from collections.abc import Coroutine, Iterable
from datetime import time
from typing import Any

from tenfold.access.handlers import Tenants
from tenfold.app.knowledge_tables import PrecomputeSettings
from tenfold.assistant.calling import JobCaller
from tenfold.assistant.ports import Listener
from tenfold.assistant.precompute.counting import Counting
from tenfold.assistant.precompute.daily import Daily
from tenfold.assistant.precompute.handlers import Precompute
from tenfold.assistant.precompute.queries import PostgresQuestionRows
from tenfold.assistant.precompute.running import Run
from tenfold.assistant.precompute.types import KIND, Policy
from tenfold.assistant.tickets.ports import Answerer
from tenfold.core.clock import Clock
from tenfold.core.money import from_usd
from tenfold.inference.background import BackgroundCaller
from tenfold.jobs.ports import Handler, Jobs
from tenfold.jobs.schedules.cron import zone_named
from tenfold.store import Store, expire, keep

KINDS = frozenset({KIND})

_EXPIRE_S = 3600.0
_BATCH = 1_000


class Precomputing:
    """`listener` is for the assistant (None: it is off, and nothing is counted), `services` for the console, `handlers`
    for the worker. Run each of `tasks`, and of `nightly` where jobs are done."""

    def __init__(self, policy: Policy, store: Store, clock: Clock, *, jobs: Jobs, tenants: Tenants) -> None:
        self._policy = policy
        self._rows = rows = PostgresQuestionRows(store)
        self._counting = Counting(rows, min_askers=policy.min_askers)
        at, zone = time.fromisoformat(policy.at), zone_named(policy.zone)
        self._daily = Daily(rows, jobs, tenants.calling_for, clock, at=at, zone=zone)
        self.listener: Listener | None = self._counting if policy.enabled else None
        self.services = Precompute(rows, jobs, policy)

    def handlers(self, answerer: Answerer, caller: BackgroundCaller) -> list[Handler]:
        """`answerer` has no listener."""
        return [Run(self._rows, answerer, lambda job: JobCaller(caller, job), self._policy)]

    def tasks(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        if self._policy.enabled:
            yield "app.questions", self._counting.run()

    def nightly(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        """What was counted goes in its time, also once it is off."""
        yield (
            "app.old_questions",
            keep(
                lambda: expire(self._rows, batch=_BATCH), every_s=_EXPIRE_S, otherwise="old questions are not removed"
            ),
        )
        if self._policy.enabled:
            yield "app.precompute", self._daily.run()


def policy_of(settings: PrecomputeSettings) -> Policy:
    return Policy(
        enabled=settings.enabled,
        at=settings.at,
        zone=settings.zone,
        min_askers=settings.min_askers,
        most_questions=settings.most_questions,
        budget_nano=from_usd(settings.budget_usd),
        public=settings.public,
    )
