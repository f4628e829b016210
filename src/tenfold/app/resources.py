"""What stands on durable work: the resources behind the front door and the jobs that belong to them, which share their
rows; and what runs beside them.
"""

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from tenfold.app.background import Background
from tenfold.app.precomputing import KINDS as PRECOMPUTE
from tenfold.app.serving import Serving
from tenfold.app.settings import Settings
from tenfold.app.support import KINDS as SUPPORT
from tenfold.app.vector_stores import KINDS as VECTOR_STORES
from tenfold.app.vector_stores import VectorStoreParts
from tenfold.app.webhooking import guarded_sender
from tenfold.core.clock import Clock
from tenfold.core.errors import ModelNotFound
from tenfold.edge.batches.resource import BatchesResource
from tenfold.edge.files.resource import FilesResource
from tenfold.edge.gateway import Resource
from tenfold.edge.progress import JobEvents
from tenfold.edge.responses import ResponsesCodec, ResponsesResource
from tenfold.inference.batches.calling import PathCaller
from tenfold.inference.batches.handlers import Batches
from tenfold.inference.batches.ports import BatchRows, Elsewhere
from tenfold.inference.batches.queries import PostgresBatchRows
from tenfold.inference.batches.running import BatchHandler, DeadBatchHandler
from tenfold.inference.batches.types import KIND as BATCH
from tenfold.inference.batches.types import KIND_DEAD as BATCH_DEAD
from tenfold.inference.batches.types import Endpoint
from tenfold.inference.batches.work import WorkLimits
from tenfold.inference.files.handlers import Files
from tenfold.inference.files.queries import PostgresFileRows
from tenfold.inference.responses.background import BuryResponse, ForgetResponse, MakeResponse
from tenfold.inference.responses.file_search import FileSearch
from tenfold.inference.responses.handlers import Responses
from tenfold.inference.responses.making import Making
from tenfold.inference.responses.queries import PostgresResponseRows
from tenfold.inference.responses.types import KIND as RESPONSE
from tenfold.inference.responses.types import KIND_DEAD as RESPONSE_DEAD
from tenfold.inference.responses.types import KIND_FORGET as RESPONSE_FORGET
from tenfold.inference.route import Router
from tenfold.inference.tickets.handlers import CallJob, DeadCallJob
from tenfold.inference.tickets.types import KIND as CALL
from tenfold.inference.tickets.types import KIND_DEAD as CALL_DEAD
from tenfold.jobs.ports import Handler
from tenfold.providers.offline.local_llm import LocalLlmProvider
from tenfold.providers.offline.provider import OfflineProvider
from tenfold.retrieval.extract.extractor import Extractor
from tenfold.retrieval.library import Library
from tenfold.retrieval.vector_stores.types import StoreLimits
from tenfold.store import Store, keep
from tenfold.webhooks.delivery import Deliver, GiveUp
from tenfold.webhooks.log import expire_deliveries
from tenfold.webhooks.ports import Outbox
from tenfold.webhooks.queries import PostgresWebhookRows
from tenfold.webhooks.types import KIND as WEBHOOK
from tenfold.webhooks.types import KIND_DEAD as WEBHOOK_DEAD

KINDS = (
    VECTOR_STORES
    | SUPPORT
    | PRECOMPUTE
    | {
        CALL,
        CALL_DEAD,
        RESPONSE,
        RESPONSE_DEAD,
        RESPONSE_FORGET,
        BATCH,
        BATCH_DEAD,
        WEBHOOK,
        WEBHOOK_DEAD,
    }
)
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
        outbox: Outbox,
        serving: Serving,
        library: Library,
        extractor: Extractor,
        elsewhere: Callable[[BatchRows], Elsewhere | None] = lambda _rows: None,
    ) -> None:
        jobs, caller, dialects = background.jobs, serving.caller, serving.dialects
        self._clock = clock
        self._keep_deliveries_s = settings.webhooks.keep_days * _DAY_S
        self._webhook_rows = webhook_rows = PostgresWebhookRows(store)
        self.sender = guarded_sender(settings)

        response_rows = PostgresResponseRows(store)
        codec = ResponsesCodec(clock)
        making = Making(
            response_rows,
            jobs,
            codec,
            clock,
            keep_s=settings.responses.keep_days * _DAY_S,
            max_input_bytes=settings.responses.max_input_bytes,
        )
        self._stored = responses = Responses(response_rows, jobs, outbox, making, clock)
        endpoints = {
            "/v1/chat/completions": Endpoint(operation="chat", dialect=lambda: dialects.openai),
            "/v1/embeddings": Endpoint(operation="embeddings", dialect=lambda: dialects.openai),
            "/v1/responses": Endpoint(operation="chat", dialect=lambda: codec.dialect),
        }
        self.files = Files(
            PostgresFileRows(store),
            max_bytes=settings.files.max_bytes,
            max_tenant_bytes=settings.files.max_tenant_bytes,
        )
        stores = settings.vector_stores
        self.vector_stores = VectorStoreParts(
            store,
            files=self.files,
            jobs=jobs,
            shelf=library,
            reader=extractor,
            limits=StoreLimits(
                max_stores=stores.max_stores,
                max_files=stores.max_files,
                max_bytes=stores.max_bytes,
                max_file_bytes=stores.max_file_bytes,
            ),
        )
        batch_rows = PostgresBatchRows(store)
        self._batches = Batches(batch_rows, self.files, jobs, outbox, endpoints)
        lines = WorkLimits(at_once=settings.batches.concurrency, max_line_bytes=settings.server.max_body_bytes)
        self._events = JobEvents(jobs)
        searching = FileSearch(self.vector_stores.search, codec, partial(_does_tools, serving.router))
        self._responses = ResponsesResource(
            responses,
            serving.pipeline,
            serving.router,
            max_body_bytes=settings.server.max_body_bytes,
            files=searching,
        )
        self.routes: list[Resource] = [
            self._events,
            self._responses,
            FilesResource(self.files, self.vector_stores.files.forget),
            BatchesResource(self._batches),
            *self.vector_stores.routes,
        ]
        self.handlers: list[Handler] = [
            CallJob(
                caller,
                {dialect.name: dialect for dialect in (dialects.openai, dialects.anthropic, codec.dialect)},
                outbox,
            ),
            DeadCallJob(outbox),
            BatchHandler(
                batch_rows,
                self.files,
                PathCaller(caller),
                outbox,
                endpoints,
                elsewhere=elsewhere(batch_rows),
                limits=lines,
            ),
            DeadBatchHandler(batch_rows, self.files, outbox, jobs),
            MakeResponse(response_rows, making, caller, background.rows, outbox, files=searching),
            BuryResponse(response_rows, codec, jobs, outbox),
            ForgetResponse(jobs),
            Deliver(webhook_rows, self.sender, clock, disable_after_s=settings.webhooks.disable_after_days * _DAY_S),
            GiveUp(webhook_rows),
            *self.vector_stores.handlers,
        ]

    def stop(self) -> None:
        """Clients that follow what jobs tell are let go, since the process stops."""
        self._events.stop()
        self._responses.stop()

    def tasks(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "app.responses", keep(self._stored.expire, every_s=600.0, otherwise="responses are not expired")
        yield "app.files", keep(self.files.expire, every_s=60.0, otherwise="files are not expired")
        yield "app.batches", keep(self._batches.expire, every_s=60.0, otherwise="batches are not expired")
        yield from self.vector_stores.tasks()
        yield "app.webhooks", keep(self._expire_deliveries, every_s=600.0, otherwise="deliveries are not expired")

    async def _expire_deliveries(self) -> int:
        return await expire_deliveries(self._webhook_rows, self._clock, keep_s=self._keep_deliveries_s)


def _does_tools(router: Router, model: str) -> bool:
    """Whether whoever answers for the model calls functions. Of a model that nobody knows the call itself tells."""
    try:
        targets = router.find(model).targets
    except ModelNotFound:
        return True
    return not any(isinstance(target.provider, OfflineProvider | LocalLlmProvider) for target in targets)
