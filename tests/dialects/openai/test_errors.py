"""Errors: a provider's, whatever their shape, and ours, as OpenAI words them and its SDK raises them."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import (
    BrokenStream,
    Conflict,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    PermissionDenied,
    RateLimited,
    StoreUnavailable,
    TenfoldError,
    TooLarge,
    Unauthenticated,
    UnsupportedParameter,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.providers.openai import OpenAIWire
from tests.dialects.openai.vectors import recorded
from tests.support.openai_schema import assert_valid

DIALECT = OpenAIDialect()
WIRE = OpenAIWire()


# -- of providers ----------------------------------------------------------------------------


def test_recorded_errors_keep_what_they_said() -> None:
    rows = [row for row in recorded("chat") if row["status"] >= 400]
    assert len(rows) >= 6
    for row in rows:
        said = row["response_json"]["error"]
        error = WIRE.decode_error(row["status"], [], json.dumps(row["response_json"]).encode())
        assert error.status == row["status"]
        assert error.message.startswith(said["message"])
        assert error.kind == said.get("type")
        assert error.upstream_code == str(said["code"])
        assert error.param == said.get("param")
        assert error.retryable == (row["status"] == 429)


@pytest.mark.parametrize(
    ("body", "message", "kind"),
    [
        ({"error": {"message": "m", "type": "t"}}, "m", "t"),
        ({"error": "model not found"}, "model not found", None),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, "m", "BadRequestError"),
        ({"detail": "Not Found"}, "Not Found", None),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, '[{"loc":["body"],"msg":"m"}]', None),
        ({"message": {"detail": "m"}}, '{"detail":"m"}', None),
        ({"error": {"message": ""}}, "The provider answered with status 500.", None),
        (
            {"error": {"message": 5, "type": [], "code": True, "param": 1}},
            "The provider answered with status 500.",
            None,
        ),
        ([], "The provider answered with status 500.", None),
        (None, "The provider answered with status 500.", None),
    ],
)
def test_errors_come_in_many_shapes(body: Any, message: str, kind: str | None) -> None:
    error = WIRE.decode_error(500, [], json.dumps(body).encode())
    assert (error.message, error.kind, error.status, error.retryable) == (message, kind, 500, True)


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"\xff", b"[" * 100_000, b'{"error":'])
def test_pages_and_noise_are_errors_too(body: bytes) -> None:
    assert WIRE.decode_error(502, [], body).message == "The provider answered with status 502."


@pytest.mark.parametrize(
    "key", ["sk-proj-abcDEF123456", "sk-abc***************wxyz", "gsk_abcdef123456", "xai-abcdef123456"]
)
def test_keys_in_a_message_are_blotted(key: str) -> None:
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {key}. Find yours at x."}}).encode()
    message = WIRE.decode_error(401, [], body).message
    assert key[6:] not in message
    assert "[redacted]" in message
    assert message.endswith(" Find yours at x.")


def test_waits_and_limits_are_carried() -> None:
    headers = [
        (b"retry-after", b"20"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-request-id", b"req_1"),
        (b"set-cookie", b"secret"),
    ]
    error = WIRE.decode_error(429, headers, b"{}")
    assert error.retry_after_s == 20
    assert error.headers == (("x-ratelimit-remaining-requests", "0"), ("x-request-id", "req_1"))
    assert WIRE.decode_error(429, [(b"retry-after-ms", b"1500"), (b"retry-after", b"2")], b"").retry_after_s == 1.5
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True).encode()
    wait = WIRE.decode_error(429, [(b"retry-after", soon)], b"").retry_after_s
    assert wait is not None
    assert 0 < wait <= 100
    for odd in (b"soon", b"-5", b"", b"Wed, 99 Foo 2026", b"9" * 40, b"\xff"):
        assert WIRE.decode_error(429, [(b"retry-after", odd)], b"").retry_after_s is None
    past = WIRE.decode_error(429, [(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT")], b"")
    assert past.retry_after_s == 0


@given(status=st.integers(400, 599), body=st.binary(max_size=100), header=st.binary(max_size=20))
def test_any_answer_is_an_upstream_error(status: int, body: bytes, header: bytes) -> None:
    error = WIRE.decode_error(status, [(b"retry-after", header)], body)
    assert error.status == status
    assert error.message


# -- to clients ------------------------------------------------------------------------------

CASES: list[tuple[TenfoldError, type[openai.APIStatusError], str, str]] = [
    (InvalidRequest("m", param="n"), openai.BadRequestError, "invalid_request_error", "invalid_request"),
    (UnsupportedParameter("m"), openai.BadRequestError, "invalid_request_error", "unsupported_parameter"),
    (Unauthenticated("m"), openai.AuthenticationError, "invalid_request_error", "invalid_api_key"),
    (PermissionDenied("m"), openai.PermissionDeniedError, "permission_error", "permission_denied"),
    (NotFound("m"), openai.NotFoundError, "invalid_request_error", "not_found"),
    (ModelNotFound("m"), openai.NotFoundError, "invalid_request_error", "model_not_found"),
    (Conflict("m"), openai.ConflictError, "invalid_request_error", "conflict"),
    (TooLarge("m"), openai.APIStatusError, "invalid_request_error", "request_too_large"),
    (RateLimited("m"), openai.RateLimitError, "rate_limit_error", "rate_limit_exceeded"),
    (UpstreamError("m", status=529, kind="busy_error"), openai.InternalServerError, "busy_error", "upstream_error"),
    (UpstreamError("m", status=400, upstream_code="c"), openai.BadRequestError, "invalid_request_error", "c"),
    (UpstreamUnavailable("m"), openai.InternalServerError, "server_error", "upstream_unavailable"),
    (UpstreamTimeout("m"), openai.InternalServerError, "server_error", "upstream_timeout"),
    (StoreUnavailable("m"), openai.InternalServerError, "server_error", "store_unavailable"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "raised", "kind", "code"), CASES)
def test_the_sdk_raises_the_right_class(
    error: TenfoldError, raised: type[openai.APIStatusError], kind: str, code: str
) -> None:
    body = DIALECT.encode_error(error, "req_1")
    assert_valid("ErrorResponse", json.loads(body))
    client = sdk(httpx2.Response(error.status, content=body, headers={"content-type": "application/json"}))
    with pytest.raises(raised) as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert (caught.value.status_code, caught.value.type, caught.value.code) == (error.status, kind, code)
    assert caught.value.param == error.param


def test_the_sdk_raises_on_a_broken_stream() -> None:
    begun = b'data: {"id":"i","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}\n\n'
    frame = DIALECT.error_frame(BrokenStream("The provider's stream broke."), "req_1")
    client = sdk(httpx2.Response(200, content=begun + frame, headers={"content-type": "text/event-stream"}))
    stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
    with pytest.raises(openai.APIError, match="stream broke"):
        list(stream)


def test_there_is_no_counting() -> None:
    with pytest.raises(NotFound):
        DIALECT.encode_count(5)
    with pytest.raises(NotFound):
        DIALECT.peek("count_tokens", b"{}")
    with pytest.raises(UnsupportedParameter):
        WIRE.decode_count_tokens(b"{}")


def sdk(response: httpx2.Response) -> openai.OpenAI:
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: response))
    return openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0)
