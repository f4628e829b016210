"""The seams of this part in memory, for tests of whatever tells events, or delivers them."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct, json
from msgspec.structs import replace

from tenfold.core.errors import Conflict, InvalidRequest, NotFound, RateLimited, StoreUnavailable, TenfoldError
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.jobs.types import Job, NewJob, Progress
from tenfold.webhooks.types import (
    KIND,
    MAX_ENDPOINTS,
    MAX_WAITING,
    MIN_FAILURES,
    Attempt,
    Delivery,
    DeliveryState,
    DisabledBy,
    Endpoint,
    Event,
)


class FakeOutbox:
    """`told` are the events asked for, in order. Each makes as many jobs as there are `listeners`; the input of such a
    job is the event as JSON."""

    def __init__(self, listeners: int = 1) -> None:
        self.listeners = listeners
        self.told: list[tuple[Principal, Event]] = []

    async def jobs_for(self, principal: Principal, event: Event) -> tuple[NewJob, ...]:
        self.told.append((principal, event))
        return tuple(
            NewJob(kind=KIND, principal=principal, input=json.encode(event), subject=event.resource)
            for _ in range(self.listeners)
        )


class FakeQueue:
    """`added` are the jobs asked for, less those of a `dedup` that is there; `room` how many more there may be."""

    def __init__(self) -> None:
        self.added: list[NewJob] = []
        self.discarded: list[UUID] = []
        self.room = 10_000

    async def enqueue(self, new: NewJob) -> Job:
        for each in self.added:
            if new.dedup is not None and each.dedup == new.dedup:
                return _waiting(each)
        if self.room <= 0:
            raise RateLimited("As many jobs wait already as may.", retry_after_s=1)
        self.room -= 1
        self.added.append(new)
        return _waiting(new)

    async def discard(self, tenant_id: TenantId, job_id: UUID) -> None:
        if job_id in self.discarded:
            raise NotFound("There is no such job.")
        self.discarded.append(job_id)


def _waiting(new: NewJob) -> Job:
    at = datetime.now(UTC)
    return Job(
        tenant_id=new.principal.tenant_id,
        id=new.id,
        kind=new.kind,
        state="queued",
        subject=new.subject,
        priority=new.priority,
        created_at=at,
        run_at=at,
        started_at=None,
        ended_at=None,
        expires_at=None,
        attempts=0,
        max_attempts=new.max_attempts,
        crashes=0,
        progress=Progress(),
        cost_nano=0,
        cancel_requested=False,
        version=1,
        facts=new.facts,
    )


class FakeAnswer(Struct, frozen=True, kw_only=True):
    status: int = 200
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""


class Posted(Struct, frozen=True, kw_only=True):
    url: str
    headers: dict[bytes, bytes]
    body: bytes


class FakeSender:
    """Answers in turn, the last one from then on; an error is raised. `refused` are URLs that may not be called."""

    def __init__(self, *answers: FakeAnswer | TenfoldError) -> None:
        self.answers = list(answers) or [FakeAnswer()]
        self.refused: set[str] = set()
        self.posted: list[Posted] = []

    async def check(self, url: str) -> None:
        if url in self.refused:
            raise InvalidRequest("The URL cannot be called: it leads to no public address.", param="url")

    async def post(self, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> FakeAnswer:
        await self.check(url)
        self.posted.append(Posted(url=url, headers=dict(headers), body=body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, TenfoldError):
            raise answer
        return answer


class FakeWebhookRows:
    """Set `away` to make every method raise StoreUnavailable. `followers` are called with the tenant whose endpoints
    have changed, at once."""

    def __init__(self) -> None:
        self.away = False
        self.followers: list[Callable[[TenantId | None], None]] = []
        self._endpoints: dict[tuple[TenantId, UUID], Endpoint] = {}
        self._deliveries: dict[tuple[TenantId, UUID], Delivery] = {}
        self._attempts: dict[tuple[TenantId, UUID], list[Attempt]] = {}

    # -- endpoints ---------------------------------------------------------------------------

    async def add_endpoint(self, endpoint: Endpoint) -> None:
        self._answer()
        if sum(tenant_id == endpoint.tenant_id for tenant_id, _ in self._endpoints) >= MAX_ENDPOINTS:
            raise Conflict(f"A tenant has {MAX_ENDPOINTS} webhook endpoints at most.")
        self._keep(endpoint)

    async def change_endpoint(self, endpoint: Endpoint) -> bool:
        self._answer()
        old = self._endpoints.get((endpoint.tenant_id, endpoint.id))
        if old is None or old.revision != endpoint.revision - 1:
            return False
        anew = old.disabled_by is not None and endpoint.disabled_by is None
        since, failures = (None, 0) if anew else (old.failing_since, old.failures)
        self._keep(replace(endpoint, failing_since=since, failures=failures))
        return True

    async def end_endpoint(self, tenant_id: TenantId, endpoint_id: UUID) -> bool:
        self._answer()
        ended = self._endpoints.pop((tenant_id, endpoint_id), None)
        if ended is not None:
            self._tell(tenant_id)
        return ended is not None

    async def endpoint(self, tenant_id: TenantId, endpoint_id: UUID) -> Endpoint | None:
        self._answer()
        return self._endpoints.get((tenant_id, endpoint_id))

    async def endpoints(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Endpoint]:
        self._answer()
        mine = [each for each in self._endpoints.values() if each.tenant_id == tenant_id]
        newest = sorted(mine, key=lambda each: each.id, reverse=True)
        return [each for each in newest if before is None or each.id < before][:limit]

    # -- the log -----------------------------------------------------------------------------

    async def attempted(self, delivery: Delivery, *, gone: bool, failing_before: datetime) -> DisabledBy | None:
        self._answer()
        key = delivery.tenant_id, delivery.id
        old = self._deliveries.get(key)
        attempts = self._attempts.setdefault(key, [])
        attempts.append(delivery.last)
        self._deliveries[key] = (
            replace(delivery, attempts=1)
            if old is None
            else replace(
                old,
                attempts=len(attempts),
                state=old.state if old.state == "delivered" else delivery.state,
                job_id=max(old.job_id, delivery.job_id),
                last=delivery.last,
            )
        )
        endpoint = self._endpoints.get((delivery.tenant_id, delivery.endpoint_id))
        if endpoint is None:
            return None
        return self._upkeep(endpoint, delivery, gone, failing_before)

    def _upkeep(
        self, endpoint: Endpoint, delivery: Delivery, gone: bool, failing_before: datetime
    ) -> DisabledBy | None:
        at, key = delivery.last.at, (endpoint.tenant_id, endpoint.id)
        if delivery.state == "delivered":
            self._endpoints[key] = replace(endpoint, failing_since=None, failures=0)
            return None
        since, failures = endpoint.failing_since or at, endpoint.failures + 1
        endpoint = self._endpoints[key] = replace(endpoint, failing_since=since, failures=failures)
        failing = since <= failing_before and failures >= MIN_FAILURES
        if endpoint.disabled_by is not None or not (gone or failing):
            return None
        why: DisabledBy = "gone" if gone else "failing"
        self._keep(replace(endpoint, disabled_by=why, revision=endpoint.revision + 1, updated_at=at))
        return why

    async def waiting(self, tenant_id: TenantId, since: datetime) -> int:
        self._answer()
        waits = tenant_id, "waiting"
        mine = [each for each in self._deliveries.values() if (each.tenant_id, each.state) == waits]
        return min(sum(each.last.at >= since for each in mine), MAX_WAITING)

    async def give_up(self, tenant_id: TenantId, job_id: UUID) -> bool:
        self._answer()
        for key, each in self._deliveries.items():
            if (each.tenant_id, each.job_id, each.state) == (tenant_id, job_id, "waiting"):
                self._deliveries[key] = replace(each, state="failed")
                return True
        return False

    async def delivery(self, tenant_id: TenantId, delivery_id: UUID) -> Delivery | None:
        self._answer()
        return self._deliveries.get((tenant_id, delivery_id))

    async def deliveries(
        self, tenant_id: TenantId, endpoint_id: UUID, *, state: DeliveryState | None, before: UUID | None, limit: int
    ) -> list[Delivery]:
        self._answer()
        mine = [
            each
            for each in self._deliveries.values()
            if (each.tenant_id, each.endpoint_id) == (tenant_id, endpoint_id)
            and state in (None, each.state)
            and (before is None or each.id < before)
        ]
        return sorted(mine, key=lambda each: each.id, reverse=True)[:limit]

    async def attempts(
        self, tenant_id: TenantId, delivery_id: UUID, *, before: int | None, limit: int
    ) -> list[tuple[int, Attempt]]:
        self._answer()
        numbered = list(enumerate(self._attempts.get((tenant_id, delivery_id), []), start=1))
        return [pair for pair in reversed(numbered) if before is None or pair[0] < before][:limit]

    async def failed_since(self, tenant_id: TenantId, endpoint_id: UUID, since: datetime, limit: int) -> list[UUID]:
        failed = await self.deliveries(tenant_id, endpoint_id, state="failed", before=None, limit=len(self._deliveries))
        return [each.id for each in reversed(failed) if each.created_at >= since][:limit]

    async def tenants_expired(self, before: datetime) -> list[TenantId]:
        self._answer()
        return sorted({each.tenant_id for each in self._deliveries.values() if each.created_at < before})

    async def expire(self, tenant_id: TenantId, before: datetime, *, limit: int) -> int:
        self._answer()
        old = [
            key
            for key, each in sorted(self._deliveries.items(), key=lambda pair: pair[1].created_at)
            if each.tenant_id == tenant_id and each.created_at < before
        ][:limit]
        for key in old:
            del self._deliveries[key]
            del self._attempts[key]
        return len(old)

    # -- inside ------------------------------------------------------------------------------

    def _keep(self, endpoint: Endpoint) -> None:
        self._endpoints[endpoint.tenant_id, endpoint.id] = endpoint
        self._tell(endpoint.tenant_id)

    def _tell(self, tenant_id: TenantId) -> None:
        for forget in self.followers:
            forget(tenant_id)

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)
