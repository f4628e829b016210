"""A reply of the one path on its way to a client of the Responses API: whose it is is put on it, and what is to be
stored is stored before its end goes out.
"""

from typing import Any

from msgspec import json

from tenfold.edge.http import Request
from tenfold.inference.ports import Sender
from tenfold.inference.responses.making import Making
from tenfold.inference.responses.types import Asked, JsonObject

_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class StoredReply:
    """A Responder and its Sender. `end` once the call has settled: a reply in one piece goes out with it. What cannot
    be stored says so: its `store` is false."""

    def __init__(self, request: Request, making: Making, asked: Asked) -> None:
        self.gone = request.gone
        self._request = request
        self._making = making
        self._asked = asked
        self._stamp = making.codec.stamp(asked.echo)
        self._sender: Sender | None = None
        self._whole: tuple[int, str, bytes] | None = None

    def whole(self, status: int, headers: str, body: bytes) -> None:
        self._whole = status, headers, body

    def stream(self, status: int, headers: str) -> "StoredReply":
        self._sender = self._request.stream(status, headers)
        return self

    async def send_bytes(self, data: bytes) -> None:
        assert self._sender is not None
        ready: list[bytes] = []
        for event in self._stamp.events(data):
            frame = event.frame
            response = self._stamp.response
            if event.type in _ENDS and response is not None and not await self._is_stored(response):
                unstored: dict[str, Any] = {"response": response | {"store": False}}
                frame = self._making.codec.event(event.type, event.sequence, unstored)
            ready.append(frame)
        if ready:
            await self._sender.send_bytes(b"".join(ready))

    async def end(self) -> None:
        """Raises ClientGone."""
        if self._whole is None:
            return
        status, headers, body = self._whole
        if status == 200:
            body = self._stamp.whole(body)
            response = self._stamp.response
            if response is not None and not await self._is_stored(response):
                body = json.encode(response | {"store": False})
        self._request.whole(status, headers, body)

    async def _is_stored(self, response: JsonObject) -> bool:
        return not self._asked.echo.store or await self._making.keep(self._asked, response)
