"""The seams of this part: what features hand events to (`Outbox`), endpoints and the log at rest (`WebhookRows`), and
who posts (`Sender`). `fake` has the in-memory twins; `FakeWebhookRows` is under one contract suite with
`queries.PostgresWebhookRows`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.jobs.types import Job, NewJob
from tenfold.webhooks.types import Attempt, Delivery, DeliveryState, DisabledBy, Endpoint, Event

TOPIC = "webhooks"
"""Of what processes keep in memory of a tenant's endpoints."""


class Outbox(Protocol):
    """What features ask for the jobs of an event. They hand them on with the end of their work (`Result.then`, or
    `then` of a cancel): an event is told if, and only if, what it tells of is committed."""

    async def jobs_for(self, principal: Principal, event: Event) -> tuple[NewJob, ...]:
        """One for each endpoint that is subscribed; none if nobody listens. Raises StoreUnavailable."""
        ...


class WebhookRows(Protocol):
    """Every method raises StoreUnavailable while the store is away. What is asked of another tenant's finds nothing."""

    async def add_endpoint(self, endpoint: Endpoint) -> None:
        """Tells every process. Raises Conflict (too many)."""
        ...

    async def change_endpoint(self, endpoint: Endpoint) -> bool:
        """Whether it was as it is in the revision before; else nothing is written. Tells every process. `failures` and
        `failing_since` are the log's to write, but for one that is enabled again: it begins anew."""
        ...

    async def end_endpoint(self, tenant_id: TenantId, endpoint_id: UUID) -> bool:
        """Whether it was there. Tells every process. Its log stays until its time is over."""
        ...

    async def endpoint(self, tenant_id: TenantId, endpoint_id: UUID) -> Endpoint | None: ...

    async def endpoints(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Endpoint]:
        """The newest first, from the one before `before`."""
        ...

    async def attempted(self, delivery: Delivery, *, gone: bool, failing_before: datetime) -> DisabledBy | None:
        """Writes `delivery.last` as its next attempt, and how the delivery stands. One that was delivered stays so, and
        the newest job that tried is told. An endpoint that is `gone`, or has taken nothing since `failing_before` in
        MIN_FAILURES attempts, is disabled: then why, and every process is told."""
        ...

    async def waiting(self, tenant_id: TenantId, since: datetime) -> int:
        """Deliveries of the tenant that wait and were tried since then; counted up to MAX_WAITING."""
        ...

    async def give_up(self, tenant_id: TenantId, job_id: UUID) -> bool:
        """The delivery that this job tried last, and that still waits, has failed. Whether there is one."""
        ...

    async def delivery(self, tenant_id: TenantId, delivery_id: UUID) -> Delivery | None: ...

    async def deliveries(
        self, tenant_id: TenantId, endpoint_id: UUID, *, state: DeliveryState | None, before: UUID | None, limit: int
    ) -> list[Delivery]:
        """The newest first, from the one before `before`."""
        ...

    async def attempts(
        self, tenant_id: TenantId, delivery_id: UUID, *, before: int | None, limit: int
    ) -> list[tuple[int, Attempt]]:
        """With their numbers, the newest first, from the one before `before`."""
        ...

    async def failed_since(self, tenant_id: TenantId, endpoint_id: UUID, since: datetime, limit: int) -> list[UUID]:
        """Deliveries that failed, of events from then on; the oldest first."""
        ...

    async def tenants_expired(self, before: datetime) -> list[TenantId]:
        """Who have deliveries of events from before then."""
        ...

    async def expire(self, tenant_id: TenantId, before: datetime, *, limit: int) -> int:
        """Deletes up to so many of them, with their attempts: how many."""
        ...


class Queue(Protocol):
    """Of jobs.ports.Jobs, what the log asks for."""

    async def enqueue(self, new: NewJob) -> Job: ...

    async def discard(self, tenant_id: TenantId, job_id: UUID) -> None: ...


class Answer(Protocol):
    """Of an endpoint: see tenfold.providers.transport.egress.Answer."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Names in lower case."""
        ...

    @property
    def body(self) -> bytes:
        """Its beginning."""
        ...


class Sender(Protocol):
    """Reaches endpoints, and nothing that is not theirs: see tenfold.app.webhooking.GuardedSender."""

    async def check(self, url: str) -> None:
        """Whether it may be called, as far as can be told now. Raises InvalidRequest."""
        ...

    async def post(self, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Answer:
        """Redirects are not followed. Raises InvalidRequest (it may not be called), UpstreamError (no answer)."""
        ...
