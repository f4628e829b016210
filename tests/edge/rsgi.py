"""The server's side of RSGI, played by hand: what a handler is given and what it answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any


class Gone(Exception):
    """The client hung up."""


class Headers:
    def __init__(self, pairs: dict[str, str]) -> None:
        self._pairs = {name.lower(): value for name, value in pairs.items()}

    def get(self, key: str, default: str | None = None) -> str | None:
        return self._pairs.get(key, default)

    def get_all(self, key: str) -> list[str]:
        return [self._pairs[key]] if key in self._pairs else []

    def keys(self) -> list[str]:
        return list(self._pairs)


class Scope:
    proto = "http"
    http_version = "1.1"
    client = "127.0.0.1:5000"
    server = "127.0.0.1:8080"
    scheme = "http"
    authority: str | None = "127.0.0.1:8080"

    def __init__(self, method: str, path: str, headers: dict[str, str] | None = None, query: str = "") -> None:
        self.method = method
        self.path = path
        self.query_string = query
        self.headers = Headers(headers or {})


class Proto:
    """One request's protocol object."""

    def __init__(self, chunks: list[bytes], on_send: Callable[[], None] | None = None) -> None:
        self._chunks = chunks
        self._on_send = on_send
        self.taken = 0
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self.pieces: list[bytes] = []
        self.hung_up = asyncio.Event()

    async def __call__(self) -> bytes:
        self.taken = len(self._chunks)
        return b"".join(self._chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            self.taken += 1
            yield chunk

    async def client_disconnect(self) -> None:
        await self.hung_up.wait()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        assert self.status is None, "answered twice"
        self.status, self.headers, self.body = status, dict(headers), body

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Any:
        assert self.status is None, "answered twice"
        self.status, self.headers = status, dict(headers)
        return self

    async def send_bytes(self, data: bytes) -> None:
        if self.hung_up.is_set():
            raise Gone
        self.pieces.append(data)
        self.body += data
        if self._on_send is not None:
            self._on_send()
