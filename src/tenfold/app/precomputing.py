"""Frequent questions answered ahead of time, put together: counting in every process, runs where jobs are done."""

from collections.abc import Coroutine, Iterable
from datetime import UTC, time, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

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
from tenfold.core.ids import TenantId
from tenfold.core.money import from_usd
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.inference.background import BackgroundCaller
from tenfold.jobs.ports import Handler, Jobs
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
        self._daily = Daily(rows, jobs, _Operator(tenants), clock, at=time_of(policy.at), zone=zone_of(policy.zone))
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


class _Operator:
    """Who acts for a tenant at night: nobody of its own. Implements `precompute.ports.Principals`."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def __call__(self, tenant_id: TenantId) -> Principal:
        tenant = await self._tenants.tenant_of(tenant_id)
        scopes = frozenset({SCOPE_INFERENCE})
        return Principal(tenant_id=tenant.id, tenant_slug=tenant.slug, scopes=scopes, plan=tenant.plan)


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


def time_of(at: str) -> time:
    """Of "hh:mm". Raises ValueError."""
    hour, _, minute = at.partition(":")
    if len(hour) != 2 or len(minute) != 2:
        raise ValueError("a time of day is hh:mm, such as 03:00")
    return time(int(hour), int(minute))


def zone_of(name: str) -> tzinfo:
    """Raises ValueError, ZoneInfoNotFoundError (a KeyError)."""
    return UTC if name == "UTC" else ZoneInfo(name)
