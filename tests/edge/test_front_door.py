"""The parts of the front door on their own: bodies, options, model lists, flights, and ASGI behind RSGI."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from msgspec import json

from tenfold.core.call import DEFAULT_OPTIONS
from tenfold.core.errors import InvalidRequest, TooLarge
from tenfold.edge.asgi import AsgiMount
from tenfold.edge.body import read_body
from tenfold.edge.flights import Flights
from tenfold.edge.models import list_models, show_model
from tenfold.edge.options import read_options
from tests.edge.rsgi import Headers, Proto, Scope


async def test_a_body_within_the_limit_is_read() -> None:
    assert await read_body(Proto([b"ab", b"c"]), "3", 3) == b"abc"
    assert await read_body(Proto([b"ab", b"c"]), None, 3) == b"abc"


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    proto = Proto([b"x" * 100])
    with pytest.raises(TooLarge):
        await read_body(proto, "100", 99)
    assert proto.taken == 0


async def test_a_body_that_does_not_say_is_read_to_the_limit_and_no_further() -> None:
    proto = Proto([b"x" * 10] * 1000)
    with pytest.raises(TooLarge):
        await read_body(proto, None, 25)
    assert proto.taken == 3


def test_no_options_cost_nothing() -> None:
    assert read_options(Headers({"content-type": "application/json"})) is DEFAULT_OPTIONS


def test_options_are_read() -> None:
    options = read_options(
        Headers(
            {
                "Tenfold-Feature": "search",
                "Tenfold-Task": "t1",
                "Tenfold-User": "u1",
                "Tenfold-Cache-Control": "No-Cache, exact",
                "anthropic-beta": "a,b",
            }
        )
    )
    assert (options.feature, options.task, options.end_user) == ("search", "t1", "u1")
    assert options.cache == {"no-cache", "exact"}
    assert options.upstream_headers == ((b"anthropic-beta", b"a,b"),)


@pytest.mark.parametrize("headers", [{"Tenfold-Cache-Control": "exat"}, {"Tenfold-Feature": "x" * 201}])
def test_an_option_that_cannot_be_meant_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        read_options(Headers(headers))


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
    with pytest.raises(InvalidRequest):
        list_models("anthropic", ["a"], "limit=0")


async def test_a_client_that_hangs_up_cancels_its_call() -> None:
    flights = Flights()
    proto = Proto([])
    begun = asyncio.Event()

    async def call() -> None:
        flight = flights.begin(proto)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            flights.end(flight)

    sweeper = asyncio.create_task(flights.sweep())
    task = asyncio.create_task(call())
    await begun.wait()
    assert not await flights.landed(0)
    proto.hung_up.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert await flights.landed(0)
    sweeper.cancel()


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


async def test_an_asgi_application_answers_behind_rsgi() -> None:
    proto = Proto([b"ab", b"c"])
    await AsgiMount(echo, 100)(Scope("POST", "/a%20b"), proto)
    assert (proto.status, proto.body, proto.headers["x-path"]) == (201, b"abc", "/a b")


async def test_an_asgi_application_streams_behind_rsgi() -> None:
    proto = Proto([b"abc"])
    await AsgiMount(echo, 100)(Scope("POST", "/", query="stream"), proto)
    assert proto.pieces == [b"a", b"b", b"c"]


async def test_an_asgi_body_over_the_limit_is_not_handed_on() -> None:
    proto = Proto([b"x" * 60, b"x" * 60, b"x" * 60])
    await AsgiMount(echo, 100)(Scope("POST", "/"), proto)
    assert proto.status == 413
    assert proto.taken == 2


async def test_an_asgi_body_that_says_it_is_too_large_is_not_read() -> None:
    proto = Proto([b"x"])
    await AsgiMount(echo, 100)(Scope("POST", "/", {"content-length": "101"}), proto)
    assert (proto.status, proto.taken) == (413, 0)
