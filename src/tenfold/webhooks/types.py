"""The values of webhooks. Values only."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Raw, Struct, field

from tenfold.core.ids import TenantId, uuid7

KIND = "webhook"  # of the jobs that deliver
KIND_DEAD = "webhook.dead"  # of the jobs that follow one that was given up

EVENT_TYPES = (
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
    "batch.completed",
    "batch.failed",
    "batch.cancelled",
    "batch.expired",
    "job.completed",
    "job.failed",
    "job.cancelled",
    "support.answered",
    "support.handed_off",
    "support.replied",
)
TEST_EVENT = "webhook.test"  # sent when somebody asks for it; not to be subscribed to

MAX_ENDPOINTS = 50  # of a tenant
MAX_REPLY_BYTES = 1024  # kept of what an endpoint answers
MAX_WAITING = 2000  # deliveries of a tenant that wait to be tried again: its other jobs need room in the queue as well
MIN_FAILURES = 30  # attempts, before an endpoint is disabled: two rare events that failed do not make days of failing


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened. An endpoint gets `{"id", "object", "created_at", "type", "data"}`, as of OpenAI; `data`
    is `{"id": resource}` with what stands in this `data`: names and states, no prompts and no answers."""

    type: str  # of EVENT_TYPES
    resource: str  # its public id: resp_..., batch_..., job_...
    data: dict[str, Any] = field(default_factory=dict)
    id: UUID = field(default_factory=uuid7)  # seen outside as evt_<hex>


DisabledBy = Literal["asked", "gone", "failing"]
"""By hand; by its own answer 410; because it took nothing for days."""


class Endpoint(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    id: UUID  # seen outside as we_<hex>
    url: str
    events: tuple[str, ...]  # types, such as "batch.*", or "*"
    secret: str  # whsec_<base64>
    created_at: datetime
    updated_at: datetime
    description: str = ""
    disabled_by: DisabledBy | None = None
    old_secret: str | None = None  # signs as well, until
    old_secret_until: datetime | None = None
    failing_since: datetime | None = None  # nothing was taken since then
    failures: int = 0  # attempts since then
    revision: int = 1  # grows with each change

    def wants(self, event_type: str) -> bool:
        return self.disabled_by is None and any(
            each in ("*", event_type) or (each.endswith(".*") and event_type.startswith(each[:-1]))
            for each in self.events
        )


DeliveryState = Literal["waiting", "delivered", "failed"]
"""`waiting`: it is tried again. `failed`: it is given up until somebody asks for it. `delivered`: it was taken, once at
least; whatever is tried after that, it stays so."""


class Attempt(Struct, frozen=True, kw_only=True):
    """One try to deliver. `status` None: there was no answer, and `error` says why."""

    at: datetime
    status: int | None
    latency_ms: int
    reply: str  # its first MAX_REPLY_BYTES
    error: str | None = None


class Delivery(Struct, frozen=True, kw_only=True):
    """An event on its way to an endpoint, as the log has it since its first attempt. The log counts `attempts`."""

    tenant_id: TenantId
    id: UUID  # seen outside as dlv_<hex>; the first job's
    endpoint_id: UUID
    event_id: UUID
    type: str
    resource: str
    body: bytes
    state: DeliveryState
    created_at: datetime  # of the event
    job_id: UUID  # that tries now, or tried last
    last: Attempt
    attempts: int = 1


class Order(Struct, frozen=True, kw_only=True):
    """What a job of KIND is to do: its input. `delivery_id` None: it is the job's own."""

    endpoint_id: UUID
    event_id: UUID
    type: str
    resource: str
    created_at: datetime
    body: Raw  # JSON, as it is signed and sent
    delivery_id: UUID | None = None


class DeliveryPage(Struct, frozen=True, kw_only=True):
    items: list[Delivery]
    cursor: str | None  # of the next page


class EndpointPage(Struct, frozen=True, kw_only=True):
    items: list[Endpoint]
    cursor: str | None


class AttemptPage(Struct, frozen=True, kw_only=True):
    items: list[Attempt]
    cursor: str | None


class Redelivered(Struct, frozen=True, kw_only=True):
    count: int
    more: bool  # ask again for the rest
