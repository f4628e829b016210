"""Headers of a reply that more than one part has a say in: each name once, and ours where it is about the client."""

import pytest

from tenfold.core.errors import Conflict, IdempotencyInFlight, IdempotencyInterrupted, RateLimited, TenfoldError
from tenfold.core.headers import header_lines
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import REPLIES, World, asking, streamed

UPSTREAMS = [
    (b"x-ratelimit-limit-requests", b"9000"),
    (b"X-RateLimit-Reset-Tokens".lower(), b"6m"),
    (b"retry-after", b"30"),
]
OURS = header_lines([("RateLimit", '"key";r=9;t=1'), ("X-RateLimit-Limit-Requests", "10")])


@pytest.mark.parametrize("stream", [False, True])
async def test_our_limits_stand_in_place_of_the_upstreams(stream: bool) -> None:
    json = [(b"content-type", b"application/json")]
    reply = (
        streamed("openai", headers=UPSTREAMS) if stream else FakeReply(headers=json + UPSTREAMS, body=REPLIES["openai"])
    )
    world = World({"openai": [reply]})
    world.admission.limits.headers = OURS
    told = await world.ask(asking("openai", stream=stream))
    assert told.headers["X-RateLimit-Limit-Requests"] == "10"
    assert "x-ratelimit-limit-requests" not in told.headers
    assert told.headers["x-ratelimit-reset-tokens"] == "6m"  # we say nothing of it
    assert told.headers["RateLimit"] == '"key";r=9;t=1'


async def test_an_upstreams_refusal_tells_its_own_time_and_our_limits() -> None:
    world = World({"openai": [FakeReply(status=429, headers=UPSTREAMS, body=b"{}")]})
    world.admission.limits.headers = OURS
    told = await world.ask(asking("openai"))
    assert (told.status, told.headers["retry-after"]) == (429, "30")
    names = [name.lower() for name in told.headers]
    assert len(names) == len(set(names))
    assert told.headers["X-RateLimit-Limit-Requests"] == "10"


async def test_a_time_to_wait_among_our_limits_is_told_once() -> None:
    world = World({"openai": []})
    world.admission.limits.headers = OURS + "retry-after: 7\r\n"
    world.admission.limits.refuse_at_reserve = RateLimited("too many", retry_after_s=3)
    told = await world.ask(asking("openai"))
    assert (told.status, told.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize("where", ["enter", "reserve"])
async def test_a_refusal_by_a_limit_tells_where_that_limit_stands(where: str) -> None:
    world = World({"openai": []})
    world.admission.limits.headers = OURS
    error = RateLimited("too many", retry_after_s=3)
    error.headers = header_lines([("RateLimit", '"key";r=0;t=3')])
    setattr(world.admission.limits, f"refuse_at_{where}", error)
    told = await world.ask(asking("openai"))
    assert told.status == 429
    assert {name: told.headers.get(name) for name in ("RateLimit", "retry-after", "X-RateLimit-Limit-Requests")} == {
        "RateLimit": '"key";r=0;t=3',
        "retry-after": "3",
        "X-RateLimit-Limit-Requests": None,
    }
    world.assert_settled()


@pytest.mark.parametrize(
    ("error", "stops"),
    [
        (IdempotencyInterrupted("x"), True),
        (Conflict("x"), True),
        (IdempotencyInFlight("x"), False),
        (RateLimited("x"), False),
    ],
)
async def test_a_conflict_that_will_not_pass_tells_sdks_to_stop(error: TenfoldError, stops: bool) -> None:
    """They try every 409 again by themselves."""
    world = World({"openai": []})
    world.admission.limits.refuse_at_reserve = error
    told = await world.ask(asking("openai"))
    assert told.headers.get("x-should-retry") == ("false" if stops else None)
