"""A job's events over WebSocket (RFC 6455), by the protocol of `websockets` on a connection of our own server.

Messages go one way, so a client that sends one is refused. Close codes: 1000 the job has ended and all is told; 1001
this process stops, come again; 1003 nothing is read here; 1011 no pong; 1013 the database is away, come again.
"""

import asyncio
import base64
import binascii
from asyncio import Task
from collections.abc import AsyncGenerator

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.utils import accept_key

from tenfold.core.errors import InvalidRequest, TenfoldError
from tenfold.core.headers import header_lines
from tenfold.edge.http import Request
from tenfold.edge.progress.beats import Beats
from tenfold.edge.progress.frames import as_message
from tenfold.jobs.types import JobEvent

PROTOCOL = "tenfold.progress.v1"
_KEY = "tenfold.key."
_MAX_MESSAGE = 4096  # nothing but pongs and a close comes from a client
_MISSED = 2  # beats without a pong
_GOODBYE_S = 5.0  # for the client's own close frame


def offered_key(headers: dict[bytes, bytes]) -> bytes | None:
    """The API key of a browser, which cannot set headers: the protocol `tenfold.key.<key>` beside the one it speaks.
    As an `Authorization` would say it."""
    for offered in headers.get(b"sec-websocket-protocol", b"").decode("latin-1").split(","):
        if (name := offered.strip()).startswith(_KEY):
            return f"Bearer {name.removeprefix(_KEY)}".encode("latin-1")
    return None


class ProgressSocket:
    """One client. `run` within the request's task; what the client sends arrives meanwhile."""

    __slots__ = ("_left", "_missed", "_over", "_protocol", "_task", "_wire")

    def __init__(self, request: Request) -> None:
        """Answers the handshake. Raises InvalidRequest, ClientGone."""
        headers = _agreed(request)
        self._protocol = Protocol(SERVER, state=OPEN, max_size=_MAX_MESSAGE)
        self._task: Task[None] | None = None
        self._over: asyncio.Future[None] | None = None  # both have said goodbye
        self._missed = 0
        self._left = False
        self._wire = request.switch(headers, self._take)

    async def run(self, first: JobEvent | None, events: AsyncGenerator[JobEvent, None], beats: Beats) -> None:
        """Raises ClientGone, CancelledError (the client hung up)."""
        self._task = asyncio.current_task()
        place = beats.join(self)
        code, reason = CloseCode.NORMAL_CLOSURE, ""
        try:
            if first is not None:
                await self._tell(first)
            async for event in events:
                await self._tell(event)
        except TenfoldError as error:
            code, reason = CloseCode.TRY_AGAIN_LATER, error.code
        except asyncio.CancelledError:
            if not self._left:
                raise
            if self._task is not None:
                self._task.uncancel()
            code, reason = CloseCode.GOING_AWAY, "this process stops"
        finally:
            self._task = None
            beats.part(self, place)
        await self._close(code, reason)

    def beat(self) -> None:
        if self._protocol.state is not OPEN:
            return
        if self._missed >= _MISSED:
            self._protocol.fail(CloseCode.INTERNAL_ERROR, "no pong")
        elif not self._wire.write_paused:
            self._missed += 1
            self._protocol.send_ping(b"")
        self._send()

    def leave(self) -> None:
        self._end()

    # -- inside ------------------------------------------------------------------------------

    async def _tell(self, event: JobEvent) -> None:
        if self._protocol.state is not OPEN:
            return  # the client has said goodbye, and this task hears of it next
        self._protocol.send_text(as_message(event))
        self._send()
        if self._wire.write_paused:
            await self._wire.drained()

    def _take(self, data: bytes) -> None:
        protocol = self._protocol
        if protocol.eof_sent:
            return  # it is over; what still comes is not looked at
        protocol.receive_data(data)
        for frame in protocol.events_received():
            if not isinstance(frame, Frame):
                continue
            if frame.opcode is Opcode.PONG:
                self._missed = 0
            elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT) and protocol.state is OPEN:
                protocol.fail(CloseCode.UNSUPPORTED_DATA, "nothing is read here")
        self._send()

    def _send(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._wire.write(data)
            else:  # the protocol's word for the end
                self._end()

    def _end(self) -> None:
        """Whatever `run` is waiting for, it goes on."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        if self._task is not None and not self._left:
            self._left = True
            self._task.cancel()

    async def _close(self, code: CloseCode, reason: str) -> None:
        """And wait for the client's answer: a connection closed too early may lose what it has not read yet."""
        if self._protocol.state is not OPEN or self._wire.closed:
            return
        self._protocol.send_close(code, reason)
        self._over = asyncio.get_running_loop().create_future()
        self._send()
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._over
        except TimeoutError:
            return


def _agreed(request: Request) -> str:
    """The header lines of the handshake (RFC 6455, section 4.2). Raises InvalidRequest."""
    if request.header(b"sec-websocket-version") != "13":
        raise InvalidRequest("Sec-WebSocket-Version: only 13 is spoken here.", param="Sec-WebSocket-Version")
    key = request.header(b"sec-websocket-key") or ""
    try:
        whole = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        whole = False
    if not whole:
        raise InvalidRequest("Sec-WebSocket-Key: 16 bytes in Base64 are needed.", param="Sec-WebSocket-Key")
    lines = [("sec-websocket-accept", accept_key(key))]
    if offered := request.header(b"sec-websocket-protocol"):
        names = [name.strip() for name in offered.split(",")]
        if PROTOCOL not in names:
            raise InvalidRequest(
                f"Sec-WebSocket-Protocol: {PROTOCOL} is spoken here, and must be among those offered.",
                param="Sec-WebSocket-Protocol",
            )
        lines.append(("sec-websocket-protocol", PROTOCOL))
    return header_lines(lines)
