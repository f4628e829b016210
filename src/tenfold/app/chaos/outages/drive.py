"""Load at a steady rate, whatever becomes of it: requests begin at their appointed time and nobody waits for another.
Each is one sample. Beside it, steering the faulty provider and reading the Tenfold's metrics.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import DecodeError, Struct, json

from tenfold.core.errors import UpstreamError
from tenfold.providers.transport import HttpClient, Limits, Origin, Timeouts

_PATIENCE_S = 15.0


class Sample(Struct, frozen=True, kw_only=True):
    """`at`: of its begin, by `time.monotonic`. `status` 0: there was no reply. `provider`: who answered. `passed_by`: a
    target was passed by because its circuit was open."""

    route: str
    at: float
    seconds: float
    status: int
    provider: str = ""
    retry_after: bool = False
    passed_by: bool = False

    @property
    def good(self) -> bool:
        return self.status == 200


class Driver:
    """`send` to a route of the Tenfold on `port`. One for each run: its connections are kept between requests."""

    def __init__(self, port: int, key: str) -> None:
        self._client = HttpClient(
            Origin.parse(f"http://127.0.0.1:{port}"),
            limits=Limits(max_connections=8192, max_waiting=8192),
            timeouts=Timeouts(first_byte_s=_PATIENCE_S, between_bytes_s=_PATIENCE_S, total_s=_PATIENCE_S),
        )
        self._headers = self._client.prepared(
            [
                (b"content-type", b"application/json"),
                (b"authorization", f"Bearer {key}".encode()),
                (b"tenfold-explain", b"route"),
            ]
        )
        self.samples: list[Sample] = []

    async def send(self, route: str) -> Sample:
        """One whole call."""
        body = json.encode({"model": route, "max_tokens": 20, "messages": [{"role": "user", "content": "Go on."}]})
        at = time.monotonic()
        status, provider, why, retry_after = 0, b"", b"", None
        try:
            exchange = await self._client.post("/v1/chat/completions", [], body, prepared=self._headers)
            reply = await exchange.read()
            status = exchange.status if _is_json(reply) else 0
            provider = exchange.header(b"tenfold-provider") or b""
            why = exchange.header(b"tenfold-route") or b""
            retry_after = exchange.header(b"retry-after")
        except UpstreamError:
            pass  # no reply: status 0
        sample = Sample(
            route=route,
            at=at,
            seconds=time.monotonic() - at,
            status=status,
            provider=provider.decode("latin-1"),
            retry_after=retry_after is not None,
            passed_by=b"circuit open" in why,
        )
        self.samples.append(sample)
        return sample

    async def steadily(self, routes: Sequence[str], rate: float, stop: Callable[[], bool]) -> None:
        """`rate` requests a second, to the routes in turn, until `stop` says so; then waits for the last of them."""
        async with asyncio.TaskGroup() as requests:
            began, number = time.monotonic(), 0
            while not stop():
                requests.create_task(self.send(routes[number % len(routes)]))
                number += 1
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))

    async def aclose(self) -> None:
        await self._client.aclose()


class Watch:
    """The faulty provider's `/_faults` and `/_stats`, and Tenfold's `/metrics`. All raise UpstreamError."""

    def __init__(self, provider_port: int, tenfold_port: int) -> None:
        self._provider = HttpClient(Origin.parse(f"http://127.0.0.1:{provider_port}"))
        self._tenfold = HttpClient(Origin.parse(f"http://127.0.0.1:{tenfold_port}"))

    async def set(self, *rules: dict[str, Any]) -> None:
        """In place of those before, in one moment."""
        # The transport has GET and POST, which is all that providers need.
        exchange = await self._provider.post("/_faults", [], json.encode(list(rules)))
        if exchange.status != 200:
            raise UpstreamError(f"The faulty provider refused its rules: {(await exchange.read()).decode()}")
        await exchange.read()

    async def requests(self) -> dict[str, int]:
        """How many each upstream model has got so far."""
        exchange = await self._provider.get("/_stats", [])
        told = json.decode(await exchange.read())
        return {model: count["requests"] for model, count in told["models"].items()}

    async def metric(self, name: str, **labels: str) -> float:
        """The largest value of those that bear these labels; 0 where there is none."""
        exchange = await self._tenfold.get("/metrics", [])
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        values = [
            float(line.rpartition(" ")[2])
            for line in (await exchange.read()).decode().splitlines()
            if line.startswith((f"{name}{{", f"{name} ")) and all(word in line for word in wanted)
        ]
        return max(values, default=0.0)

    async def aclose(self) -> None:
        await self._provider.aclose()
        await self._tenfold.aclose()


def percentile(values: Sequence[float], share: float) -> float:
    """By the nearest rank; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _is_json(body: bytes) -> bool:
    try:
        json.decode(body)
    except (DecodeError, UnicodeDecodeError):
        return False
    return True
