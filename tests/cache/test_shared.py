"""The cache that processes share: one contract over the fake and a real Valkey; and what it is when it is away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from tenfold.cache.exact import Answer
from tenfold.cache.fake import FakeSharedAnswers
from tenfold.cache.ports import SharedAnswers
from tenfold.cache.valkey import ValkeyAnswers
from tenfold.core.clock import FakeClock
from tenfold.core.usage import Usage
from tests.support.valkey import ValkeyServer, valkey_server

__all__ = ["valkey_server"]

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
ANSWER = Answer(
    body=b'{"said": "\xc3\xa9"}',
    stream=True,
    usage=Usage(input_tokens=7, output_tokens=3),
    provider="p",
    model="m",
    upstream_model="m-2026",
    target_model="t",
    served_by="tenfold-provider: p\r\n",
    on_request=True,
    stored_s=12.0,
    degraded=("fallback",),
)

Make = Callable[[FakeClock], SharedAnswers]


@pytest.fixture(params=["fake", "valkey"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    made: list[SharedAnswers] = []

    def one(clock: FakeClock) -> SharedAnswers:
        shared: SharedAnswers
        if request.param == "fake":
            shared = FakeSharedAnswers(ttl_s=60, clock=lambda: clock.now().timestamp())
        else:
            server: ValkeyServer = request.getfixturevalue("valkey_server")
            shared = ValkeyAnswers(
                Redis.from_url(server.url, socket_timeout=5), ttl_s=60, clock=lambda: clock.now().timestamp()
            )
        made.append(shared)
        return shared

    yield one
    for shared in made:
        await shared.aclose()


async def kept(shared: SharedAnswers, tenant_id: UUID, key: bytes = KEY) -> tuple[Answer, float]:
    """What was put a moment ago: it is written in its own time."""
    for _ in range(1000):
        found = await shared.get(tenant_id, key)
        if found is not None:
            return found
        await asyncio.sleep(0.005)
    raise AssertionError("it was not kept")


async def test_what_one_process_puts_another_finds(make: Make) -> None:
    clock, tenant_id = FakeClock(), uuid4()
    shared = make(clock)
    shared.put(tenant_id, KEY, ANSWER)
    await kept(shared, tenant_id)
    clock.advance(5)
    answer, age_s = await kept(shared, tenant_id)
    assert (answer.body, answer.usage, answer.stream, answer.degraded) == (
        ANSWER.body,
        ANSWER.usage,
        True,
        ("fallback",),
    )
    assert (answer.served_by, answer.on_request, age_s) == (ANSWER.served_by, True, 5)


async def test_it_is_the_tenants_and_the_keys_alone(make: Make) -> None:
    tenant_id = uuid4()
    shared = make(FakeClock())
    shared.put(tenant_id, KEY, ANSWER)
    await kept(shared, tenant_id)
    assert await shared.get(uuid4(), KEY) is None
    assert await shared.get(tenant_id, OTHER_KEY) is None


async def test_it_is_good_for_its_time(make: Make) -> None:
    clock, tenant_id = FakeClock(), uuid4()
    shared = make(clock)
    shared.put(tenant_id, KEY, ANSWER)
    await kept(shared, tenant_id)
    clock.advance(61)
    assert await shared.get(tenant_id, KEY) is None


async def test_a_server_that_is_away_costs_no_call_its_answer(valkey_server: ValkeyServer) -> None:
    clock = FakeClock()
    shared = ValkeyAnswers(
        Redis.from_url("redis://127.0.0.1:1/0", socket_timeout=1), ttl_s=60, monotonic_clock=clock.monotonic_s
    )
    tenant_id = uuid4()
    assert await shared.get(tenant_id, KEY) is None
    shared.put(tenant_id, KEY, ANSWER)
    assert await shared.get(tenant_id, KEY) is None
    assert (shared.faults, shared.misses) == (1, 2), "it is left alone for a while"
    clock.advance(2)
    assert await shared.get(tenant_id, KEY) is None
    assert shared.faults == 2
    await shared.aclose()


async def test_a_value_that_cannot_be_read_is_none(valkey_server: ValkeyServer) -> None:
    client = Redis.from_url(valkey_server.url, socket_timeout=5)
    shared, tenant_id = ValkeyAnswers(client, ttl_s=60), uuid4()
    shared.put(tenant_id, KEY, ANSWER)
    await kept(shared, tenant_id)
    (name,) = [name async for name in client.scan_iter(f"*{tenant_id.hex}*")]
    for value in (b"", b"\xc1", b"\x92\x01\x02", b"x" * 100):
        await client.set(name, value)
        assert await shared.get(tenant_id, KEY) is None
    await shared.aclose()


async def test_more_than_can_wait_is_let_go(valkey_server: ValkeyServer) -> None:
    shared = ValkeyAnswers(Redis.from_url(valkey_server.url, socket_timeout=5), ttl_s=60)
    tenant_id = uuid4()
    for number in range(1000):
        shared.put(tenant_id, b"%d" % number, ANSWER)
    await kept(shared, tenant_id, b"0")
    assert await shared.get(tenant_id, b"999") is None
    await shared.aclose()
