"""The parts of the front door on their own: options, model lists, and ASGI applications behind the server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from msgspec import json
from starlette.responses import StreamingResponse

from tenfold.core.call import DEFAULT_OPTIONS
from tenfold.core.errors import InvalidRequest
from tenfold.core.headers import header_lines
from tenfold.edge.asgi import AsgiMount
from tenfold.edge.http import Request
from tenfold.edge.models import list_models, show_model
from tenfold.edge.options import read_options


def test_no_options_cost_nothing() -> None:
    assert read_options({b"content-type": b"application/json"}) is DEFAULT_OPTIONS


def test_options_are_read() -> None:
    options = read_options(
        {
            b"tenfold-feature": b"search",
            b"tenfold-task": b"t1",
            b"tenfold-user": b"u1",
            b"tenfold-cache-control": b"No-Cache, exact",
            b"anthropic-beta": b"a,b",
        }
    )
    assert (options.feature, options.task, options.end_user) == ("search", "t1", "u1")
    assert options.cache == {"no-cache", "exact"}
    assert options.upstream_headers == ((b"anthropic-beta", b"a,b"),)


@pytest.mark.parametrize("headers", [{b"tenfold-cache-control": b"exat"}, {b"tenfold-feature": b"x" * 201}])
def test_an_option_that_cannot_be_meant_is_refused(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(InvalidRequest):
        read_options(headers)


def test_models_are_listed_as_either_vendor_does() -> None:
    openai = json.decode(list_models("openai", ["a", "b"], ""))
    assert openai["object"] == "list"
    assert [model["id"] for model in openai["data"]] == ["a", "b"]
    first = json.decode(list_models("anthropic", ["a", "b", "c"], "limit=2"))
    assert [model["id"] for model in first["data"]] == ["a", "b"]
    assert first["has_more"] is True
    second = json.decode(list_models("anthropic", ["a", "b", "c"], f"limit=2&after_id={first['last_id']}"))
    assert [model["id"] for model in second["data"]] == ["c"]
    assert second["has_more"] is False
    before = json.decode(list_models("anthropic", ["a", "b", "c"], "limit=1&before_id=c"))
    assert [model["id"] for model in before["data"]] == ["b"]
    assert json.decode(show_model("anthropic", "a"))["type"] == "model"
    for limit in ("0", "1001", "%C2%B2", "9" * 2_000, "-1"):
        with pytest.raises(InvalidRequest):
            list_models("anthropic", ["a"], f"limit={limit}")


AsgiMessage = MutableMapping[str, Any]


async def echo(
    scope: AsgiMessage,
    receive: Callable[[], Awaitable[AsgiMessage]],
    send: Callable[[AsgiMessage], Awaitable[None]],
) -> None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-path", scope["path"].encode())]})
    if scope["query_string"] == b"stream":
        for byte in body:
            await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    else:
        await send({"type": "http.response.body", "body": body})


class Wire:
    """The connection of one request, played by hand."""

    closed = False
    write_paused = False
    date_line = "date: now\r\n"

    def __init__(self) -> None:
        self.sent = b""
        self.resumed = 0

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drained(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None:
        self.resumed += 1

    def abort(self) -> None:
        self.closed = True


def request(wire: Wire, body: bytes, path: str = "/", query: str = "", **headers: bytes) -> Request:
    made = Request(
        wire,
        method="POST",
        path=path,
        query=query,
        headers={name.replace("_", "-").encode(): value for name, value in headers.items()},
        http11=True,
        keep_alive=True,
        client="127.0.0.1:5000",
        max_unread=1000,
    )
    made.feed(body)
    made.end_body()
    return made


async def test_an_asgi_application_answers() -> None:
    wire = Wire()
    await AsgiMount(echo, 100)(request(wire, b"abc", "/a%20b"))
    head, body = wire.sent.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 Created\r\n")
    assert b"x-path: /a b" in head
    assert body == b"abc"


async def test_an_asgi_application_streams() -> None:
    wire = Wire()
    asked = request(wire, b"abc", query="stream")
    await AsgiMount(echo, 100)(asked)
    assert wire.sent.endswith(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")
    assert asked.finished


async def test_a_stream_that_watches_for_its_client_runs_to_its_end() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"a", b"b"):
            await asyncio.sleep(0)  # the watch gets its turn
            yield piece

    wire = Wire()
    asked = request(wire, b"")
    await AsgiMount(StreamingResponse(pieces()), 100)(asked)
    assert wire.sent.endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


async def test_an_asgi_body_over_the_limit_is_refused() -> None:
    wire = Wire()
    await AsgiMount(echo, 2)(request(wire, b"abc"))
    assert wire.sent.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "a\rb"])
def test_a_reply_header_cannot_hold_another(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        header_lines([("x", value)])
