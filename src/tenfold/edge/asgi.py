"""An ASGI application behind the RSGI server: the control plane and the pages are FastAPI, the hot routes are not."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_TOO_LARGE = b'{"type":"about:blank","title":"Content Too Large","status":413,"code":"request_too_large"}'


class AsgiMount:
    """Each call runs one ASGI request; a reply is sent whole when the application gives it in one piece."""

    def __init__(self, app: AsgiApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Any, proto: Any) -> None:
        receive, send = _Receive(proto, self._max_body_bytes), _Send(proto)
        length = scope.headers.get("content-length")
        if length is not None and length.isdigit() and int(length) > self._max_body_bytes:
            receive.over = True
        else:
            try:
                await self._app(_asgi_scope(scope), receive, send)
            except Exception:
                if not receive.over:  # else it is the application's word for a client that went away
                    raise
        if receive.over and not send.begun:
            proto.response_bytes(413, [("content-type", "application/problem+json")], _TOO_LARGE)


def _asgi_scope(scope: Any) -> dict[str, Any]:
    client_host, _, client_port = scope.client.rpartition(":")
    server_host, _, server_port = scope.server.rpartition(":")
    headers = [
        (name.encode("latin-1"), value.encode("latin-1", "replace"))
        for name in dict.fromkeys(scope.headers.keys())
        for value in scope.headers.get_all(name)
    ]
    if scope.authority and not any(name == b"host" for name, _ in headers):
        headers.append((b"host", scope.authority.encode("latin-1")))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": scope.http_version,
        "method": scope.method,
        "scheme": scope.scheme,
        "path": unquote(scope.path),
        "raw_path": scope.path.encode("latin-1", "replace"),
        "query_string": scope.query_string.encode("latin-1", "replace"),
        "root_path": "",
        "headers": headers,
        "client": (client_host, int(client_port)) if client_port.isdigit() else None,
        "server": (server_host, int(server_port)) if server_port.isdigit() else None,
        "extensions": {},
    }


class _Receive:
    def __init__(self, proto: Any, limit: int) -> None:
        self._proto = proto
        self._limit = limit
        self._chunks: Any = None
        self._read = 0
        self._done = False
        self.over = False  # the body passed the limit

    async def __call__(self) -> Message:
        if self.over:
            return {"type": "http.disconnect"}
        if self._done:
            await self._proto.client_disconnect()
            return {"type": "http.disconnect"}
        if self._chunks is None:
            self._chunks = aiter(self._proto)
        try:
            # Not `anext(chunks, None)`: CPython 3.11 crashes on it where an iterator ends by raising at once, as here.
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._done = True
            return {"type": "http.request", "body": b"", "more_body": False}
        self._read += len(chunk)
        if self._read > self._limit:  # the application sees a client that went away; nothing of the rest is read
            self._done = self.over = True
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": bytes(chunk), "more_body": True}


class _Send:
    def __init__(self, proto: Any) -> None:
        self._proto = proto
        self._status = 500
        self._headers: list[tuple[str, str]] = []
        self._transport: Any = None
        self._sent = False
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self.begun = True
            self._headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            return
        if message["type"] != "http.response.body" or self._sent:
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._transport is None and not more:
            self._sent = True
            self._proto.response_bytes(self._status, self._headers, bytes(body))
            return
        if self._transport is None:
            self._transport = self._proto.response_stream(self._status, self._headers)
        if body:
            await self._transport.send_bytes(bytes(body))
        else:
            await asyncio.sleep(0)
        self._sent = not more
