"""The provider as a server: it decides each request's fate, counts it, and lets itself be steered over `/_faults`."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from msgspec import DecodeError, ValidationError, json

from tenfold.app.faults import answers
from tenfold.app.faults.asked import Asked, NotServed, read
from tenfold.app.faults.fate import Capacity, Fate, chance_of, draw
from tenfold.app.faults.http import Connection, Line, Request, head
from tenfold.app.faults.play import Pause, Player
from tenfold.app.faults.rules import Rule, Rules, Stats
from tenfold.app.faults.spec import NONE, FaultSpecError

FAULTS, STATS, PRIVATE = "/_faults", "/_stats", "/_private"
MAX_CONNECTIONS = 8192
_BACKLOG = 2048
_MAX_COUNTED = 1024
_RULES = json.Decoder(list[Rule] | Rule)
_JSON = (("content-type", "application/json"),)


class FaultyProvider:
    """A provider of the OpenAI, Anthropic and Gemini dialects on a port of its own, which is well until told otherwise:

        async with FaultyProvider("status=503@0.2") as provider:
            client = AsyncOpenAI(base_url=provider.openai_url, api_key="any")

    `faults`: a specification (see `tenfold.app.faults.spec`) or rules. With the same `seed`, the n-th request to a
    model meets the same fate in every run. `clock` counts the times of rules, `pause` waits latencies and pauses: a
    test may put its own there. Raises FaultSpecError; OSError when the port is taken.
    """

    def __init__(
        self,
        faults: str | Rule | Sequence[str | Rule] = "none",
        *,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._first = _rules(faults)
        self._rules = Rules((), clock or _loop_time)
        self._stats = Stats()
        self._seed = seed
        self._host = host
        self._port = port
        self._pause = pause
        self._nth: dict[str, int] = {}
        self._places: dict[tuple[str, Capacity], _Places] = {}
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    # -- life ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._first:
            self._rules.set(self._first)
        self._server = await loop.create_server(self._connection, self._host, self._port, backlog=_BACKLOG)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """What Anthropic's and Gemini's SDKs take as their base URL."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def port(self) -> int:
        return self._port

    # -- steering ------------------------------------------------------------------------------

    def set(self, *faults: str | Rule) -> None:
        """In place of all that were set before. Raises FaultSpecError."""
        self._rules.set(_rules(faults))

    def clear(self) -> None:
        """Everything is well again."""
        self._rules.set(())

    def stats(self) -> dict[str, Any]:
        """As `GET /_stats`."""
        return self._stats.told()

    def forget(self) -> None:
        """Counts from zero again."""
        self._stats = Stats()

    # -- connections ---------------------------------------------------------------------------

    def _connection(self) -> asyncio.Protocol:
        if len(self._connections) >= MAX_CONNECTIONS:
            return _Closed()
        connection = Connection(self._serve, self._spawn, self._connections.discard)
        self._connections.add(connection)
        return connection

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, name="faulty provider")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, request: Request, line: Line) -> bool:
        if request.path.startswith("/_"):
            status, value = self._control(request)
            body = json.encode(value)
            await line.write(head(status, _JSON, len(body)) + body)
            return True
        try:
            asked = read(request.method, request.path, request.headers, request.body)
            nth = self._next(asked.model)
            chance = chance_of(self._seed, asked.model, nth)
            fate = draw(self._rules.faults(asked.model, chance), chance)
        except (NotServed, FaultSpecError) as error:
            status = error.status if isinstance(error, NotServed) else 400
            body = json.encode({"error": {"message": str(error), "type": "invalid_request_error"}})
            await line.write(head(status, _JSON, len(body)) + body)
            return True
        return await self._answer(asked, fate, line)

    async def _answer(self, asked: Asked, fate: Fate, line: Line) -> bool:
        served = self._stats.begin(asked.model, fate.names)
        finished = False
        try:
            with self._place(asked.model, fate.capacity) as place:
                player = Player(line, fate, served.head, self._pause)
                if place is not None and not await place.taken():
                    assert fate.capacity is not None
                    over = answers.refusal(asked, 429, fate.capacity.retry_after_s)
                    finished = await Player(line, Fate(), served.head, self._pause).play(over)
                    return finished
                if fate.latency_s:
                    await self._pause(fate.latency_s)
                finished = await player.play(self._meant(asked, fate))
        finally:
            served.end(finished=finished)
        return finished

    def _meant(self, asked: Asked, fate: Fate) -> answers.Answer:
        """The answer with the endings that are told in HTTP's own words; the others are played."""
        ending = fate.ending
        match "" if ending is None else ending.name:
            case "status":
                assert ending is not None
                status, *after = (int(number) for number in ending.numbers)
                return answers.refusal(asked, status, after[0] if after else None)
            case "html":
                return answers.page()
            case "redirect":
                assert ending is not None
                return answers.moved(ending.mode or f"{self.url}{PRIVATE}")
            case "error-event" if not asked.stream:
                return answers.error_in_place(asked)
        return answers.answer(asked, fate)

    def _next(self, model: str) -> int:
        """How many requests to the model came before; beyond a number of models they are counted together."""
        if model not in self._nth and len(self._nth) >= _MAX_COUNTED:
            model = ""
        self._nth[model] = self._nth.get(model, 0) + 1
        return self._nth[model]

    @contextmanager
    def _place(self, model: str, capacity: Capacity | None) -> Iterator["_Place | None"]:
        if capacity is None:
            yield None
            return
        key = (model, capacity)
        places = self._places.setdefault(key, _Places(capacity.places))
        place = _Place(places, waits=capacity.retry_after_s is None)
        places.users += 1
        try:
            yield place
        finally:
            place.leave()
            places.users -= 1
            if not places.users:
                self._places.pop(key, None)

    # -- control -------------------------------------------------------------------------------

    def _control(self, request: Request) -> tuple[int, Any]:
        match request.method, request.path:
            case "GET", path if path == FAULTS:
                return 200, self._rules.told()
            case "PUT" | "POST", path if path == FAULTS:
                try:
                    given = _RULES.decode(request.body)
                    self._rules.set([given] if isinstance(given, Rule) else given)
                except (DecodeError, ValidationError, FaultSpecError, UnicodeDecodeError, RecursionError) as error:
                    return 400, {"error": {"message": str(error)}}
                return 200, self._rules.told()
            case "DELETE", path if path == FAULTS:
                self.clear()
                return 200, []
            case "GET", path if path == STATS:
                return 200, self.stats()
            case "DELETE", path if path == STATS:
                self.forget()
                return 200, self.stats()
            case _, path if path == PRIVATE:  # nobody has business here but who follows a redirect
                self._stats.followed += 1
                return 200, {"secret": "you followed a redirect"}
            case _, path if path in (FAULTS, STATS):
                return 405, {"error": {"message": "GET, PUT, POST and DELETE /_faults; GET and DELETE /_stats"}}
        return 404, {"error": {"message": "There is /_faults and /_stats"}}


class _Places:
    """The places of one capacity, first come first served."""

    def __init__(self, places: int) -> None:
        self.free = asyncio.Semaphore(places)
        self.users = 0  # requests that hold a place or want one


class _Place:
    def __init__(self, places: _Places, *, waits: bool) -> None:
        self._places = places
        self._waits = waits
        self._has = False

    async def taken(self) -> bool:
        """False: there is none, and this one does not wait."""
        if not self._waits and self._places.free.locked():
            return False
        await self._places.free.acquire()
        self._has = True
        return True

    def leave(self) -> None:
        if self._has:
            self._places.free.release()


class _Closed(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _rules(faults: str | Rule | Sequence[str | Rule]) -> list[Rule]:
    given = [faults] if isinstance(faults, str | Rule) else faults
    return [Rule(fault=one) if isinstance(one, str) else one for one in given if one != NONE]


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
