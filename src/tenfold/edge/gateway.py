"""The front door: finds the route of a request, reads the body, and hands the call to the one path.

It holds no rules: what a call may do, costs and answers is decided in the layers below.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol
from urllib.parse import unquote

from tenfold.core.call import Call, Operation
from tenfold.core.errors import NotFound, TenfoldError
from tenfold.core.headers import header_lines
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.edge.http import Request
from tenfold.edge.models import list_models, show_model
from tenfold.edge.options import read_options
from tenfold.edge.progress import offered_key
from tenfold.inference import respond
from tenfold.inference.authenticate import Keys, authenticate
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.ports import ClientDialect
from tenfold.inference.route import Router

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[None]]


class Probes(Protocol):
    """What orchestrators and scrapers ask."""

    def ready(self) -> tuple[bool, bytes]:
        """Whether this process may get traffic, and a JSON object of the checks."""
        ...

    def metrics(self) -> tuple[str, bytes]:
        """Content type and text of the Prometheus exposition."""
        ...


class Resource(Protocol):
    """The routes below one prefix: everything whose path is the prefix, or goes on after it with a slash."""

    @property
    def prefix(self) -> str: ...

    async def handle(self, request: Request, principal: Principal) -> None:
        """Answers it. Raises TenfoldError while no reply has begun, which becomes one in the dialect of the caller;
        ClientGone, CancelledError (the client hung up)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Dialects:
    openai: ClientDialect
    anthropic: ClientDialect


class Gateway:
    def __init__(
        self,
        *,
        keys: Keys,
        pipeline: Pipeline,
        router: Router,
        dialects: Dialects,
        probes: Probes,
        pages: Handler,
        max_body_bytes: int,
        resources: Sequence[Resource] = (),
    ) -> None:
        self._resources = {resource.prefix: resource for resource in resources}
        self._keys = keys
        self._pipeline = pipeline
        self._router = router
        self._dialects = dialects
        self._probes = probes
        self._pages = pages
        self._max_body_bytes = max_body_bytes
        self._calls: dict[str, tuple[Operation, ClientDialect]] = {
            "/v1/chat/completions": ("chat", dialects.openai),
            "/v1/embeddings": ("embeddings", dialects.openai),
            "/v1/messages": ("chat", dialects.anthropic),
            "/v1/messages/count_tokens": ("count_tokens", dialects.anthropic),
        }

    async def handle(self, request: Request) -> None:
        """Answers one request. Raises ClientGone, CancelledError (the client hung up)."""
        call = self._calls.get(request.path)
        if call is not None:
            await self._call(request, *call)
        else:
            await self._other(request)

    async def _call(self, request: Request, operation: Operation, dialect: ClientDialect) -> None:
        try:
            if request.method != "POST":
                raise NotFound(f"{request.method} {request.path} does not exist; use POST.")
            headers = request.headers
            began = perf_counter()
            principal = await authenticate(self._keys, headers.get(b"authorization"), headers.get(b"x-api-key"))
            auth_s = perf_counter() - began
            options = read_options(headers)
            body = await request.body(self._max_body_bytes)
            call = Call(principal=principal, operation=operation, dialect=dialect.name, body=body, options=options)
            call.auth_s = auth_s
            await self._pipeline.serve(call, dialect, request)
        except TenfoldError as error:
            respond.refuse(error, dialect, _request_id(), request)
        except request.gone:
            raise
        except Exception:  # a bug of ours: the client gets a typed 500, the log the stack
            if request.begun:
                raise
            logger.exception("unhandled error", extra={"path": request.path})
            failure = TenfoldError("Tenfold failed to handle this request; it has been logged.")
            respond.refuse(failure, dialect, _request_id(), request)

    async def _other(self, request: Request) -> None:
        path = request.path
        if path == "/livez":
            request.whole(200, respond.JSON, b'{"status":"ok"}')
        elif path == "/readyz":
            ready, body = self._probes.ready()
            request.whole(200 if ready else 503, respond.JSON, body)
        elif path == "/metrics":
            content_type, text = self._probes.metrics()
            request.whole(200, header_lines([("content-type", content_type)]), text)
        elif path == "/v1" or path.startswith("/v1/") or self._resource(path) is not None:
            await self._v1(request, path)
        else:
            await self._pages(request)

    def _resource(self, path: str) -> Resource | None:
        parts = path.split("/", 5)
        for depth in range(len(parts), 2, -1):
            found = self._resources.get("/".join(parts[:depth]))
            if found is not None:
                return found
        return None

    async def _v1(self, request: Request, path: str) -> None:
        """The cold routes of the vendors' APIs, and what is not there."""
        headers = request.headers
        dialect = self._dialects.anthropic if b"anthropic-version" in headers else self._dialects.openai
        try:
            given = headers.get(b"authorization") or offered_key(headers)
            principal = await authenticate(self._keys, given, headers.get(b"x-api-key"))
            resource = self._resource(path)
            if resource is not None:
                await resource.handle(request, principal)
                return
            if request.method in ("GET", "HEAD") and path == "/v1/models":
                body = list_models(dialect.name, self._router.models, request.query)
            elif request.method in ("GET", "HEAD") and path.startswith("/v1/models/"):
                name = unquote(path.removeprefix("/v1/models/"))
                self._router.find(name)
                body = show_model(dialect.name, name)
            else:
                raise NotFound(f"{request.method} {path[:200]} does not exist here.")
            request.whole(200, respond.JSON + respond.request_id_lines(dialect.name, _request_id()), body)
        except TenfoldError as error:
            respond.refuse(error, dialect, _request_id(), request)
        except request.gone:
            raise
        except Exception:  # as for a call
            if request.begun:
                raise
            logger.exception("unhandled error", extra={"path": request.path})
            failure = TenfoldError("Tenfold failed to handle this request; it has been logged.")
            respond.refuse(failure, dialect, _request_id(), request)


def _request_id() -> str:
    return f"req_{uuid7().hex}"
