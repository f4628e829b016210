"""A provider with several keys: calls are spread over them, and what one key is told to wait is its own matter."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from tenfold.app.settings import Settings
from tenfold.app.upstreams import build_providers, build_routes
from tenfold.core.ids import uuid7
from tenfold.health import Healths, Shaper
from tenfold.inference.idempotent import Idempotency
from tenfold.inference.lookup import Lookup
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.planner import Planner
from tenfold.inference.route import Route, Router
from tenfold.ledger.prices import PriceBook
from tests.app.test_upstreams import OFFLINE
from tests.support.pipeline import KEEP_S, REPLIES, World, asking
from tests.support.raw_server import Peer, RawServer

KEYS = ("sk-a", "sk-b", "sk-c")
MOST = 40
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
_LIMITED = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 30\r\ncontent-length: 2\r\n\r\n{}"


@dataclass
class Upstream:
    """Answers, but to the keys that have had too much."""

    limited: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)

    async def script(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            key = (request.header(b"authorization") or b"").decode().removeprefix("Bearer ")
            self.asked[key] += 1
            await peer.send(_LIMITED if key in self.limited else _OK % (len(REPLIES["openai"]), REPLIES["openai"]))


@dataclass(kw_only=True)
class Keyed:
    upstream: Upstream
    world: World
    route: Route

    async def ask(self) -> int:
        return (await self.world.ask(asking("openai", model="m"))).status

    @property
    def shapers(self) -> list[Shaper]:
        return [target.shaper for target in self.route.targets]


@asynccontextmanager
async def keyed() -> AsyncIterator[Keyed]:
    """The one path, its routes and providers as the settings make them, over real connections."""
    upstream = Upstream()
    async with RawServer(upstream.script) as server:
        settings = Settings.model_validate(
            {
                "providers": {
                    "main": {
                        "kind": "openai",
                        "base_url": f"{server.url}/v1",
                        "api_keys": [f"env:{key[-1].upper()}" for key in KEYS],
                        "max_concurrency": MOST,
                    }
                },
                "models": {"m": {"provider": "main", "price": {"input": 1, "output": 2}}},
            }
        )
        healths = Healths()
        seats = build_providers(settings, {key[-1].upper(): key for key in KEYS}, OFFLINE, healths=healths)
        (route,) = build_routes(settings, seats, {}, PriceBook.load(), healths)
        world = World({})
        world.pipeline = Pipeline(
            admit=world.admission.admit,
            router=Router([route]),
            lookup=Lookup(world.cache, "never"),
            planner=Planner(dice=Random(7).random),
            sink=world.outcomes,
            idempotency=Idempotency(world.keys, uuid7(), max_reply_bytes=1 << 16, keep_s=KEEP_S),
        )
        try:
            yield Keyed(upstream=upstream, world=world, route=route)
            world.assert_settled()
            for target in route.targets:
                assert (target.health.in_flight, target.shaper.in_flight) == (0, 0)
        finally:
            for seat in seats["main"]:
                await seat.provider.aclose()


async def test_calls_one_after_the_other_are_spread_over_the_keys() -> None:
    async with keyed() as each:
        assert {await each.ask() for _ in range(60)} == {200}
        assert each.upstream.asked.keys() == set(KEYS)
        assert min(each.upstream.asked.values()) >= 10


async def test_calls_at_once_are_spread_over_the_keys() -> None:
    async with keyed() as each:
        assert set(await asyncio.gather(*(each.ask() for _ in range(60)))) == {200}
        assert min(each.upstream.asked.values()) >= 10


async def test_a_key_that_has_had_too_much_gets_less_and_the_others_serve_its_calls() -> None:
    async with keyed() as each:
        each.upstream.limited = {"sk-b"}
        assert set(await asyncio.gather(*(each.ask() for _ in range(60)))) == {200}
        first, second, third = each.shapers
        assert second.limit < MOST
        assert first.limit == third.limit == MOST, "they were told nothing"
        told = each.upstream.asked["sk-b"]
        assert told >= 1

        assert {await each.ask() for _ in range(30)} == {200}

        assert each.upstream.asked["sk-b"] == told, "it was told to wait 30 s, and nobody asks with it"
        assert {call.degraded for call in each.world.outcomes.calls} <= {(), ("fallback",)}


async def test_a_key_that_has_recovered_grows_again() -> None:
    async with keyed() as each:
        shaper = each.shapers[1]
        for _ in range(2):
            assert shaper.try_enter()
        shaper.leave(limited=True, rtt_s=0.001)
        shaper.leave(limited=False, rtt_s=None)
        assert shaper.limit == 1
        for _ in range(12):
            await asyncio.gather(*(each.ask() for _ in range(30)))
        assert 1 < shaper.limit <= MOST
        assert each.shapers[0].limit == each.shapers[2].limit == MOST
