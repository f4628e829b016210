"""The front door: an RSGI application. It finds the route, reads the body, and hands the call to the one path.

It holds no rules: what a call may do, costs and answers is decided in the layers below.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote

from tenfold.core.call import Call, Operation
from tenfold.core.errors import InvalidRequest, NotFound, TenfoldError
from tenfold.core.ids import uuid7
from tenfold.edge.body import read_body
from tenfold.edge.flights import Flights
from tenfold.edge.models import list_models, show_model
from tenfold.edge.options import read_options
from tenfold.inference import respond
from tenfold.inference.authenticate import Keys, authenticate
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.ports import ClientDialect, Sender
from tenfold.inference.route import Router

logger = logging.getLogger(__name__)

Handler = Callable[[Any, Any], Awaitable[None]]


class Probes(Protocol):
    """What orchestrators and scrapers ask."""

    def ready(self) -> tuple[bool, bytes]:
        """Whether this process may get traffic, and a JSON object of the checks."""
        ...

    def metrics(self) -> tuple[str, bytes]:
        """Content type and text of the Prometheus exposition."""
        ...


@dataclass(frozen=True, kw_only=True)
class Dialects:
    openai: ClientDialect
    anthropic: ClientDialect


class _RsgiResponder:
    """A reply to one RSGI request."""

    __slots__ = ("_proto", "begun")

    gone: type[Exception]

    def __init__(self, proto: Any) -> None:
        self._proto = proto
        self.begun = False

    def whole(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.begun = True
        self._proto.response_bytes(status, headers, body)

    def stream(self, status: int, headers: list[tuple[str, str]]) -> Sender:
        self.begun = True
        sender: Sender = self._proto.response_stream(status, headers)
        return sender


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
        client_gone: type[Exception],
    ) -> None:
        self._keys = keys
        self._pipeline = pipeline
        self._router = router
        self._dialects = dialects
        self._probes = probes
        self._pages = pages
        self._max_body_bytes = max_body_bytes
        _responder = type("Responder", (_RsgiResponder,), {"__slots__": (), "gone": client_gone})
        self._responder: type[_RsgiResponder] = _responder
        self.flights = Flights()
        self._calls: dict[str, tuple[Operation, ClientDialect]] = {
            "/v1/chat/completions": ("chat", dialects.openai),
            "/v1/embeddings": ("embeddings", dialects.openai),
            "/v1/messages": ("chat", dialects.anthropic),
            "/v1/messages/count_tokens": ("count_tokens", dialects.anthropic),
        }

    async def handle(self, scope: Any, proto: Any) -> None:
        """One HTTP request. Never raises."""
        try:
            route = self._calls.get(scope.path)
            if route is not None:
                await self._call(scope, proto, *route)
            else:
                await self._other(scope, proto)
        except asyncio.CancelledError:
            pass  # the client hung up, or the server stops: the call has settled
        except self._responder.gone:
            pass
        except Exception:  # the edge of the process: a bug must not take the connection's task down unlogged
            logger.exception("unhandled error", extra={"path": scope.path})

    async def _call(self, scope: Any, proto: Any, operation: Operation, dialect: ClientDialect) -> None:
        flight = self.flights.begin(proto)
        responder = self._responder(proto)
        try:
            headers = scope.headers
            if scope.method != "POST":
                raise NotFound(f"{scope.method} {scope.path} does not exist; use POST.")
            principal = await authenticate(self._keys, headers.get("authorization"), headers.get("x-api-key"))
            options = read_options(headers)
            body = await read_body(proto, headers.get("content-length"), self._max_body_bytes)
            call = Call(principal=principal, operation=operation, dialect=dialect.name, body=body, options=options)
            await self._pipeline.serve(call, dialect, responder)
        except TenfoldError as error:
            refuse(error, dialect, responder)
        except Exception:  # a bug of ours: the client gets a typed 500, the log the stack
            if responder.begun:
                raise
            logger.exception("unhandled error", extra={"path": scope.path})
            refuse(TenfoldError("Tenfold failed to handle this request; it has been logged."), dialect, responder)
        finally:
            self.flights.end(flight)

    async def _other(self, scope: Any, proto: Any) -> None:
        path = scope.path
        if path == "/livez":
            proto.response_bytes(200, [respond.JSON], b'{"status":"ok"}')
        elif path == "/readyz":
            ready, body = self._probes.ready()
            proto.response_bytes(200 if ready else 503, [respond.JSON], body)
        elif path == "/metrics":
            content_type, text = self._probes.metrics()
            proto.response_bytes(200, [("content-type", content_type)], text)
        elif path == "/v1" or path.startswith("/v1/"):
            await self._v1(scope, proto, path)
        else:
            await self._pages(scope, proto)

    async def _v1(self, scope: Any, proto: Any, path: str) -> None:
        """The cold routes of the vendors' APIs, and what is not there."""
        headers = scope.headers
        dialect = self._dialects.anthropic if headers.get("anthropic-version") else self._dialects.openai
        responder = self._responder(proto)
        try:
            await authenticate(self._keys, headers.get("authorization"), headers.get("x-api-key"))
            if scope.method == "GET" and path == "/v1/models":
                body = list_models(dialect.name, self._router.models, scope.query_string)
            elif scope.method == "GET" and path.startswith("/v1/models/"):
                name = unquote(path.removeprefix("/v1/models/"))
                self._router.find(name)
                body = show_model(dialect.name, name)
            else:
                raise NotFound(f"{scope.method} {path[:200]} does not exist here.")
            responder.whole(200, [respond.JSON, *respond.request_id_headers(dialect.name, _request_id())], body)
        except TenfoldError as error:
            refuse(error, dialect, responder)


def refuse(error: TenfoldError, dialect: ClientDialect, responder: _RsgiResponder) -> None:
    """An error before there was a call."""
    request_id = _request_id()
    headers = [
        respond.JSON,
        *respond.request_id_headers(dialect.name, request_id),
        *respond.retry_headers(error),
    ]
    if isinstance(error, InvalidRequest) and error.status == 413:
        headers.append(("connection", "close"))
    responder.whole(error.status, headers, dialect.encode_error(error, request_id))


def _request_id() -> str:
    return f"req_{uuid7().hex}"
