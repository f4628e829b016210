"""Runs the stand-in for model vendors (`tests.support.upstream`) on a thread of its own, for tests of either colour."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from tests.support.upstream.http import Connection, Received
from tests.support.upstream.vendors import KEYS, Vendors

_PATIENCE_S = 10.0


class UpstreamServer:
    """A context manager. `base_url(vendor)` is what the vendor's own SDK would take."""

    keys = KEYS

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self._arrived = threading.Condition()
        self._holds: dict[str, asyncio.Event] = {}
        self._vendors = Vendors()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._started = threading.Event()
        self._port = 0

    def base_url(self, vendor: str) -> str:
        return f"http://127.0.0.1:{self._port}/{vendor}" + ("/v1" if vendor == "openai" else "")

    @contextmanager
    def recording(self) -> Iterator[list[Received]]:
        """The requests that come while the block runs; the list is complete when it ends."""
        seen: list[Received] = []
        first = len(self.requests)
        try:
            yield seen
        finally:
            seen += self.requests[first:]

    def wait_for(self, said: str) -> Received:
        """The first request whose body holds the text, which may be yet to come. Fails after ten seconds."""
        with self._arrived:
            found = self._arrived.wait_for(lambda: self._find(said), _PATIENCE_S)
        assert found is not None, f"no request said {said!r}"
        return found

    def none_said(self, said: str) -> bool:
        return self._find(said) is None

    def release(self, name: str) -> None:
        """Lets go of what `[[hold NAME]]` holds, now and later."""
        self._loop.call_soon_threadsafe(lambda: self._hold(name).set())

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(_PATIENCE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)

    def _find(self, said: str) -> Received | None:
        return next((received for received in self.requests if received.says(said)), None)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._loop.create_server(self._connection, "127.0.0.1", 0, backlog=512))
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _connection(self) -> Connection:
        return Connection(self._vendors.handle, self._note, self._hold)

    def _note(self, received: Received) -> None:
        with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()

    def _hold(self, name: str) -> asyncio.Event:
        return self._holds.setdefault(name, asyncio.Event())


def eventually(condition: Callable[[], bool], what: str, patience_s: float = _PATIENCE_S) -> None:
    """For what another process does and no event tells. Fails when it has not happened in time."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen: {what}"
        time.sleep(0.01)
