"""Errors of every upstream reach every client as its SDK's own exception, with the upstream's status and words."""

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.dialects.matrix.asks import ask
from tests.dialects.matrix.gateway import CLIENTS, UPSTREAMS, Gateway

pytestmark = [pytest.mark.parametrize("client", CLIENTS), pytest.mark.parametrize("upstream", UPSTREAMS)]

_SDKS: dict[str, Any] = {"openai": openai, "anthropic": anthropic}


def error_body(upstream: str, status: int, message: str) -> bytes:
    errors: dict[str, Any] = {
        "openai": {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}},
        "anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": message}},
        "gemini": {"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}},
    }
    return json.dumps(errors[upstream]).encode()


@pytest.mark.parametrize(
    ("status", "exception"),
    [
        (400, "BadRequestError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
    ],
)
def test_an_error_status_is_the_sdks_own_exception(client: str, upstream: str, status: int, exception: str) -> None:
    gateway = Gateway(client, upstream, error_body(upstream, status, "no such thing"), status=status)
    with pytest.raises(getattr(_SDKS[client], exception)) as caught:
        ask(gateway)
    assert caught.value.status_code == status
    assert "no such thing" in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"object": "list"}'])
def test_a_reply_that_is_none_is_a_server_error(client: str, upstream: str, body: bytes) -> None:
    with pytest.raises(_SDKS[client].InternalServerError) as caught:
        ask(Gateway(client, upstream, body))
    assert caught.value.status_code == 502


def test_an_error_inside_a_stream_raises_in_the_sdk(client: str, upstream: str) -> None:
    error = error_body(upstream, 503, "overloaded just now")
    frame = (b"event: error\n" if upstream == "anthropic" else b"") + b"data: " + error + b"\n\n"
    with pytest.raises(_SDKS[client].APIError) as caught:
        list(ask(Gateway(client, upstream, frame), stream=True))
    assert "overloaded just now" in str(caught.value)
