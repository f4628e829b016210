"""The official OpenAI SDK: every failure is the exception its users expect, with its request id and its hints."""

from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest

from tests.sdk.models import OFFLINE, OPENAI, every_vendor
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_server import UpstreamServer


def ask(client: openai.OpenAI, text: str, model: str = OPENAI, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> Iterator[bool]:
    yield request.param


def test_a_missing_key(tenfold: TenfoldProcess) -> None:
    reply = httpx2.post(f"{tenfold.url}/v1/chat/completions", json={"model": OPENAI, "messages": []})
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert reply.headers["x-request-id"].startswith("req_")


def test_a_wrong_key(openai_client: openai.OpenAI, upstream: UpstreamServer) -> None:
    with upstream.recording() as seen, pytest.raises(openai.AuthenticationError) as refused:
        ask(openai_client.with_options(api_key="sk-not-one-of-ours"), "hello")
    assert refused.value.code == "invalid_api_key"
    assert refused.value.request_id
    assert seen == []


@pytest.mark.parametrize("model", ["gpt-4o-mino", "nothing-like-it", "x" * 5000, ""])
def test_an_unknown_model(openai_client: openai.OpenAI, model: str, stream: bool) -> None:
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)) as refused:
        ask(openai_client, "hello", model, stream=stream)
    assert refused.value.param == "model"
    if model == "gpt-4o-mino":
        assert isinstance(refused.value, openai.NotFoundError)
        assert refused.value.code == "model_not_found"
        assert "gpt-4o-mini" in refused.value.message


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"stream": "yes"}, "stream"),
        ({"n": 0}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
    ],
)
@every_vendor
def test_wrong_types(
    openai_client: openai.OpenAI, upstream: UpstreamServer, more: dict[str, Any], param: str, model: str
) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    with upstream.recording() as seen, pytest.raises(openai.BadRequestError) as refused:
        openai_client.post("/chat/completions", body=body, cast_to=object)
    assert (refused.value.param or "").startswith(param)
    if seen:  # the upstream judged it: what it said came through
        assert refused.value.response.headers["tenfold-upstream-request-id"]


@every_vendor
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (413, openai.APIStatusError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
def test_upstream_errors_keep_their_status(
    openai_client: openai.OpenAI, model: str, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    with pytest.raises(kind) as failed:
        ask(openai_client, f"hello [[status {status} 7]]", model, stream=stream)
    assert failed.value.status_code == status
    assert failed.value.response.headers["retry-after"] == "7"
    assert failed.value.request_id
    assert failed.value.request_id.startswith("req_")
    assert "upstream" not in failed.value.request_id, "the id is Tenfold's, where it can be looked up"
    assert failed.value.type
    if status != 403:  # its words may speak of Tenfold's own key
        assert "as told" in failed.value.message


@every_vendor
def test_the_sdk_retries_what_it_may(openai_client: openai.OpenAI, upstream: UpstreamServer, model: str) -> None:
    with upstream.recording() as seen, pytest.raises(openai.RateLimitError):
        ask(openai_client.with_options(max_retries=1), "hello [[status 429 0]]", model)
    assert len(seen) == 2


@every_vendor
def test_an_upstream_that_is_cut_or_no_upstream(openai_client: openai.OpenAI, model: str) -> None:
    for fault in ("reset", "cut", "garbage", "html"):
        with pytest.raises(openai.InternalServerError) as failed:
            ask(openai_client, f"hello [[{fault}]]", model)
        assert failed.value.status_code == 502, fault
        assert failed.value.request_id


@every_vendor
@pytest.mark.parametrize("fault", ["cut 3", "end 3", "error-event 3", "cut 0", "end 0"])
def test_a_broken_stream_raises(openai_client: openai.OpenAI, model: str, fault: str) -> None:
    """It never ends like a whole one."""
    with pytest.raises(openai.APIError):
        list(ask(openai_client, f"Count to 30. [[{fault}]]", model, stream=True))


@every_vendor
def test_a_malformed_event_raises(openai_client: openai.OpenAI, model: str) -> None:
    """Where the dialects match the event goes through unread, and the SDK itself finds that it is no JSON."""
    with pytest.raises(ValueError if model == OPENAI else openai.APIError):
        list(ask(openai_client, "Count to 30. [[garbage 3]]", model, stream=True))


@every_vendor
async def test_a_broken_stream_raises_async(async_openai: openai.AsyncOpenAI, model: str) -> None:
    stream = await async_openai.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Count to 30. [[cut 5]]"}], stream=True
    )
    text = ""
    with pytest.raises(openai.APIError):
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert text.startswith("1 2"), "what had come was given before"


@every_vendor
def test_a_page_instead_of_a_stream(openai_client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.InternalServerError):
        ask(openai_client, "hello [[html]]", model, stream=True)


@every_vendor
@pytest.mark.parametrize("fault", ["drip", "untyped", "no-usage"])
def test_odd_but_whole_replies_are_answers(openai_client: openai.OpenAI, model: str, fault: str, stream: bool) -> None:
    reply = ask(openai_client, f"Repeat: fine [[{fault}]]", model, stream=stream)
    if stream:
        said = "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)
    else:
        said = reply.choices[0].message.content
    assert said == "fine"


def test_a_client_timeout(openai_client: openai.OpenAI, upstream: UpstreamServer) -> None:
    with pytest.raises(openai.APITimeoutError):
        ask(openai_client.with_options(timeout=0.3), "wait-for-me [[hang]]")
    assert upstream.wait_for("wait-for-me").closed.wait(2), "the upstream's connection stayed open"


def test_what_the_offline_model_cannot_do(openai_client: openai.OpenAI) -> None:
    call = {"type": "function", "function": {"name": "f"}}
    for more in ({"logprobs": True}, {"tools": [call], "tool_choice": "required"}):
        with pytest.raises(openai.BadRequestError) as refused:
            ask(openai_client, "hello", OFFLINE, **more)
        assert refused.value.code == "unsupported_parameter"


def test_paths_that_do_not_exist(openai_client: openai.OpenAI) -> None:
    for method, path in (("GET", "/chat/completions"), ("POST", "/audio/speech"), ("GET", "/files/x")):
        with pytest.raises(openai.NotFoundError) as refused:
            openai_client.request(
                cast_to=object,
                options=openai._models.FinalRequestOptions.construct(method=method.lower(), url=path, json_data={}),
            )
        assert refused.value.code == "not_found"


def test_limits_of_the_upstream_are_told(openai_client: openai.OpenAI) -> None:
    raw = openai_client.chat.completions.with_raw_response.create(
        model=OPENAI, messages=[{"role": "user", "content": "hello"}]
    )
    assert raw.headers["x-ratelimit-remaining-requests"] == "9999"
    assert raw.headers["tenfold-upstream-request-id"].startswith("req_upstream_")
    assert raw.request_id != raw.headers["tenfold-upstream-request-id"]


@every_vendor
def test_the_operators_account_is_not_told(openai_client: openai.OpenAI, model: str) -> None:
    raw = openai_client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": "hello"}]
    )
    assert [name for name in raw.headers if "organization" in name or "project" in name] == []
