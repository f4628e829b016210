"""Engines of several processes over the real stores: Postgres, and Valkey, which goes away and comes back."""

import asyncio

import pytest

from tenfold.core.errors import RateLimited
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.core.tenant_book import TenantBook
from tenfold.limits.engine import RateLimits
from tenfold.limits.ports import BlockStore
from tenfold.limits.postgres import PostgresBlocks
from tenfold.limits.types import Limit, TenantLimits
from tenfold.limits.valkey import ValkeyBlocks
from tenfold.store import Store
from tests.support.valkey import ValkeyServer

Tenants = tuple[TenantId, TenantId]


@pytest.fixture(params=["postgres", "valkey"])
def shared(request: pytest.FixtureRequest) -> BlockStore:
    if request.param == "postgres":
        return PostgresBlocks(request.getfixturevalue("store"))
    valkey: ValkeyBlocks = request.getfixturevalue("valkey_blocks")
    return valkey


def process(blocks: BlockStore, limits: tuple[Limit, ...], alive: int, timeout_s: float = 5) -> RateLimits:
    async def read(_tenant_id: TenantId) -> TenantLimits:
        return TenantLimits(limits=limits)

    return RateLimits(TenantBook(read), blocks, holder=uuid7(), alive=lambda: alive, timeout_s=timeout_s)


def limit(tenant_id: TenantId, **how: object) -> Limit:
    fields = {"per": "tenant", "measure": "requests", "amount": 200, "window_s": 30 * 86_400} | how
    return Limit(id=uuid7(), tenant_id=tenant_id, **fields)  # type: ignore[arg-type]


async def passed(engine: RateLimits, tenant_id: TenantId, calls: int) -> int:
    count = 0
    for _ in range(calls):
        try:
            hold = await engine.enter(Principal(tenant_id=tenant_id, tenant_slug="t"))
        except RateLimited:
            continue
        engine.leave(hold, tokens=0, nano=0)
        count += 1
    return count


async def test_processes_share_a_limit(shared: BlockStore, tenants: Tenants) -> None:
    limits = (limit(tenants[0]),)
    engines = [process(shared, limits, alive=4) for _ in range(4)]
    counts = await asyncio.gather(*(passed(engine, tenants[0], 100) for engine in engines))
    assert 200 - 4 * 3 <= sum(counts) <= 200
    for engine in engines:
        await engine.aclose()
        assert engine.supply.fallbacks == 0


async def test_processes_share_seats(shared: BlockStore, tenants: Tenants) -> None:
    limits = (limit(tenants[0], measure="concurrency", window_s=None, amount=5),)
    engines = [process(shared, limits, alive=2) for _ in range(2)]
    principal = Principal(tenant_id=tenants[0], tenant_slug="t")
    holds = [await engines[n % 2].enter(principal) for n in range(5)]
    for engine in engines:
        with pytest.raises(RateLimited):
            await engine.enter(principal)
    for number, hold in enumerate(holds):
        engines[number % 2].leave(hold, tokens=0, nano=0)
    for engine in engines:
        await engine.aclose()
    third = process(shared, limits, alive=1)
    for _ in range(5):
        await third.enter(principal)
    await third.supply.settled()


async def test_a_warm_process_runs_no_query(store: Store, tenants: Tenants) -> None:
    limits = (limit(tenants[0], amount=10**6), limit(tenants[0], per="key", measure="tokens", amount=10**9))
    engine = process(PostgresBlocks(store), limits, alive=2)
    for _ in range(5):
        await passed(engine, tenants[0], 20)
        await engine.supply.settled()
    queries, trips = store.queries_run, engine.supply.trips
    assert await passed(engine, tenants[0], 100) == 100
    assert (store.queries_run, engine.supply.trips) == (queries, trips)
    await engine.aclose()


async def test_valkey_goes_away_and_comes_back(valkey_server: ValkeyServer) -> None:
    tenant_id = TenantId(uuid7())
    blocks = ValkeyBlocks.at(valkey_server.url)
    engine = process(blocks, (limit(tenant_id, amount=100),), alive=4)
    assert await passed(engine, tenant_id, 10) == 10
    await engine.supply.settled()
    valkey_server.stop()
    try:
        held = 10  # at most a tenth of the amount, shared by four, and one in flight
        assert 25 <= await passed(engine, tenant_id, 200) <= 25 + held
        assert (engine.supply.away, engine.supply.fallbacks > 0) == (True, True)
    finally:
        valkey_server.start()
    engine.supply.try_again()
    assert await passed(engine, tenant_id, 200) >= 90  # a new server, with empty buckets
    assert not engine.supply.away
    await engine.aclose()
    await blocks.aclose()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        ValkeyBlocks.at("http://127.0.0.1:1")
