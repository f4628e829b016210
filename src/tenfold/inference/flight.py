"""A flight: the answering of one question in a task of its own, and everybody who listens to it.

To the stages it is a Responder; what they send is kept once, however many listen. It ends when the answer does, or when
nobody listens any more and it was not told to go on.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager

from tenfold.core.call import Call
from tenfold.core.errors import BrokenStream, Overloaded

logger = logging.getLogger(__name__)

AHEAD_BYTES = 16 * 1024
"""How far a flight runs ahead of whoever listens fastest: its upstream is read as somebody reads."""

MAX_LAG_BYTES = 8 * 1024 * 1024
"""How far one listener may be behind the fastest, once the reply is too large for anybody to join."""


class _NobodyLeft(Exception):
    """Never raised: a flight that nobody listens to is cancelled, or goes on."""


class Listener:
    """One reader of a flight's stream. What it has read: `frames` pieces, `size` bytes."""

    __slots__ = ("_flight", "frames", "left_behind", "size")

    def __init__(self, flight: "Flight") -> None:
        self._flight = flight
        self.frames = 0
        self.size = 0
        self.left_behind = False

    async def head(self) -> None:
        """Returns when the status is known. Raises what ended the flight without a reply."""
        flight = self._flight
        while not flight.status:
            flight.raise_failure()
            await flight.news.wait()

    async def next(self) -> bytes:
        """What has come since, in one piece; b"" at the end. Raises BrokenStream, and what ended the flight early."""
        flight = self._flight
        while True:
            if self.left_behind:
                raise BrokenStream("The reply was read too slowly to be kept any longer.")
            if frames := flight.read(self):
                return frames
            flight.raise_failure()
            if flight.ended:
                return b""
            await flight.news.wait()


class Flight:
    """`status` is 0 until the reply begins. `body` is that of a reply in one piece; of a stream, `listening` tells."""

    gone: type[Exception] = _NobodyLeft

    def __init__(self, call: Call, *, keep_bytes: int) -> None:
        """`call` settles with the flight. Up to `keep_bytes` a stream is kept from its first byte on, so that others
        can still join; beyond, only what somebody has yet to read."""
        self.call = call
        self.status = 0
        self.headers = ""
        self.body = b""
        self.is_stream = False
        self.ended = False
        self.goes_on = False  # also when nobody listens
        self.news = _Pulse()
        self.task: asyncio.Task[None] | None = None
        self._keep_bytes = keep_bytes
        self._frames: list[bytes] = []
        self._dropped = 0  # pieces that are no longer in the list
        self._size = 0  # of all pieces there were
        self._listeners: set[Listener] = set()
        self._was_read = _Pulse()
        self._failure: Callable[[], BaseException] | None = None
        self._deserted = False

    @property
    def open(self) -> bool:
        """Whether a newcomer gets the whole of it."""
        return not self.ended and not self._deserted and self.status in (0, 200) and self._size <= self._keep_bytes

    # -- what the stages call: a Responder and its Sender ----------------------------------------

    def whole(self, status: int, headers: str, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body
        self.news.beat()

    def stream(self, status: int, headers: str) -> "Flight":
        self.status, self.headers, self.is_stream = status, headers, True
        self.news.beat()
        return self

    async def send_bytes(self, data: bytes) -> None:
        self._frames.append(data)
        self._size += len(data)
        if self._size > self._keep_bytes:
            self._let_go()
        self.news.beat()
        while self._listeners and self._size - max(one.size for one in self._listeners) > AHEAD_BYTES:
            await self._was_read.wait()

    def end(self, failure: Callable[[], BaseException] | None) -> None:
        """No more will come; `failure` makes what every listener is told. The first word counts."""
        if self.ended:
            return
        self.ended, self._failure = True, failure
        self.news.beat()

    # -- what listeners call ---------------------------------------------------------------------

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        """From its first byte on. Who is the last to leave ends the flight, and returns when it has settled."""
        listener = Listener(self)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self._was_read.beat()
            if not (self._listeners or self.goes_on or self.ended or self.task is None):
                self._deserted = True
                self.task.cancel()
                await asyncio.wait([self.task])

    def read(self, listener: Listener) -> bytes:
        """What this listener has not read yet."""
        frames = b"".join(self._frames[listener.frames - self._dropped :])
        listener.frames, listener.size = self._dropped + len(self._frames), self._size
        self._was_read.beat()
        return frames

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure()

    def _let_go(self) -> None:
        """Of a reply that nobody can join any more, everything that all have read; who is too far behind is left."""
        fastest = max((one.size for one in self._listeners), default=0)
        for one in self._listeners:
            one.left_behind |= fastest - one.size > MAX_LAG_BYTES
        everything = self._dropped + len(self._frames)
        first = min((one.frames for one in self._listeners if not one.left_behind), default=everything)
        if first > self._dropped:
            del self._frames[: first - self._dropped]
            self._dropped = first


class Flights:
    """The flights of this process: begun, found by what they answer, and waited for at the end."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], Flight] = {}
        self._by_key: dict[Hashable, Flight] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def calls(self) -> list[Call]:
        """Those that are in the air."""
        return [flight.call for flight in self._tasks.values()]

    def find(self, key: Hashable) -> Flight | None:
        """A flight that a newcomer can still join. Listen to it at once: it may end with the next step."""
        flight = self._by_key.get(key)
        return flight if flight is not None and flight.open else None

    def begin(
        self, call: Call, fly: Callable[[Flight], Awaitable[object]], *, key: Hashable = None, keep_bytes: int = 0
    ) -> Flight:
        """Listen to it at once. With a `key`, others find it. Raises Overloaded when the process is stopping."""
        if self._closed:
            raise _stopping()
        flight = Flight(call, keep_bytes=keep_bytes)
        if key is not None:
            self._by_key[key] = flight
        flight.task = asyncio.create_task(self._run(flight, fly, key), name=f"inference.flight.{call.request_id}")
        self._tasks[flight.task] = flight
        flight.task.add_done_callback(self._tasks.pop)
        return flight

    async def stop(self, call: Call) -> None:
        """The flight of this call, also one that goes on by itself; returns when it has settled."""
        for task, flight in list(self._tasks.items()):
            if flight.call is call:
                task.cancel()
                await asyncio.wait([task])

    async def aclose(self, timeout_s: float) -> None:
        """No more flights; those in the air get so long to end by themselves."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, flight: Flight, fly: Callable[[Flight], Awaitable[object]], key: Hashable) -> None:
        failure: Callable[[], BaseException] | None = None
        try:
            await fly(flight)
        except asyncio.CancelledError:
            failure = _stopping
            raise
        except Exception as error:  # a bug: whoever listens meets it, and the log if nobody does
            failure = _the(error)
            logger.exception("a flight failed", extra={"request_id": flight.call.request_id})
        finally:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
            flight.end(failure)


class _Pulse:
    """Wakes everybody who waits now, and nobody who comes later."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        self._event.set()
        self._event.clear()

    async def wait(self) -> None:
        await self._event.wait()


def _the(error: Exception) -> Callable[[], Exception]:
    return lambda: error


def _stopping() -> Overloaded:
    return Overloaded("This process is stopping. Try again.", retry_after_s=1)
