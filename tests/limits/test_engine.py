"""Rate limits as the path of a call uses them: several processes over one store, in time that stands still."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from tenfold.core.errors import RateLimited, StoreUnavailable
from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.core.tenant_book import TenantBook
from tenfold.limits.engine import Hold, RateLimits
from tenfold.limits.fake import FakeBlocks
from tenfold.limits.gcra import Rate
from tenfold.limits.ports import Grant
from tenfold.limits.types import Limit, Measure, Owner, Per, TenantLimits, default_limit

WALL = datetime(2026, 8, 15, 12, tzinfo=UTC)
TENANT = TenantId(uuid7())
NOBODYS_S = 10**6


class Time:
    """Nanoseconds of a clock that stands still until told."""

    def __init__(self) -> None:
        self.ns = NOBODYS_S * 10**9

    def __call__(self) -> int:
        return self.ns

    def pass_s(self, seconds: float) -> None:
        self.ns += round(seconds * 10**9)


class World:
    """Processes that share the limits of one tenant."""

    def __init__(self, *limits: Limit, processes: int = 1, defaults: tuple[Limit, ...] = ()) -> None:
        self.time = Time()
        self.blocks = FakeBlocks(self.time)
        self.known = TenantLimits(limits=limits)
        self.reads = 0
        self.away = False
        self.books: list[TenantBook[TenantLimits]] = []
        self.engines = [self.process(processes, defaults) for _ in range(processes)]
        self.engine = self.engines[0]
        self.principal = principal()

    def process(self, alive: int, defaults: tuple[Limit, ...] = (), max_scopes: int = 1000) -> RateLimits:
        book = TenantBook(self.read)
        self.books.append(book)
        return RateLimits(
            book,
            self.blocks,
            holder=uuid7(),
            defaults=defaults,
            alive=lambda: alive,
            now_ns=self.time,
            wall_s=WALL.timestamp,
            max_scopes=max_scopes,
        )

    async def read(self, tenant_id: TenantId) -> TenantLimits:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("away")
        return self.known

    def change(self, *limits: Limit) -> None:
        self.known = TenantLimits(limits=limits)
        for book in self.books:
            book.forget(TENANT)

    async def call(
        self, *, model: str = "m", user: str | None = None, tokens: int = 10, nano: int = 100, process: int = 0
    ) -> Hold:
        """Enters and reserves; lets go of everything when refused, as the pipeline does."""
        engine = self.engines[process]
        hold = await engine.enter(self.principal)
        try:
            await engine.reserve(hold, model=model, end_user=user, tokens=tokens, nano=nano)
        except RateLimited:
            engine.leave(hold, tokens=0, nano=0)
            raise
        return hold

    async def done(self, process: int = 0, *, tokens: int = 10, nano: int = 100, **how: object) -> None:
        """Uses what it has reserved."""
        hold = await self.call(process=process, tokens=tokens, nano=nano, **how)  # type: ignore[arg-type]
        self.engines[process].leave(hold, tokens=tokens, nano=nano)

    async def passed(self, calls: int, **how: object) -> int:
        """How many of so many calls are not refused."""
        passed = 0
        for _ in range(calls):
            try:
                await self.done(**how)  # type: ignore[arg-type]
            except RateLimited:
                continue
            passed += 1
        return passed


def principal(key: int = 1) -> Principal:
    return Principal(tenant_id=TENANT, tenant_slug="acme", key_id=KeyId(UUID(int=key)))


def limit(
    per: Per = "tenant",
    measure: Measure = "requests",
    amount: int = 10,
    window_s: int | None = 60,
    *,
    subject: str | None = None,
    burst: int | None = None,
    owner: Owner = "tenant",
) -> Limit:
    return Limit(
        id=uuid7(),
        tenant_id=TENANT,
        per=per,
        measure=measure,
        amount=amount,
        window_s=None if measure == "concurrency" else window_s,
        subject=subject,
        burst=burst,
        owner=owner,
        created_at=WALL,
    )


# -- refusing --------------------------------------------------------------------------------


async def test_the_call_beyond_the_limit_is_refused_until_the_moment_told() -> None:
    world = World(limit(amount=10, window_s=60))
    assert await world.passed(20) == 10
    with pytest.raises(RateLimited) as refused:
        await world.call()
    assert refused.value.retry_after_s == 6.0
    assert refused.value.message == ("Rate limit reached: 10 requests in 60 s for this tenant. Try again in 6.000 s.")
    world.time.pass_s(5.999)
    assert await world.passed(3) == 0
    world.time.pass_s(0.001)
    assert await world.passed(3) == 1


async def test_without_limits_nothing_is_asked_and_nothing_told() -> None:
    world = World()
    assert await world.passed(100) == 100
    assert (await world.call()).headers == ""
    assert (world.blocks.trips, world.reads) == (0, 1)


@pytest.mark.parametrize("processes", [1, 2, 5])
async def test_processes_together_grant_the_burst_and_no_more(processes: int) -> None:
    world = World(limit(amount=1000), processes=processes)
    passed = 0
    for turn in range(2000):
        passed += await world.passed(1, process=turn % processes)
    assert 1000 - 2 * processes <= passed <= 1000


@pytest.mark.parametrize("processes", [1, 4])
async def test_over_a_long_time_the_rate_is_kept(processes: int) -> None:
    world = World(limit(amount=600, window_s=60, burst=20), processes=processes)
    passed = 0
    for turn in range(6000):  # 25 a second where 10 are allowed
        passed += await world.passed(1, process=turn % processes)
        world.time.pass_s(0.04)
    assert 2400 - 20 <= passed <= 2400 + 20 + 1


async def test_after_a_pause_at_most_a_tenth_of_a_window_comes_on_top() -> None:
    """Units held ahead were taken earlier: the price of not asking for each call."""
    world = World(limit(amount=1000), processes=2)
    for turn in range(200):
        await world.passed(1, process=turn % 2)
        world.time.pass_s(0.01)
    world.time.pass_s(59)
    passed = 0
    for turn in range(1500):
        passed += await world.passed(1, process=turn % 2)
    assert passed <= 1100


async def test_a_small_limit_is_exact() -> None:
    world = World(limit(amount=3, window_s=60), processes=3)
    assert [await world.passed(1, process=n % 3) for n in range(6)] == [1, 1, 1, 0, 0, 0]


# -- whom it holds for -----------------------------------------------------------------------


async def test_each_key_model_and_end_user_has_its_own() -> None:
    for per in ("key", "model", "end_user"):
        world = World(limit(per, amount=2))
        assert await world.passed(3, model="m", user="u") == 2
        world.principal = principal(2)
        assert await world.passed(3, model="n", user="v") == 2


async def test_who_has_no_key_or_names_no_end_user_is_not_limited_by_them() -> None:
    world = World(limit("end_user", amount=1), limit("key", amount=1))
    world.principal = Principal(tenant_id=TENANT, tenant_slug="acme")
    assert await world.passed(5) == 5


async def test_a_limit_that_names_its_subject_takes_the_place_of_that_of_each() -> None:
    world = World(limit("model", amount=2), limit("model", amount=5, subject="dear"))
    assert await world.passed(9, model="dear") == 5
    assert await world.passed(9, model="cheap") == 2


async def test_the_operators_limit_takes_the_place_of_the_default_and_the_tenants_holds_beside_it() -> None:
    default = default_limit("tenant", "requests", 3, 60)
    assert await World(defaults=(default,)).passed(9) == 3
    assert await World(limit(amount=7, owner="operator"), defaults=(default,)).passed(9) == 7
    assert await World(limit(amount=7, owner="tenant"), defaults=(default,)).passed(9) == 3
    assert await World(limit(amount=2, owner="tenant"), defaults=(default,)).passed(9) == 2


async def test_several_windows_hold_at_once() -> None:
    world = World(limit(amount=2, window_s=1), limit(amount=3, window_s=3600))
    assert await world.passed(5) == 2
    world.time.pass_s(1)
    assert await world.passed(5) == 1


# -- tokens and money ------------------------------------------------------------------------


async def test_tokens_are_reserved_by_estimate_and_settled_by_use() -> None:
    world = World(limit(measure="tokens", amount=100))
    first, second = await world.call(tokens=50), await world.call(tokens=50)
    with pytest.raises(RateLimited):
        await world.call(tokens=1)
    world.engine.leave(first, tokens=20, nano=0)
    await world.engine.supply.settled()
    await world.done(tokens=30)
    with pytest.raises(RateLimited):
        await world.call(tokens=1)
    world.engine.leave(second, tokens=50, nano=0)


async def test_what_was_used_beyond_the_estimate_is_a_debt() -> None:
    world = World(limit(measure="tokens", amount=100, window_s=100), processes=2)
    hold = await world.call(tokens=10)
    world.engine.leave(hold, tokens=150, nano=0)
    await world.engine.supply.settled()
    with pytest.raises(RateLimited) as refused:
        await world.call(tokens=1, process=1)
    assert refused.value.retry_after_s == 51.0


async def test_money_is_limited_and_told_in_usd() -> None:
    world = World(limit("key", "usd", amount=2_000_000_000))
    assert await world.passed(5, nano=1_000_000_000) == 2
    with pytest.raises(RateLimited, match=r"2 USD in 60 s for this key"):
        await world.call(nano=500_000_000)


async def test_a_call_that_can_never_pass_is_told_so() -> None:
    world = World(limit(measure="tokens", amount=100))
    with pytest.raises(RateLimited, match=r"may use 101 tokens.*one call may use 100 tokens"):
        await world.call(tokens=101)
    assert await world.passed(1, tokens=100) == 1


async def test_a_big_call_that_is_refused_does_not_keep_a_small_one_out() -> None:
    world = World(limit(measure="tokens", amount=100))
    await world.done(tokens=60)
    with pytest.raises(RateLimited):
        await world.call(tokens=50)
    await world.done(tokens=40)


async def test_a_refused_call_gives_back_what_it_took() -> None:
    world = World(
        limit(measure="tokens", amount=100),
        limit("model", "requests", amount=50),
        limit("end_user", "concurrency", amount=1),
        limit("key", "usd", amount=1000),
    )
    for _ in range(10):
        with pytest.raises(RateLimited, match="USD"):
            await world.call(tokens=100, nano=1001, user="u")
    assert await world.passed(60, tokens=1, nano=1, user="u") == 50


async def test_a_refused_entry_gives_back_what_it_took() -> None:
    world = World(limit("tenant", amount=10), limit("key", amount=2))
    assert await world.passed(10) == 2
    world.principal = principal(2)
    assert await world.passed(10) == 2


async def test_a_call_that_never_reserved_uses_no_tokens() -> None:
    world = World(limit(measure="tokens", amount=100))
    hold = await world.engine.enter(world.principal)
    world.engine.leave(hold, tokens=0, nano=0)
    assert await world.passed(1, tokens=100) == 1


# -- calls at once ---------------------------------------------------------------------------


async def test_calls_at_once_are_limited_over_processes() -> None:
    world = World(limit(measure="concurrency", amount=3), processes=2)
    holds = [await world.call(process=n % 2) for n in range(3)]
    for process in (0, 1):
        with pytest.raises(RateLimited, match="3 calls at once for this tenant"):
            await world.call(process=process)
    world.engines[1].leave(holds[1], tokens=0, nano=0)
    await world.engines[1].supply.settled()
    world.time.pass_s(0.3)
    await world.call(process=0)


async def test_one_process_alone_runs_as_many_as_the_limit_says() -> None:
    world = World(limit("key", "concurrency", amount=20))
    holds = [await world.call() for _ in range(20)]
    with pytest.raises(RateLimited) as refused:
        await world.call()
    assert refused.value.retry_after_s == 1.0
    for hold in holds:
        world.engine.leave(hold, tokens=0, nano=0)
    trips = world.blocks.trips
    assert await world.passed(100) == 100
    assert world.blocks.trips == trips


async def test_seats_of_a_process_that_died_come_back() -> None:
    world = World(limit(measure="concurrency", amount=2), processes=2)
    await world.call(process=0)
    await world.call(process=0)
    with pytest.raises(RateLimited):
        await world.call(process=1)
    world.time.pass_s(8)
    world.engines[0].supply.keep_house()
    await world.engines[0].supply.settled()
    world.time.pass_s(8)
    with pytest.raises(RateLimited):
        await world.call(process=1)
    world.time.pass_s(8)  # from here on process 0 is not heard of any more
    await world.call(process=1)


async def test_seats_nobody_uses_are_given_up() -> None:
    world = World(limit(measure="concurrency", amount=40), processes=2)
    holds = [await world.call(process=0) for _ in range(20)]
    for hold in holds:
        world.engine.leave(hold, tokens=0, nano=0)
    for _ in range(3):
        world.engine.supply.keep_house()
        await world.engine.supply.settled()
    for _ in range(40):
        await world.call(process=1)


# -- the shared store ------------------------------------------------------------------------


async def test_a_flood_of_refused_calls_asks_the_store_no_more() -> None:
    world = World(limit(amount=5, window_s=3600))
    await world.passed(6)
    trips = world.blocks.trips
    assert await world.passed(1000) == 0
    assert world.blocks.trips == trips
    world.time.pass_s(6)  # others may have given back
    assert await world.passed(1000) == 0
    assert world.blocks.trips <= trips + 1


async def test_steady_traffic_asks_seldom() -> None:
    """Three limits, 100 requests a second over 4 processes: round trips for 1,000 requests."""
    world = World(
        limit(amount=12_000),
        limit("key", amount=9_000),
        limit(measure="tokens", amount=6_000_000),
        processes=4,
    )
    for turn in range(8000):
        await world.done(process=turn % 4, tokens=600)
        world.time.pass_s(0.01)
        if turn % 100 == 0:
            await asyncio.gather(*(engine.supply.settled() for engine in world.engines))
        if turn == 2000:
            world.blocks.trips = 0
    assert world.blocks.trips / 6 < 40


async def test_a_warm_process_waits_for_nothing() -> None:
    world = World(limit(amount=100_000), limit("key", amount=100_000), limit(measure="tokens", amount=10_000_000))
    for _ in range(50):
        await world.done()
        world.time.pass_s(0.01)
        await world.engine.supply.settled()
    call = world.done()
    with pytest.raises(StopIteration):  # it runs through without giving way to the event loop
        call.send(None)


async def test_while_the_store_is_away_each_process_has_its_share() -> None:
    world = World(limit(amount=100), processes=4)
    world.blocks.away = True
    assert await world.passed(200) == 25
    supply = world.engine.supply
    assert supply.away
    assert supply.fallbacks > 1
    assert world.blocks.trips == 1
    world.blocks.away = False
    world.time.pass_s(1.001)
    assert await world.passed(200) == 100
    assert not supply.away


async def test_while_the_store_is_away_calls_at_once_are_shared_out() -> None:
    world = World(limit(measure="concurrency", amount=12), processes=4)
    world.blocks.away = True
    for _ in range(3):
        await world.call()
    with pytest.raises(RateLimited):
        await world.call()
    world.blocks.away = False
    world.time.pass_s(2)
    for _ in range(9):
        await world.call()
    with pytest.raises(RateLimited):
        await world.call()


async def test_a_store_that_hangs_is_left_alone() -> None:
    class Hanging(FakeBlocks):
        async def take(self, tenant_id: TenantId, bucket: str, rate: Rate, wanted: int, at_least: int) -> Grant:
            await asyncio.Event().wait()
            raise AssertionError

    world = World(limit(amount=10))
    book = TenantBook(world.read)
    engine = RateLimits(book, Hanging(world.time), holder=uuid7(), now_ns=world.time, timeout_s=0.01)
    world.engines = [engine]
    assert await world.passed(20) == 10
    assert engine.supply.fallbacks >= 1


async def test_idle_units_go_back() -> None:
    world = World(limit(amount=1000), processes=2)
    for _ in range(100):
        await world.done()
        world.time.pass_s(0.01)
    await world.engine.supply.settled()
    for _ in range(3):
        world.engine.supply.keep_house()
        world.time.pass_s(31)
    await world.engine.supply.settled()
    bucket = next(iter(world.engine._tenants[TENANT].buckets.values()))
    assert getattr(bucket, "available") == 0  # noqa: B009


async def test_closing_gives_everything_back() -> None:
    world = World(limit(amount=1000), limit(measure="concurrency", amount=4), processes=2)
    for _ in range(100):
        await world.done()
        world.time.pass_s(0.001)
    await world.engine.aclose()
    world.time.pass_s(0.1)
    assert await world.passed(1100, process=1) >= 900
    for _ in range(4):
        with pytest.raises(RateLimited, match="requests"):
            await world.call(process=1)


async def test_a_cancelled_call_holds_nothing() -> None:
    world = World(limit(measure="concurrency", amount=1), limit(amount=100))
    call = asyncio.ensure_future(world.call())
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await world.engine.supply.settled()
    await world.call()


async def test_many_calls_at_once_share_a_round_trip() -> None:
    world = World(limit(amount=1000))
    results = await asyncio.gather(*(world.call() for _ in range(200)))
    assert len(results) == 200
    assert world.blocks.trips < 20


# -- what is known of a tenant ---------------------------------------------------------------


async def test_a_change_holds_at_once_and_what_was_used_stays_used() -> None:
    kept, seats = limit(amount=5), limit(measure="concurrency", amount=1)
    world = World(kept, seats)
    running = await world.call()
    world.change(kept, seats, limit("model", amount=2))
    with pytest.raises(RateLimited, match="at once"):
        await world.call()
    world.engine.leave(running, tokens=0, nano=0)
    assert await world.passed(9) == 2
    world.change(kept)
    assert await world.passed(9) == 2  # of 5: one, two, and the two that only the model refused are back
    assert world.reads == 3


async def test_while_the_database_is_away_the_old_limits_hold() -> None:
    world = World(limit(amount=5))
    assert await world.passed(3) == 3
    world.away = True
    world.change(limit(amount=5))
    assert await world.passed(9) == 2
    fresh = World(limit())
    fresh.away = True
    with pytest.raises(StoreUnavailable):
        await fresh.call()


async def test_end_users_without_number_do_not_fill_the_memory() -> None:
    world = World(limit("end_user", amount=2))
    engine = world.engine = world.engines[0] = world.process(1, max_scopes=20)
    for number in range(500):
        assert await world.passed(3, user=f"user {number}") == 2
    assert len(engine._scopes) <= 21
    tenant = engine._tenants[TENANT]
    assert len(tenant.users) <= 21
    assert len(tenant.buckets) <= 21
    assert await world.passed(3, user="user 3") == 0  # the store remembers what this process forgot


async def test_refusals_are_counted_by_what_was_limited() -> None:
    world = World(limit("key", amount=2))
    await world.passed(5)
    assert world.engine.refused == {("key", "requests"): 3}
