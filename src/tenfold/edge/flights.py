"""Calls in progress, and whether their clients still listen. A client that hung up cancels its call within a second."""

import asyncio
from typing import Any

# A call is watched for its client hanging up only once it is this old: most are done before, and a watch is a task.
SWEEP_S = 0.25


class Flight:
    __slots__ = ("proto", "swept", "task", "watch")

    def __init__(self, task: "asyncio.Task[Any]", proto: Any) -> None:
        self.task = task
        self.proto = proto
        self.swept = False
        self.watch: asyncio.Task[None] | None = None


class Flights:
    def __init__(self) -> None:
        self._flights: set[Flight] = set()
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._flights)

    def begin(self, proto: Any) -> Flight:
        task = asyncio.current_task()
        assert task is not None
        flight = Flight(task, proto)
        self._flights.add(flight)
        return flight

    def end(self, flight: Flight) -> None:
        self._flights.discard(flight)
        if flight.watch is not None:
            flight.watch.cancel()
        if not self._flights:
            self._empty.set()

    async def sweep(self) -> None:
        """Runs until cancelled: gives every call that has seen a sweep before a watch of its own."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for flight in self._flights:
                if flight.swept and flight.watch is None:
                    flight.watch = asyncio.create_task(_watch(flight), name="edge.flight.watch")
                flight.swept = True

    async def landed(self, timeout_s: float) -> bool:
        """Wait until no call is in progress; False when the time ran out."""
        self._empty.clear()
        if not self._flights:
            return True
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


async def _watch(flight: Flight) -> None:
    await flight.proto.client_disconnect()
    flight.task.cancel()
