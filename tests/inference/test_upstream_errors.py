"""What an upstream answers in place of a reply: its status and words kept, in the client's own shape."""

import pytest
from msgspec import json

from tenfold.core.errors import TenfoldError, UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import PROVIDER_KEY, World, asking, whole

CLIENTS = ("openai", "anthropic")
PAIRS = [(client, upstream) for client in CLIENTS for upstream in ("openai", "anthropic", "gemini")]
JSON = (b"content-type", b"application/json")


def error_body(upstream: str, status: int, message: str) -> bytes:
    if upstream == "openai":
        return json.encode({"error": {"message": message, "type": "odd_error", "param": None, "code": "odd"}})
    if upstream == "anthropic":
        return json.encode({"type": "error", "error": {"type": "api_error", "message": message}})
    return json.encode({"error": {"code": status, "message": message, "status": "ODD"}})


def failing(upstream: str, status: int, message: str = "Not today", *headers: tuple[bytes, bytes]) -> FakeReply:
    return FakeReply(status=status, headers=[JSON, *headers], body=error_body(upstream, status, message))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503, 529])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_status_and_words_are_kept(client: str, upstream: str, status: int, stream: bool) -> None:
    world = World({upstream: [failing(upstream, status)]})
    told = await world.ask(asking(client, stream=stream), client)
    assert (told.status, told.is_stream) == (status, False)
    assert told.json["error"]["message"] == "Not today"
    assert ("type" in told.json) is (client == "anthropic")
    call = world.outcomes.only
    assert (call.status, call.http_status, call.usage, call.cost_nano) == ("error", status, None, None)
    assert (call.provider, call.upstream_model) == (upstream, "m")
    world.assert_settled()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_refused_provider_key_is_told_without_the_providers_words(
    client: str, upstream: str, status: int
) -> None:
    world = World({upstream: [failing(upstream, status, f"Incorrect API key provided: {PROVIDER_KEY}.")]})
    told = await world.ask(asking(client), client)
    assert told.status == status
    assert told.json["error"]["message"] == f"The provider `{upstream}` refused the key configured for it ({status})."
    assert PROVIDER_KEY.encode() not in told.body


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("said", "told_s"), [(b"7", "7"), (b"0.2", "1")])
async def test_retry_after_is_carried(client: str, said: bytes, told_s: str) -> None:
    world = World({"openai": [failing("openai", 429, "Slow down", (b"retry-after", said))]})
    told = await world.ask(asking(client), client)
    assert (told.status, told.headers["retry-after"]) == (429, told_s)


@pytest.mark.parametrize(("client", "upstream"), [("openai", "openai"), ("anthropic", "anthropic")])
async def test_the_limits_of_an_error_are_carried_once(client: str, upstream: str) -> None:
    """The transport's head and the decoded error both know of them: no header is told twice (`Client` checks)."""
    headers = [
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"anthropic-ratelimit-tokens-remaining", b"0"),
        (b"request-id", b"up-1"),
        (b"retry-after", b"3"),
    ]
    world = World({upstream: [failing(upstream, 429, "Slow down", *headers)]})
    told = await world.ask(asking(client), client)
    assert told.headers["retry-after"] == "3"
    assert told.headers["tenfold-upstream-request-id"] == "up-1"
    assert told.headers["x-request-id"] == world.outcomes.only.request_id
    assert told.headers["anthropic-ratelimit-tokens-remaining"] == "0"


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"\xff\xfe", b"[" * 2000, b"null"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("upstream", ["openai", "anthropic", "gemini"])
async def test_an_error_without_words_is_told_by_its_status(client: str, upstream: str, body: bytes) -> None:
    world = World({upstream: [FakeReply(status=502, body=body)]})
    told = await world.ask(asking(client), client)
    assert told.status == 502
    assert told.json["error"]["message"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    world = World({"openai": [FakeReply(status=status, headers=[(b"location", b"http://evil/")])]})
    told = await world.ask(asking("openai"))
    assert told.status == 502
    assert str(status) in told.json["error"]["message"]
    assert b"evil" not in told.body
    assert len(world.sent) == 1
    world.assert_settled()


@pytest.mark.parametrize("body", [b"", b"<html>Hello</html>", b"{", b"null", b'{"error":null}', b"[" * 5000])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_malformed_reply_is_a_502(client: str, upstream: str, body: bytes) -> None:
    world = World({upstream: [whole(upstream, body=body)]})
    told = await world.ask(asking(client), client)
    assert told.status == 502
    assert told.json["error"]["message"]
    call = world.outcomes.only
    assert call.status == "error"
    assert call.estimated == (call.cost_nano is not None)
    assert (call.cost_nano is None) == body.startswith(b"<"), "only a page is surely not billed"
    world.assert_settled()


async def test_a_reply_that_cannot_be_told_is_billed_all_the_same() -> None:
    """It states its usage, so the provider charges for it."""
    body = b'{"choices":"none","usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}'
    world = World({"openai": [whole("openai", body=body)]})
    told = await world.ask(asking("anthropic"), "anthropic")
    call = world.outcomes.only
    assert told.status == 502
    assert (call.status, call.cost_nano) == ("error", 18_000)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("error", "status"), [(UpstreamUnavailable("Nobody there"), 502), (UpstreamTimeout("Too slow"), 504)]
)
async def test_an_upstream_out_of_reach_is_told(client: str, error: TenfoldError, status: int) -> None:
    world = World({"openai": [FakeReply(error=error)]})
    told = await world.ask(asking(client), client)
    assert (told.status, told.json["error"]["message"]) == (status, error.message)
    assert world.outcomes.only.provider == "openai"


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_reply_cut_in_the_middle_is_a_502(client: str) -> None:
    world = World({"openai": [whole("openai", stop_at=100)]})
    told = await world.ask(asking(client), client)
    assert told.status == 502
    assert world.outcomes.only.status == "error"
    world.assert_settled()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b'{"model":1}', b'{"model":"m"}', b'{"model":"m","messages":[]}', b"\xff", b"[" * 9999]
)
async def test_bad_requests_reach_no_provider(client: str, body: bytes) -> None:
    world = World({"openai": []})
    told = await world.ask(body, client)
    assert told.status == 400
    assert told.json["error"]["type"] == "invalid_request_error"
    assert world.sent == []
    assert world.outcomes.only.status == "error"


@pytest.mark.parametrize("client", CLIENTS)
async def test_an_unknown_model_is_told_with_the_nearest_name(client: str) -> None:
    world = World({"openai": []})
    told = await world.ask(asking(client, model="mm"), client)
    assert told.status == 404
    assert "Did you mean `m`?" in told.json["error"]["message"]
