"""Header lines: what the draft and the vendors' SDKs read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import RateLimited
from tenfold.limits.headers import duration

from .test_engine import World, limit


def lines(text: str) -> dict[str, str]:
    assert text.endswith("\r\n")
    pairs = [line.split(": ", 1) for line in text.removesuffix("\r\n").split("\r\n")]
    found = dict(pairs)
    assert len(found) == len(pairs), "a header twice"
    return found


async def test_openai_clients_read_their_headers() -> None:
    world = World(limit("key", amount=100), limit("tenant", "tokens", amount=60_000))
    hold = await world.call(tokens=1000)
    assert lines(hold.headers) == {
        "ratelimit-policy": '"tenant-tokens-60s";q=60000;qu="tokens";w=60, "key-requests-60s";q=100;w=60',
        "ratelimit": '"tenant-tokens-60s";r=59000;t=1, "key-requests-60s";r=99;t=1',
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-requests": "600ms",
        "x-ratelimit-limit-tokens": "60000",
        "x-ratelimit-remaining-tokens": "59000",
        "x-ratelimit-reset-tokens": "1s",
    }


async def test_anthropic_clients_read_theirs() -> None:
    world = World(limit("key", amount=100), limit("tenant", "tokens", amount=60_000))
    hold = await world.engine.enter(world.principal, "anthropic")
    found = lines(hold.headers)
    assert found["anthropic-ratelimit-requests-limit"] == "100"
    assert found["anthropic-ratelimit-requests-remaining"] == "99"
    assert found["anthropic-ratelimit-requests-reset"] == "2026-08-15T12:00:01Z"
    assert found["anthropic-ratelimit-tokens-remaining"] == "60000"
    assert found["anthropic-ratelimit-tokens-reset"] == "2026-08-15T12:00:00Z"
    assert not any(name.startswith("x-ratelimit") for name in found)


async def test_money_and_calls_at_once_are_told_in_their_units() -> None:
    world = World(limit("tenant", "usd", amount=5_000), limit("end_user", "concurrency", amount=4))
    hold = await world.call(nano=1_000, user="u")
    assert lines(hold.headers) == {
        "ratelimit-policy": '"tenant-usd-60s";q=5000;qu="nano-usd";w=60, '
        '"end_user-concurrency";q=4;qu="concurrent-requests"',
        "ratelimit": '"tenant-usd-60s";r=4000;t=12, "end_user-concurrency";r=3',
    }


async def test_of_two_of_a_name_and_of_several_windows_the_tightest_is_told() -> None:
    world = World(limit(amount=10), limit(amount=5, owner="operator"), limit(amount=3, window_s=3600))
    found = lines((await world.call()).headers)
    assert found["ratelimit"] == '"tenant-requests-60s";r=4;t=12, "tenant-requests-3600s";r=2;t=1200'
    assert found["x-ratelimit-limit-requests"] == "3"
    assert found["x-ratelimit-reset-requests"] == "20m0s"


async def test_a_refusal_tells_where_the_limits_stand() -> None:
    world = World(limit("key", amount=2))
    await world.passed(2)
    with pytest.raises(RateLimited) as refused:
        await world.engine.enter(world.principal)
    found = lines(refused.value.headers)
    assert found["ratelimit"] == '"key-requests-60s";r=0;t=60'
    assert found["x-ratelimit-remaining-requests"] == "0"
    assert refused.value.retry_after_s == 30


async def test_an_end_users_name_is_in_no_header() -> None:
    world = World(limit("end_user", amount=2))
    assert "mallory" not in (await world.call(user="mallory\r\nset-cookie: a=b")).headers


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (20_000_000, "20ms"),
        (999_000_001, "1s"),
        (1_500_000_000, "1.5s"),
        (8_640_000_000, "8.64s"),
        (360 * 10**9, "6m0s"),
        (3607 * 10**9, "1h0m7s"),
        (90_250_000_000, "1m30.25s"),
    ],
)
def test_durations_are_written_as_openai_does(ns: int, text: str) -> None:
    assert duration(ns) == text


@given(st.integers(0, 10**17))
def test_a_duration_says_what_it_was_made_of(ns: int) -> None:
    text, seconds = duration(ns), 0.0
    for unit, factor in (("h", 3600.0), ("m", 60.0)):
        head, found, tail = text.partition(unit)
        if found and not tail.startswith("s"):
            seconds, text = seconds + float(head) * factor, tail
    seconds += float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else float(text.removesuffix("s") or 0)
    assert abs(seconds - -(-ns // 10**6) / 1000) < 1e-3
