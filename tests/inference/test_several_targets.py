"""A model with several upstreams: the next one is tried while the client has seen nothing and it may do better."""

import pytest
from msgspec import json

from tenfold.core.errors import InvalidRequest, TenfoldError, UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import FRAMES, REPLIES, UNTIL_TOKEN, USAGE_FRAME, World, asking, streamed, whole

LIMITS = [(b"content-type", b"application/json"), (b"x-ratelimit-remaining-tokens", b"0"), (b"x-request-id", b"up-1")]
SLOW_DOWN = FakeReply(status=429, headers=[*LIMITS, (b"retry-after", b"9")], body=b'{"error":{"message":"Slow down"}}')

RETRYABLE = [
    SLOW_DOWN,
    FakeReply(status=500, body=b"{}"),
    FakeReply(status=503, body=b"{}"),
    FakeReply(status=529, body=b"{}"),
    FakeReply(status=307, headers=[(b"location", b"http://elsewhere/")]),
    FakeReply(error=UpstreamUnavailable("Nobody there")),
    FakeReply(error=UpstreamTimeout("Too slow")),
    FakeReply(status=500, body=b'{"error":', stop_at=3),
]
FINAL = [400, 409, 413, 422]
ELSEWHERE = [401, 403, 404]  # a key, a right or a name that is wrong here


@pytest.mark.parametrize("failure", RETRYABLE, ids=lambda reply: f"{reply.status}{reply.error or ''}")
@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_target_answers_when_one_fails(failure: FakeReply, stream: bool) -> None:
    answer = streamed("anthropic") if stream else whole("anthropic")
    world = World({"openai": [failure], "anthropic": [answer]})
    told = await world.ask(asking("openai", stream=stream))
    assert told.status == 200
    assert b"Hel" in told.body
    assert told.headers["tenfold-provider"] == "anthropic"
    assert "x-ratelimit-remaining-tokens" not in told.headers, "those were the limits of another"
    call = world.outcomes.only
    assert (call.status, call.provider, call.error) == ("ok", "anthropic", None)
    world.assert_settled()


@pytest.mark.parametrize("status", ELSEWHERE)
async def test_what_is_wrong_with_this_provider_alone_is_no_reason_to_fail(status: int) -> None:
    world = World({"openai": [FakeReply(status=status, body=b"{}")], "spare": [whole("openai")]})
    told = await world.ask(asking("openai"))
    assert (told.status, told.headers["tenfold-provider"]) == (200, "spare")
    assert world.outcomes.only.degraded == ("fallback",)


@pytest.mark.parametrize("status", FINAL)
async def test_what_the_next_one_would_refuse_too_is_final(status: int) -> None:
    world = World({"openai": [FakeReply(status=status, body=b"{}")], "spare": []})
    told = await world.ask(asking("openai"))
    assert told.status == status
    assert len(world.sent) == 1


async def test_a_target_that_cannot_do_it_is_passed_over() -> None:
    world = World({"anthropic": [], "openai": [whole("openai")]})
    told = await world.ask(asking("openai", n=2))
    assert told.body == REPLIES["openai"]
    assert [request.path for request in world.sent] == ["/chat/completions"]


async def test_when_none_can_do_it_the_request_is_refused() -> None:
    world = World({"anthropic": [], "gemini": []})
    told = await world.ask(asking("openai", logit_bias={"1": 1}))
    assert (told.status, told.json["error"]["code"]) == (400, "unsupported_parameter")
    assert world.outcomes.only.provider == "gemini"


async def test_the_last_ones_error_is_told_with_its_own_headers_only() -> None:
    world = World({"openai": [SLOW_DOWN], "spare": [FakeReply(error=UpstreamUnavailable("Nobody there"))]})
    told = await world.ask(asking("openai"))
    assert (told.status, told.json["error"]["message"]) == (502, "Nobody there")
    assert told.headers["tenfold-provider"] == "spare"
    for name in ("x-ratelimit-remaining-tokens", "tenfold-upstream-request-id", "retry-after"):
        assert name not in told.headers
    assert world.outcomes.only.provider == "spare"


HEAD = sum(map(len, FRAMES["openai"][: UNTIL_TOKEN["openai"]]))


@pytest.mark.parametrize("stop_at", [0, 1, len(FRAMES["openai"][0]), HEAD - 1])
async def test_a_stream_that_broke_before_its_first_token_is_begun_elsewhere(stop_at: int) -> None:
    world = World({"openai": [streamed("openai", stop_at=stop_at)], "spare": [streamed("openai")]})
    told = await world.ask(asking("openai", stream=True))
    assert told.body == b"".join(FRAMES["openai"]).replace(USAGE_FRAME, b"")
    assert told.headers["tenfold-provider"] == "spare"
    call = world.outcomes.only
    assert (call.status, call.degraded, call.attempts) == ("ok", ("fallback",), 2)
    world.assert_settled()


@pytest.mark.parametrize("stop_at", [HEAD, HEAD + 1, 500])
async def test_a_stream_that_has_begun_is_not_begun_again(stop_at: int) -> None:
    world = World({"openai": [streamed("openai", stop_at=stop_at)], "spare": []})
    told = await world.ask(asking("openai", stream=True))
    assert json.decode(told.pieces[-1].removeprefix(b"data: "))["error"]["code"] == "stream_interrupted"
    assert len(world.sent) == 1


async def test_each_target_is_asked_in_its_own_dialect() -> None:
    world = World({"openai": [SLOW_DOWN], "anthropic": [SLOW_DOWN], "gemini": [streamed("gemini")]})
    told = await world.ask(asking("openai", stream=True))
    paths = [request.path for request in world.sent]
    assert paths == ["/chat/completions", "/v1/messages", "/v1beta/models/m:streamGenerateContent?alt=sse"]
    assert told.body.endswith(b"data: [DONE]\n\n")


async def test_the_usage_frame_is_stripped_from_whichever_was_asked_for_it() -> None:
    world = World({"anthropic": [SLOW_DOWN], "openai": [streamed("openai")]})
    told = await world.ask(asking("openai", stream=True))
    assert USAGE_FRAME not in told.body
    assert world.outcomes.only.usage is not None


async def test_parameters_ignored_by_one_that_failed_are_not_told() -> None:
    world = World({"anthropic": [SLOW_DOWN], "openai": [whole("openai")]})
    told = await world.ask(asking("openai", seed=1))
    assert "tenfold-ignored-params" not in told.headers


@pytest.mark.parametrize("error", [InvalidRequest("No."), TenfoldError("A bug.")])
async def test_other_errors_are_not_tried_again(error: TenfoldError) -> None:
    world = World({"openai": [FakeReply(error=error)], "spare": []})
    told = await world.ask(asking("openai"))
    assert told.status == error.status
    assert len(world.sent) == 1
