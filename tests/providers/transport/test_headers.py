"""Request heads: nothing that a caller passes can end a line or change the framing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import InvalidRequest
from tenfold.providers.ports import Headers
from tenfold.providers.transport import HttpClient, InvalidHeader, Origin
from tenfold.providers.transport.client import USER_AGENT
from tenfold.providers.transport.headers import encode, encode_target
from tests.support.raw_server import Peer, RawRequest, RawServer, whole

SECRET = b"Bearer sk-hunter2"


async def sent(headers: Headers, prepared: Headers, *, path: str = "/chat", body: bytes = b"{}") -> RawRequest:
    """The request as a server gets it."""
    requests: list[RawRequest] = []

    async def script(peer: Peer) -> None:
        requests.append(await peer.request())
        await peer.send(whole(b""))

    async with RawServer(script) as server:
        client = HttpClient(Origin.parse(f"{server.url}/v1"))
        await (await client.post(path, headers, body, prepared=client.prepared(prepared))).read()
        await client.aclose()
    return requests[0]


async def test_the_whole_request() -> None:
    request = await sent([(b"x-b", b"2")], [(b"authorization", SECRET)], path="/chat?x=%2F", body=b'{"a":1}')
    assert request.line == b"POST /v1/chat?x=%2F HTTP/1.1"
    assert [pair for pair in request.headers if pair[0] != b"host"] == [
        (b"user-agent", USER_AGENT),
        (b"accept-encoding", b"identity"),
        (b"authorization", SECRET),
        (b"x-b", b"2"),
        (b"content-length", b"7"),
    ]
    assert request.body == b'{"a":1}'


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 10_000
    assert (await sent([], [], body=body)).body == body


async def test_a_header_of_the_call_takes_the_place_of_a_prepared_one() -> None:
    request = await sent([(b"X-Beta", b"new")], [(b"x-beta", b"old"), (b"x-kept", b"1")])
    assert [pair for pair in request.headers if pair[0].startswith(b"x-")] == [(b"x-kept", b"1"), (b"x-beta", b"new")]


async def test_a_get_has_no_body() -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append((await peer.request()).head)
        await peer.send(whole(b"ok"))

    async with RawServer(script) as server:
        client = HttpClient(Origin.parse(server.url))
        assert await (await client.get("/models", [])).read() == b"ok"
        await client.aclose()
    assert heads[0].startswith(b"GET /models HTTP/1.1\r\n")
    assert b"content-length" not in heads[0]


BAD: list[tuple[bytes, bytes]] = [
    (b"x-a", b"1\r\nx-evil: 2"),
    (b"x-a", b"1\nx-evil: 2"),
    (b"x-a", b"1\r"),
    (b"x-a", b"nul\x00"),
    (b"x-a", b"del\x7f"),
    (b"x-a\r\nx-evil", b"1"),
    (b"x a", b"1"),
    (b"x-a:", b"1"),
    (b"", b"1"),
    (b"x-\xfc", b"1"),
    (b"host", b"evil"),
    (b"Content-Length", b"0"),
    (b"transfer-encoding", b"chunked"),
    (b"connection", b"close"),
    (b"proxy-authorization", b"Basic x"),
]


@pytest.mark.parametrize("header", BAD)
async def test_a_header_that_cannot_be_sent_is_refused_before_a_connection_is_made(header: tuple[bytes, bytes]) -> None:
    client = HttpClient(Origin.parse("http://127.0.0.1:1"))
    for attempt in (client.post("/", [header], b""), client.get("/", [header])):
        with pytest.raises(InvalidHeader) as caught:
            await attempt
        assert isinstance(caught.value, InvalidRequest)
        assert "evil" not in caught.value.message
    with pytest.raises(InvalidHeader):
        client.prepared([header])


@pytest.mark.parametrize(
    "path", ["", "chat", "http://evil/", "/a b", "/a\r\nx: y", "/a\n", "/a\x00", "/é", "/a#b", "/a HTTP/1.1\r\n\r\n"]
)
async def test_a_path_that_cannot_be_sent_is_refused(path: str) -> None:
    client = HttpClient(Origin.parse("http://127.0.0.1:1"))
    with pytest.raises(InvalidHeader):
        await client.post(path, [], b"")


@given(name=st.binary(max_size=20), value=st.binary(max_size=40))
@settings(max_examples=300)
def test_one_header_is_one_line_or_refused(name: bytes, value: bytes) -> None:
    try:
        lines = encode([(name, value)])
    except InvalidHeader:
        return
    assert lines == name + b": " + value + b"\r\n"
    assert lines.count(b"\r") == lines.count(b"\n") == 1
    assert b"\x00" not in lines


@given(st.text(max_size=30))
def test_a_target_is_one_word_or_refused(path: str) -> None:
    try:
        target = encode_target(path)
    except InvalidHeader:
        return
    assert target.split() == [target]
    assert target.startswith(b"/")


def test_prepared_headers_do_not_show_keys() -> None:
    prepared = HttpClient(Origin.parse("http://h")).prepared([(b"authorization", SECRET)])
    assert "hunter2" not in repr(prepared)
