"""The official Anthropic SDK: every failure is the exception its users expect, with its request id and its hints."""

from typing import Any

import anthropic
import pytest

from tests.sdk.models import CLAUDE, every_vendor
from tests.support.upstream_server import UpstreamServer

whole_and_streamed = pytest.mark.parametrize("stream", [False, True])


def ask(client: anthropic.Anthropic, text: str, model: str = CLAUDE, **more: Any) -> Any:
    return client.messages.create(
        **{"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": text}], **more}
    )


def test_a_wrong_key(anthropic_client: anthropic.Anthropic, upstream: UpstreamServer) -> None:
    with upstream.recording() as seen, pytest.raises(anthropic.AuthenticationError) as refused:
        ask(anthropic_client.with_options(api_key="sk-ant-not-ours"), "hello")
    assert refused.value.type == "authentication_error"
    assert refused.value.request_id
    assert seen == []


def test_the_key_as_older_sdks_send_it(anthropic_client: anthropic.Anthropic) -> None:
    headers = {"Authorization": anthropic.Omit(), "x-api-key": anthropic_client.api_key or ""}
    assert ask(anthropic_client, "hello", extra_headers=headers).content


@whole_and_streamed
def test_an_unknown_model(anthropic_client: anthropic.Anthropic, stream: bool) -> None:
    with pytest.raises(anthropic.NotFoundError) as refused:
        ask(anthropic_client, "hello", "claude-haiku-4-6", stream=stream)
    assert refused.value.type == "not_found_error"
    assert "claude-haiku-4-5" in refused.value.message


@pytest.mark.parametrize(
    "more",
    [
        {"max_tokens": "many"},
        {"max_tokens": -1},
        {"messages": "hello"},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": [{"role": "king", "content": "x"}]},
        {"tools": [{"name": 5}]},
        {"stream": "yes"},
        {"system": 5},
    ],
)
@every_vendor
def test_wrong_types(
    anthropic_client: anthropic.Anthropic, upstream: UpstreamServer, more: dict[str, Any], model: str
) -> None:
    body = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}], **more}
    with pytest.raises(anthropic.BadRequestError) as refused:
        anthropic_client.post("/v1/messages", body=body, cast_to=object)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id
    assert next(iter(more)) in refused.value.message


@every_vendor
@whole_and_streamed
@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.RequestTooLargeError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.ServiceUnavailableError, None),
        (529, anthropic.OverloadedError, "overloaded_error"),
    ],
)
def test_upstream_errors_keep_their_status(
    anthropic_client: anthropic.Anthropic,
    model: str,
    status: int,
    kind: type[anthropic.APIStatusError],
    name: str | None,
    stream: bool,
) -> None:
    with pytest.raises(kind) as failed:
        ask(anthropic_client, f"hello [[status {status} 7]]", model, stream=stream)
    assert failed.value.status_code == status
    assert failed.value.response.headers["retry-after"] == "7"
    assert failed.value.request_id
    assert failed.value.request_id.startswith("req_")
    assert "upstream" not in failed.value.request_id, "the id is Tenfold's, where it can be looked up"
    assert failed.value.type == name or name is None
    body = failed.value.body
    assert isinstance(body, dict)
    assert body["type"] == "error"
    if status != 403:
        assert "as told" in failed.value.message


@every_vendor
def test_no_whole_reply(anthropic_client: anthropic.Anthropic, model: str) -> None:
    for fault in ("reset", "cut", "garbage", "html"):
        with pytest.raises(anthropic.InternalServerError) as failed:
            ask(anthropic_client, f"hello [[{fault}]]", model)
        assert failed.value.status_code == 502, fault
        assert failed.value.type == "api_error"


@every_vendor
@pytest.mark.parametrize("fault", ["cut 4", "end 4", "error-event 4", "cut 0", "end 0"])
def test_a_broken_stream_raises(anthropic_client: anthropic.Anthropic, model: str, fault: str) -> None:
    """It never ends like a whole one, in the helper either."""
    with pytest.raises(anthropic.APIStatusError) as failed:
        list(ask(anthropic_client, f"Count to 30. [[{fault}]]", model, stream=True))
    assert failed.value.type in ("api_error", "overloaded_error")
    with (
        pytest.raises(anthropic.APIStatusError),
        anthropic_client.messages.stream(
            model=model, max_tokens=50, messages=[{"role": "user", "content": f"Count to 30. [[{fault}]]"}]
        ) as stream,
    ):
        stream.get_final_message()


@every_vendor
async def test_a_broken_stream_raises_async(async_anthropic: anthropic.AsyncAnthropic, model: str) -> None:
    text = ""
    with pytest.raises(anthropic.APIStatusError):
        async with async_anthropic.messages.stream(
            model=model, max_tokens=500, messages=[{"role": "user", "content": "Count to 30. [[cut 9]]"}]
        ) as stream:
            async for piece in stream.text_stream:
                text += piece
    assert text.startswith("1 2"), "what had come was given before"


@every_vendor
def test_a_malformed_event_raises(anthropic_client: anthropic.Anthropic, model: str) -> None:
    """Where the dialects match the event goes through unread, and the SDK itself finds that it is no JSON."""
    with pytest.raises(ValueError if model == CLAUDE else anthropic.APIStatusError):
        list(ask(anthropic_client, "Count to 30. [[garbage 4]]", model, stream=True))


@every_vendor
@whole_and_streamed
@pytest.mark.parametrize("fault", ["drip", "untyped"])
def test_odd_but_whole_replies_are_answers(
    anthropic_client: anthropic.Anthropic, model: str, fault: str, stream: bool
) -> None:
    asked: Any = {"model": model, "max_tokens": 50}
    asked["messages"] = [{"role": "user", "content": f"Repeat: fine [[{fault}]]"}]
    if stream:
        with anthropic_client.messages.stream(**asked) as events:
            said = events.get_final_text()
    else:
        said = anthropic_client.messages.create(**asked).content[0].text
    assert said == "fine"


@every_vendor
def test_the_sdk_retries_what_it_may(
    anthropic_client: anthropic.Anthropic, upstream: UpstreamServer, model: str
) -> None:
    with upstream.recording() as seen, pytest.raises(anthropic.OverloadedError):
        ask(anthropic_client.with_options(max_retries=1), "hello [[status 529 0]]", model)
    assert len(seen) == 2


def test_a_client_timeout(anthropic_client: anthropic.Anthropic, upstream: UpstreamServer) -> None:
    with pytest.raises(anthropic.APITimeoutError):
        ask(anthropic_client.with_options(timeout=0.3), "wait-for-claude [[hang]]")
    assert upstream.wait_for("wait-for-claude").closed.wait(2), "the upstream's connection stayed open"


def test_paths_that_do_not_exist(anthropic_client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as refused:
        anthropic_client.post("/v1/complete", body={}, cast_to=object)
    assert refused.value.type == "not_found_error"
