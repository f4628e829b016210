"""The JSON API of webhooks: endpoints and their secrets, what was delivered to them, and to deliver it once more."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from tenfold.console.api_parts import CONFLICT, MISSING, PROBLEMS, Body, PageSize, Word, bearer
from tenfold.console.services import ConsoleServices, WebhookServices
from tenfold.core.principal import SCOPE_WEBHOOKS, Principal
from tenfold.jobs.names import job_name
from tenfold.webhooks.handlers import GRACE_S
from tenfold.webhooks.names import DELIVERY, ENDPOINT, EVENT, name_of
from tenfold.webhooks.types import Attempt, Delivery, Endpoint


class NewEndpointBody(Body):
    url: str = Field(max_length=2048, description="https, to a public address.")
    events: list[Word] = Field(default=["*"], description='Types such as "batch.completed", "batch.*", or "*".')
    description: Word = ""


class ChangeEndpointBody(Body):
    url: str | None = Field(None, max_length=2048)
    events: list[Word] | None = None
    description: Word | None = None
    enabled: bool | None = Field(None, description="True: one that was disabled begins anew.")


class RotateBody(Body):
    grace_s: float = Field(GRACE_S, description="For so long the old secret signs as well; 0 to 2592000.")


class SinceBody(Body):
    since: AwareDatetime = Field(description="Events from then on.")


class EndpointBody(BaseModel):
    id: str
    url: str
    events: list[str]
    description: str
    enabled: bool
    disabled_by: Literal["asked", "gone", "failing"] | None
    failing_since: datetime | None = Field(description="It has taken nothing since.")
    failures: int = Field(description="Attempts since then.")
    old_secret_until: datetime | None = Field(description="Until then the old secret signs as well.")
    created_at: datetime
    updated_at: datetime


class SecretEndpointBody(EndpointBody):
    secret: str = Field(description="For `client.webhooks.unwrap`; told this once.")


class EndpointsPage(BaseModel):
    data: list[EndpointBody]
    next_cursor: str | None


class AttemptBody(BaseModel):
    at: datetime
    status: int | None = Field(description="Null: there was no answer.")
    latency_ms: int
    reply: str = Field(description="Its first kilobyte.")
    error: str | None


class AttemptsPage(BaseModel):
    data: list[AttemptBody]
    next_cursor: str | None


class DeliveryBody(BaseModel):
    id: str
    endpoint: str
    event: str
    type: str
    resource: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    created_at: datetime
    last: AttemptBody
    job: str


class DeliveriesPage(BaseModel):
    data: list[DeliveryBody]
    next_cursor: str | None


class WholeDeliveryBody(DeliveryBody):
    body: str = Field(description="As it is posted.")


class TriedBody(BaseModel):
    delivery: str
    job: str = Field(description="That tries it.")


class RedeliveredBody(BaseModel):
    count: int
    more: bool = Field(description="Ask again for the rest.")


StateQuery = Annotated[str | None, Query(max_length=20, description="waiting, delivered or failed.")]


def webhook_api_routes(services: ConsoleServices, webhooks: WebhookServices) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["webhooks"])
    admin, log = webhooks.admin, webhooks.log
    authenticated = bearer(services)

    async def permitted(who: Annotated[Principal, Depends(authenticated)]) -> Principal:
        who.require(SCOPE_WEBHOOKS)
        return who

    caller = Annotated[Principal, Depends(permitted)]

    @routes.get("/webhooks", summary="List the tenant's webhook endpoints")
    async def list_endpoints(who: caller, cursor: str | None = None, limit: PageSize = 20) -> EndpointsPage:
        page = await admin.list(who.tenant_id, cursor=cursor, limit=limit)
        return EndpointsPage(data=[EndpointBody(**_endpoint(each)) for each in page.items], next_cursor=page.cursor)

    @routes.post("/webhooks", status_code=201, summary="Create an endpoint", responses=CONFLICT)
    async def create_endpoint(body: NewEndpointBody, who: caller) -> SecretEndpointBody:
        made = await admin.create(who.tenant_id, body.url, events=body.events, description=body.description)
        return SecretEndpointBody(**_endpoint(made), secret=made.secret)

    @routes.get("/webhooks/{endpoint}", summary="Show an endpoint", responses=MISSING)
    async def show_endpoint(endpoint: str, who: caller) -> EndpointBody:
        return EndpointBody(**_endpoint(await admin.show(who.tenant_id, endpoint)))

    @routes.patch("/webhooks/{endpoint}", summary="Change an endpoint", responses=MISSING | CONFLICT)
    async def change_endpoint(endpoint: str, body: ChangeEndpointBody, who: caller) -> EndpointBody:
        changed = await admin.change(
            who.tenant_id,
            endpoint,
            url=body.url,
            events=body.events,
            description=body.description,
            enabled=body.enabled,
        )
        return EndpointBody(**_endpoint(changed))

    @routes.delete("/webhooks/{endpoint}", status_code=204, summary="End an endpoint", responses=MISSING)
    async def end_endpoint(endpoint: str, who: caller) -> Response:
        await admin.end(who.tenant_id, endpoint)
        return Response(status_code=204)

    @routes.post("/webhooks/{endpoint}/rotate", summary="Exchange its secret", responses=MISSING | CONFLICT)
    async def rotate_secret(endpoint: str, body: RotateBody, who: caller) -> SecretEndpointBody:
        rotated = await admin.rotate(who.tenant_id, endpoint, grace_s=body.grace_s)
        return SecretEndpointBody(**_endpoint(rotated), secret=rotated.secret)

    @routes.post("/webhooks/{endpoint}/test", status_code=202, summary="Send it a test event", responses=MISSING)
    async def test_endpoint(endpoint: str, who: caller) -> TriedBody:
        job = await log.test(who, endpoint)
        return TriedBody(delivery=name_of(DELIVERY, job.id), job=job_name(job.id))

    @routes.post(
        "/webhooks/{endpoint}/redeliver",
        status_code=202,
        summary="Deliver all that failed since then once more",
        responses=MISSING | CONFLICT,
    )
    async def redeliver_failed(endpoint: str, body: SinceBody, who: caller) -> RedeliveredBody:
        found = await log.redeliver_failed(who, endpoint, body.since)
        return RedeliveredBody(count=found.count, more=found.more)

    @routes.get("/webhooks/{endpoint}/deliveries", summary="List what was delivered to it", responses=MISSING)
    async def list_deliveries(
        endpoint: str, who: caller, state: StateQuery = None, cursor: str | None = None, limit: PageSize = 20
    ) -> DeliveriesPage:
        page = await log.list(who.tenant_id, endpoint, state=state, cursor=cursor, limit=limit)
        return DeliveriesPage(data=[DeliveryBody(**_delivery(each)) for each in page.items], next_cursor=page.cursor)

    @routes.get("/webhook-deliveries/{delivery}", summary="Show a delivery", responses=MISSING)
    async def show_delivery(delivery: str, who: caller) -> WholeDeliveryBody:
        found = await log.show(who.tenant_id, delivery)
        return WholeDeliveryBody(**_delivery(found), body=found.body.decode("utf-8"))

    @routes.get("/webhook-deliveries/{delivery}/attempts", summary="List its attempts", responses=MISSING)
    async def list_attempts(
        delivery: str, who: caller, cursor: str | None = None, limit: PageSize = 20
    ) -> AttemptsPage:
        page = await log.attempts(who.tenant_id, delivery, cursor=cursor, limit=limit)
        return AttemptsPage(data=[_attempt(each) for each in page.items], next_cursor=page.cursor)

    @routes.post(
        "/webhook-deliveries/{delivery}/redeliver",
        status_code=202,
        summary="Deliver it once more",
        responses=MISSING | CONFLICT,
    )
    async def redeliver(delivery: str, who: caller) -> TriedBody:
        job = await log.redeliver(who, delivery)
        return TriedBody(delivery=delivery, job=job_name(job.id))

    return routes


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": name_of(ENDPOINT, endpoint.id),
        "url": endpoint.url,
        "events": list(endpoint.events),
        "description": endpoint.description,
        "enabled": endpoint.disabled_by is None,
        "disabled_by": endpoint.disabled_by,
        "failing_since": endpoint.failing_since,
        "failures": endpoint.failures,
        "old_secret_until": endpoint.old_secret_until,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    }


def _attempt(attempt: Attempt) -> AttemptBody:
    return AttemptBody(
        at=attempt.at,
        status=attempt.status,
        latency_ms=attempt.latency_ms,
        reply=attempt.reply,
        error=attempt.error,
    )


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": name_of(DELIVERY, delivery.id),
        "endpoint": name_of(ENDPOINT, delivery.endpoint_id),
        "event": name_of(EVENT, delivery.event_id),
        "type": delivery.type,
        "resource": delivery.resource,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "created_at": delivery.created_at,
        "last": _attempt(delivery.last),
        "job": job_name(delivery.job_id),
    }
