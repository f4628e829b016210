"""What stands on durable work: the resources behind the front door and the jobs that belong to them, which share their
rows; and what runs beside them.
"""

from collections.abc import Coroutine, Iterable
from typing import Any

from tenfold.app.background import Background
from tenfold.app.settings import Settings
from tenfold.app.webhooking import GuardedSender
from tenfold.core.clock import Clock
from tenfold.edge.gateway import Dialects, Resource
from tenfold.edge.progress import JobEvents
from tenfold.edge.responses import ResponsesCodec, ResponsesResource
from tenfold.inference.background import BackgroundCaller
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.responses.background import BuryResponse, ForgetResponse, MakeResponse
from tenfold.inference.responses.handlers import Responses
from tenfold.inference.responses.keeping import keep_expiring as keep_expiring_responses
from tenfold.inference.responses.making import Making
from tenfold.inference.responses.queries import PostgresResponseRows
from tenfold.inference.responses.types import KIND as RESPONSE
from tenfold.inference.responses.types import KIND_DEAD as RESPONSE_DEAD
from tenfold.inference.responses.types import KIND_FORGET as RESPONSE_FORGET
from tenfold.inference.route import Router
from tenfold.inference.tickets.handlers import CallJob
from tenfold.inference.tickets.types import KIND as CALL
from tenfold.jobs.ports import Handler
from tenfold.providers.transport.egress import EgressGuard, GuardedClient
from tenfold.store import Changes, Store
from tenfold.webhooks.delivery import Deliver, GiveUp
from tenfold.webhooks.outbox import WebhookOutbox
from tenfold.webhooks.ports import TOPIC as WEBHOOKS_TOPIC
from tenfold.webhooks.queries import PostgresWebhookRows
from tenfold.webhooks.types import KIND as WEBHOOK
from tenfold.webhooks.types import KIND_DEAD as WEBHOOK_DEAD

KINDS = frozenset({CALL, RESPONSE, RESPONSE_DEAD, RESPONSE_FORGET, WEBHOOK, WEBHOOK_DEAD})
"""Of the jobs there are: every worker does all of them."""

_DAY_S = 86_400.0


class Resources:
    """`routes` are for the front door, `handlers` for the worker; run each of `tasks`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        *,
        background: Background,
        changes: Changes,
        pipeline: Pipeline,
        router: Router,
        caller: BackgroundCaller,
        dialects: Dialects,
    ) -> None:
        jobs = background.jobs
        webhook_rows = PostgresWebhookRows(store)
        guard = EgressGuard(allow=settings.egress.allow, allow_http=settings.egress.allow_http)
        self.sender = GuardedSender(GuardedClient(guard), timeout_s=settings.webhooks.timeout_s)
        outbox = WebhookOutbox(webhook_rows, clock)
        changes.follow(WEBHOOKS_TOPIC, outbox.forget)

        self._response_rows = PostgresResponseRows(store)
        codec = ResponsesCodec(clock)
        making = Making(
            self._response_rows,
            jobs,
            codec,
            clock,
            keep_s=settings.responses.keep_days * _DAY_S,
            max_input_bytes=settings.responses.max_input_bytes,
        )
        responses = Responses(self._response_rows, jobs, outbox, making, clock)
        self.events = JobEvents(jobs)
        self.routes: list[Resource] = [
            self.events,
            ResponsesResource(responses, pipeline, router, max_body_bytes=settings.server.max_body_bytes),
        ]
        self.handlers: list[Handler] = [
            CallJob(caller, {dialect.name: dialect for dialect in (dialects.openai, dialects.anthropic)}),
            MakeResponse(self._response_rows, making, caller, background.rows, outbox),
            BuryResponse(self._response_rows, codec, jobs, outbox),
            ForgetResponse(jobs),
            Deliver(webhook_rows, self.sender, clock, disable_after_s=settings.webhooks.disable_after_days * _DAY_S),
            GiveUp(webhook_rows),
        ]

    def tasks(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "app.responses", keep_expiring_responses(self._response_rows)
