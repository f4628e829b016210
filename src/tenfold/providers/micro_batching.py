"""A provider whose calls for embeddings wait a moment for others of their kind, and are then one request upstream.

What is refused of many is asked of each alone, so that nobody answers for another's input. It keeps no call that was
not asked for in its window, and knows no tenants: the vectors and the usage of each caller are cut out of the reply.
"""

import asyncio
import copy
from asyncio import CancelledError, Future
from collections.abc import Hashable, Iterator, Mapping

from msgspec import Struct

from tenfold.core.errors import TenfoldError, UpstreamError, UpstreamUnavailable
from tenfold.core.ids import uuid7
from tenfold.providers.facts import DEADLINE, REQUEST_ID
from tenfold.providers.merging import Merge, Texts
from tenfold.providers.offline.exchange import LocalExchange
from tenfold.providers.ports import NEVER_SENT, Exchange, Headers, Provider, WireRequest

MAX_BYTES = 256 * 1024
"""Of the inputs of one joined request. A token is at least a byte; OpenAI takes at most 300,000 tokens a request."""

_OF_THE_INPUT = frozenset(range(400, 500)) - {401, 403, 404, 408, 429}  # statuses that may be one caller's fault
_LENGTH = frozenset((b"content-length", b"content-encoding", b"transfer-encoding"))
_IDEMPOTENCY_KEY = b"idempotency-key"
_MAX_REMEMBERED = 4096


class Window(Struct, frozen=True, kw_only=True):
    """How long the first caller waits for others, and how many inputs there are at most in a joined request."""

    seconds: float
    inputs: int


class Counts(Struct):
    """Since the start. `joined` callers were answered by `requests` upstream; of the others each was one."""

    requests: int = 0
    joined: int = 0
    refused: int = 0  # requests that were asked again, of each caller alone


class _Caller:
    __slots__ = ("answer", "headers", "texts")

    def __init__(self, texts: Texts, headers: Headers, answer: "Future[Exchange | None]") -> None:
        self.texts = texts
        self.headers = headers
        self.answer = answer  # None: ask it alone


class _Crew:
    """Callers of one window."""

    __slots__ = ("bytes", "callers", "inputs", "is_away", "key", "task", "timer")

    def __init__(self, key: Hashable, timer: asyncio.TimerHandle) -> None:
        self.key = key
        self.timer = timer
        self.callers: list[_Caller] = []
        self.inputs = self.bytes = 0
        self.is_away = False  # nobody can join it any more
        self.task: asyncio.Task[None] | None = None

    def add(self, caller: _Caller, sign: int = 1) -> None:
        self.inputs += sign * len(caller.texts.inputs)
        self.bytes += sign * caller.texts.size


class MicroBatching:
    """`windows`: by the upstream's name of the model; calls of other models, and all that are no embeddings, pass as
    they are. It owns the provider."""

    def __init__(self, provider: Provider, merge: Merge, windows: Mapping[str, Window]) -> None:
        self.name = provider.name
        self.wire = provider.wire
        self.counts = Counts()
        self._provider = provider
        self._merge = merge
        self._windows = {merge.name_of(model): window for model, window in windows.items()}
        self._open: dict[Hashable, _Crew] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._alone: dict[bytes, None] = {}  # ids of calls that failed in company: the next attempt is their own

    async def send(self, request: WireRequest, headers: Headers) -> Exchange:
        """See `Provider.send`."""
        texts = self._merge.take(request)
        window = None if texts is None else self._windows.get(texts.model)
        if texts is None or window is None or not self._may_join(texts, window, headers):
            return await self._provider.send(request, headers)
        caller = _Caller(texts, headers, asyncio.get_running_loop().create_future())
        crew = self._board(caller, window)
        try:
            exchange = await caller.answer
        except CancelledError as left:
            if self._left(crew, caller):
                left.add_note(NEVER_SENT)
            raise
        return exchange if exchange is not None else await self._provider.send(request, headers)

    @property
    def inner(self) -> Provider:
        """Who is asked in the end."""
        return self._provider

    async def check(self) -> str:
        """See `Provider.check`."""
        return await self._provider.check()

    async def aclose(self) -> None:
        """Callers that still wait are told that the provider is away."""
        for crew in list(self._open.values()):
            crew.timer.cancel()
            _fail(crew.callers, UpstreamUnavailable("The provider is closed."))
        self._open.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._provider.aclose()

    # -- who goes together ---------------------------------------------------------------------

    def _may_join(self, texts: Texts, window: Window, headers: Headers) -> bool:
        if window.seconds <= 0 or len(texts.inputs) >= window.inputs or texts.size >= MAX_BYTES:
            return False
        names = dict(headers)
        if _IDEMPOTENCY_KEY in names:
            return False
        failed = _call_of(names)
        if failed in self._alone:
            del self._alone[failed]
            return False
        return True

    def _board(self, caller: _Caller, window: Window) -> _Crew:
        own = tuple(pair for pair in caller.headers if pair[0] not in (REQUEST_ID, DEADLINE))
        key = (caller.texts.model, caller.texts.alike, own)
        crew = self._open.get(key)
        if crew is not None and (
            crew.inputs + len(caller.texts.inputs) > window.inputs or crew.bytes + caller.texts.size > MAX_BYTES
        ):
            self._leave_for(crew)
            crew = None
        if crew is None:
            loop = asyncio.get_running_loop()
            crew = self._open[key] = _Crew(key, loop.call_later(window.seconds, self._time_is_up, key))
        crew.callers.append(caller)
        crew.add(caller)
        if crew.inputs == window.inputs:
            self._leave_for(crew)
        return crew

    def _time_is_up(self, key: Hashable) -> None:
        self._leave_for(self._open[key])

    def _left(self, crew: _Crew, caller: _Caller) -> bool:
        """Whether nothing of it was sent."""
        if not crew.is_away:
            crew.callers.remove(caller)
            crew.add(caller, -1)
            if not crew.callers:
                crew.timer.cancel()
                del self._open[crew.key]
            return True
        if crew.task is not None and all(other.answer.cancelled() for other in crew.callers):
            crew.task.cancel()
        return crew.task is None

    def _leave_for(self, crew: _Crew) -> None:
        """The window is over."""
        crew.is_away = True
        crew.timer.cancel()
        del self._open[crew.key]
        if len(crew.callers) == 1:
            _answer(crew.callers[0], None)
            return
        crew.task = asyncio.create_task(self._ask(crew.callers), name=f"providers.micro_batching.{self.name}")
        self._tasks.add(crew.task)
        crew.task.add_done_callback(self._tasks.discard)

    # -- asking --------------------------------------------------------------------------------

    async def _ask(self, callers: list[_Caller]) -> None:
        try:
            answers = await self._answers(callers)
        except TenfoldError as error:
            self._remember(callers)
            _fail(callers, error)
        except CancelledError:
            _fail(callers, UpstreamUnavailable("The joined request was broken off.", unanswered=True))
        except BaseException as error:
            _fail(callers, error)
        else:
            for caller, answer in zip(callers, answers, strict=True):
                _answer(caller, answer)

    async def _answers(self, callers: list[_Caller]) -> "list[LocalExchange] | list[None]":
        """One for each of them. Raises as `Provider.send`."""
        parts = [caller.texts for caller in callers]
        self.counts.requests += 1
        self.counts.joined += len(callers)
        exchange = await self._provider.send(self._merge.join(parts), _joined_headers(callers))
        try:
            if exchange.status in _OF_THE_INPUT:
                return self._refused(callers)
            try:
                body = await exchange.read()
                bodies = [body] * len(callers) if exchange.status >= 300 else self._merge.split(body, parts)
            except UpstreamError as error:
                if exchange.status < 300 and error.kind != "malformed_reply" and error.status in _OF_THE_INPUT:
                    return self._refused(callers)
                self._remember(callers)
                return [_reply(exchange, _Broken(error)) for _ in callers]
            if exchange.status >= 500:
                self._remember(callers)
            return [_reply(exchange, iter([own])) for own in bodies]
        finally:
            exchange.abort()

    def _refused(self, callers: list[_Caller]) -> list[None]:
        self.counts.refused += 1
        return [None] * len(callers)

    def _remember(self, callers: list[_Caller]) -> None:
        for caller in callers:
            self._alone[_call_of(dict(caller.headers))] = None
        while len(self._alone) > _MAX_REMEMBERED:
            del self._alone[next(iter(self._alone))]


class _Broken(Iterator[bytes]):
    """The body of a reply that could not be read."""

    def __init__(self, error: UpstreamError) -> None:
        self._error = error

    def __next__(self) -> bytes:
        raise copy.copy(self._error)


def _reply(exchange: Exchange, body: Iterator[bytes]) -> LocalExchange:
    """A caller's own, under the head that came for all."""
    own = LocalExchange(exchange.status, b"application/json", body)
    own.headers = [pair for pair in exchange.headers if pair[0] not in _LENGTH]
    return own


def _joined_headers(callers: list[_Caller]) -> Headers:
    """A request id of its own, and the latest deadline if all have one."""
    shared = [pair for pair in callers[0].headers if pair[0] not in (REQUEST_ID, DEADLINE)]
    deadlines = [int(value) for caller in callers for name, value in caller.headers if name == DEADLINE]
    if len(deadlines) == len(callers):
        shared.append((DEADLINE, b"%d" % max(deadlines)))
    return [(REQUEST_ID, f"joined_{uuid7().hex}".encode()), *shared]


def _call_of(headers: dict[bytes, bytes]) -> bytes:
    """The id of the call, whichever its attempt is."""
    return headers.get(REQUEST_ID, b"").partition(b"-")[0]


def _answer(caller: _Caller, answer: Exchange | None) -> None:
    if not caller.answer.done():
        caller.answer.set_result(answer)


def _fail(callers: list[_Caller], error: BaseException) -> None:
    """Each gets one of its own: who catches it may add to it."""
    for caller in callers:
        if not caller.answer.done():
            caller.answer.set_exception(copy.copy(error))
