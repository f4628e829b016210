"""What the handler is told of a request, however its bytes arrive."""

import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.http_server import Served, echo, get, post, post_chunks, turns

_QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


async def test_a_request_is_told_as_it_was_sent() -> None:
    async with Served(echo) as served:
        reply = await served.ask(post(b"abc", "/a%20b?c=d&e?f", "X-One: 1  ", "x-one: 2", "Cookie: a=1", "cookie: b=2"))
    assert reply.status == 200
    said = reply.json()
    assert (said["method"], said["path"], said["query"], said["body"]) == ("POST", "/a%20b", "c=d&e?f", "abc")
    assert said["headers"] == {
        "host": "tenfold.test",
        "content-length": "3",
        "x-one": "1, 2",
        "cookie": "a=1; b=2",
    }


@pytest.mark.parametrize(
    "data",
    [
        get("/x?y", "Accept: */*"),
        post(b'{"a": 1}', "/x"),
        post(b'{"a": 1}', "/stream"),
        post_chunks([b"ab", b"cde", b"f" * 20], "/x", trailers=b"X-Late: 1\r\n"),
        post(b"abc", "/x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        b"GET http://other.test:81/x?y HTTP/1.1\r\nHost: tenfold.test\r\n\r\n",
        b"POST /x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    ],
    ids=["get", "post", "streamed", "chunked", "upgrade", "absolute", "http10"],
)
async def test_a_request_may_be_cut_anywhere(data: bytes) -> None:
    async with Served(echo) as served:
        client = await served.connect()
        await client.send(data)
        whole = (await client.reply()).json()
        for cut in range(1, len(data)):
            await client.send(data, cuts=[cut])
            assert (await client.reply()).json() == whole
        await client.send(data, cuts=range(len(data)))
        assert (await client.reply()).json() == whole


async def test_two_requests_in_one_stream_may_be_cut_anywhere() -> None:
    data = post(b"first") + post_chunks([b"sec", b"ond"]) + get("/third")
    async with Served(echo) as served:
        client = await served.connect()
        for cut in range(1, len(data)):
            await client.send(data, cuts=[cut])
            assert [(await client.reply()).json()["body"] for _ in range(3)] == ["first", "second", ""]


_names = st.sampled_from(["x-a", "X-B", "accept", "x-long-name-of-a-header"])
_values = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
_bodies = st.lists(st.binary(min_size=1, max_size=60), max_size=5)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, str, bytes]:
    path = draw(st.sampled_from(["/", "/stream", "/a/b"]))
    headers = [f"{name}: {value}" for name, value in draw(st.dictionaries(_names, _values, max_size=3)).items()]
    pieces = draw(_bodies)
    match draw(st.sampled_from(["get", "post", "chunks"])):
        case "get":
            return get(path, *headers), path, b""
        case "post":
            return post(b"".join(pieces), path, *headers), path, b"".join(pieces)
        case _:
            return post_chunks(pieces, path), path, b"".join(pieces)


@given(sent=st.lists(requests(), min_size=1, max_size=5), data=st.data())
@_QUICK
async def test_any_requests_in_any_segments(sent: list[tuple[bytes, str, bytes]], data: st.DataObject) -> None:
    stream = b"".join(request for request, _, _ in sent)
    cuts = data.draw(st.lists(st.integers(1, max(1, len(stream) - 1)), max_size=8))
    async with Served(echo) as served:
        client = await served.connect()
        await client.send(stream, cuts=cuts)
        for _, path, body in sent:
            reply = (await client.reply()).json()
            assert (reply["path"], reply["body"].encode("latin-1")) == (path, body)
        client.end()
        assert await client.rest() == b""


@given(
    at=st.integers(0, 200), garbage=st.binary(min_size=1, max_size=20), cuts=st.lists(st.integers(1, 100), max_size=3)
)
@_QUICK
async def test_no_bytes_whatever_break_the_server(
    at: int, garbage: bytes, cuts: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    good = post_chunks([b"ab", b"cdefgh"], trailers=b"X-Late: 1\r\n") + post(b"xyz")
    bad = good[:at] + garbage + good[at:]
    async with Served(echo) as served:
        client = await served.connect()
        await client.send(bad, cuts=[cut for cut in cuts if cut < len(bad)])
        client.end()
        await client.gone()
        assert (await served.ask(get())).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_trailers_are_not_added_to_a_request_that_was_let_in() -> None:
    async with Served(echo) as served:
        client = await served.connect()
        await client.send(post_chunks([b"a"], trailers=b"Authorization: Bearer stolen\r\nHost: evil.test\r\n") + get())
        first, second = (await client.reply()).json(), (await client.reply()).json()
    assert first["headers"] == {"host": "tenfold.test", "transfer-encoding": "chunked"}
    assert second["headers"] == {"host": "tenfold.test"}


async def test_the_authority_of_an_absolute_target_is_the_host() -> None:
    async with Served(echo) as served:
        for target, path, host in [
            (b"http://a.test/x", "/x", "a.test"),
            (b"HTTP://u:p@a.test:8080", "/", "a.test:8080"),
            (b"http://[::1]:80?q", "/", "[::1]:80"),
        ]:
            said = (await served.ask(b"GET %b HTTP/1.1\r\nHost: b.test\r\n\r\n" % target)).json()
            assert (said["path"], said["headers"]["host"]) == (path, host)


async def test_an_offer_to_change_the_protocol_is_passed_over() -> None:
    """As Java's HttpClient makes it with every request; the body must not be lost."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAA")
    async with Served(echo) as served:
        client = await served.connect()
        await client.send(post(b"one", "/1", *offer) + post(b"two", "/2", *offer) + get("/3", *offer))
        said = [(await client.reply()).json() for _ in range(3)]
    assert [(one["path"], one["body"]) for one in said] == [("/1", "one"), ("/2", "two"), ("/3", "")]
    assert "upgrade" not in said[0]["headers"]


async def test_pipelined_requests_are_answered_in_order_and_one_at_a_time() -> None:
    count = 3000  # more than is parsed, and more than is read, ahead
    async with Served(echo, None) as served:
        client = await served.connect()
        client.write(b"".join(get(f"/{number}", "X-Pad: " + "p" * 100) for number in range(count)))
        for number in range(count):
            assert (await client.reply()).json()["path"] == f"/{number}"
        await turns()
        assert served.ended.qsize() == count
