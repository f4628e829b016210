"""An ASGI application behind the server: the control plane and the pages are FastAPI, the hot routes are not."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from msgspec import json

from tenfold.core.errors import TenfoldError
from tenfold.core.headers import header_lines
from tenfold.edge.http import Request

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_PROBLEM = header_lines([("content-type", "application/problem+json")])
_OURS = frozenset({b"content-length", b"transfer-encoding", b"connection", b"date", b"server"})  # of the server


class AsgiMount:
    """Each call runs one ASGI request, with its body read beforehand. A client that hangs up cancels it."""

    def __init__(self, app: AsgiApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request) -> None:
        try:
            body = await request.body(self._max_body_bytes)
        except TenfoldError as error:  # too large, too slow, broken off
            request.whole(error.status, _PROBLEM, _problem(error))
            return
        await self._app(_scope(request), _Receive(body), _Send(request))


def _problem(error: TenfoldError) -> bytes:
    """RFC 9457."""
    return json.encode({"type": "about:blank", "title": error.message, "status": error.status, "code": error.code})


def _scope(request: Request) -> dict[str, Any]:
    host, _, port = request.client.rpartition(":")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1" if request.http11 else "1.0",
        "method": request.method,
        "scheme": "http",
        "path": unquote(request.path),
        "raw_path": request.path.encode("latin-1"),
        "query_string": request.query.encode("latin-1"),
        "root_path": "",
        "headers": list(request.headers.items()),
        "client": (host, int(port)) if port.isdigit() else None,
        "server": None,
        "extensions": {},
    }


class _Receive:
    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    async def __call__(self) -> Message:
        body, self._body = self._body, None
        if body is None:  # it waits for the client to hang up, and that cancels all of this request
            await asyncio.get_running_loop().create_future()
            raise AssertionError("nobody sets it")
        return {"type": "http.request", "body": body, "more_body": False}


class _Send:
    """A reply is sent whole when the application gives it in one piece."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._status = 500
        self._headers = ""

    async def __call__(self, message: Message) -> None:
        request = self._request
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = header_lines(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in message["headers"]
                if name.lower() not in _OURS
            )
        elif message["type"] == "http.response.body" and not request.finished:
            body, more = bytes(message.get("body", b"")), message.get("more_body", False)
            if not request.begun and not more:
                request.whole(self._status, self._headers, body)
                return
            if not request.begun:
                request.stream(self._status, self._headers)
            await request.send_bytes(body)
            if not more:
                request.finish()
