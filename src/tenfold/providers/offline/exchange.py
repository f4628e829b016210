"""An exchange that was answered in this process: the bytes an HTTP upstream would have sent, without one."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from tenfold.core.errors import UpstreamUnavailable
from tenfold.providers.ports import Headers


class LocalExchange:
    """The body is read once. After `abort` nothing more comes."""

    def __init__(self, status: int, content_type: bytes, body: Iterable[bytes]) -> None:
        self.status = status
        self.headers: Headers = [(b"content-type", content_type)]
        self._body = iter(body)
        self._aborted = False

    @classmethod
    def json(cls, body: bytes, status: int = 200) -> "LocalExchange":
        return cls(status, b"application/json", [body])

    @classmethod
    def stream(cls, frames: Iterable[bytes]) -> "LocalExchange":
        return cls(200, b"text/event-stream", frames)

    def header(self, name: bytes) -> bytes | None:
        return next((value for header, value in self.headers if header == name), None)

    async def read(self) -> bytes:
        return b"".join([block async for block in self.blocks()])

    async def blocks(self) -> AsyncIterator[bytes]:
        for block in self._body:
            if self._aborted:
                raise UpstreamUnavailable("The exchange was aborted.")
            yield block
            await asyncio.sleep(0)  # others have their turn between two frames

    def abort(self) -> None:
        self._aborted = True
