"""Bytes that are no good HTTP: a 4xx or a closed connection, nothing reaches a provider, others are served on."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.raw_client import RawClient, RawReply, exchange, post
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_server import UpstreamServer

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}).encode()
HEAD = b"GET /livez HTTP/1.1\r\nHost: tenfold.test\r\n"


@pytest.fixture(autouse=True)
def _no_errors_of_ours(tenfold: TenfoldProcess) -> Iterator[None]:
    logged = tenfold.log_end()
    yield
    assert [line for line in tenfold.log_lines(after=logged) if line["level"] == "error"] == []
    assert tenfold.is_ready()


def keyed(tenfold: TenfoldProcess, headers: bytes, body: bytes = BODY) -> bytes:
    """A chat request with these framing headers instead of Content-Length."""
    request = post(CHAT, b"", key=tenfold.key).replace(b"Content-Length: 0\r\n", headers)
    return request + body


NO_HTTP = {
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a sentence": b"hello there\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.0": b"GET /livez HTTP/3.0\r\nHost: x\r\n\r\n",
    "an unknown method": b"FROB /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "a small method": b"get /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "no Host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two Hosts": HEAD + b"Host: other\r\n\r\n",
    "no colon": HEAD + b"Broken\r\n\r\n",
    "a space before the colon": HEAD + b"X-A : b\r\n\r\n",
    "an empty name": HEAD + b": b\r\n\r\n",
    "a folded line": HEAD + b"X-A: b\r\n c\r\n\r\n",
    "NUL in a value": HEAD + b"X-A: b\x00c\r\n\r\n",
    "a bare CR": HEAD + b"X-A: b\rX-B: c\r\n\r\n",
    "a control character in the path": b"GET /li\x01vez HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the path": b"GET /li vez HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "a huge header": HEAD + b"X-A: " + b"b" * 200_000 + b"\r\n\r\n",
    "a huge path": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a thousand headers": HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(1000)) + b"\r\n",
}


@pytest.mark.parametrize("data", list(NO_HTTP.values()), ids=list(NO_HTTP))
def test_what_is_no_request(tenfold: TenfoldProcess, data: bytes) -> None:
    with RawClient(tenfold.url) as client:
        client.send(data)
        reply = client.reply()
        if reply is not None:
            assert 400 <= reply.status < 500 or reply.status == 505, reply
            assert reply.json["error"]["message"]
            assert client.is_closed()


FRAMINGS = {
    "both lengths": (b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(BODY), BODY),
    "both lengths, the other way round": (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "two lengths": (b"Content-Length: %d\r\nContent-Length: 5\r\n" % len(BODY), BODY),
    "a list of lengths": (b"Content-Length: %d, %d\r\n" % (len(BODY), len(BODY)), BODY),
    "a negative length": (b"Content-Length: -1\r\n", BODY),
    "a signed length": (b"Content-Length: +%d\r\n" % len(BODY), BODY),
    "a length in hexadecimal": (b"Content-Length: 0x10\r\n", BODY),
    "a length beyond all numbers": (b"Content-Length: %d\r\n" % 10**30, BODY),
    "an unknown coding": (b"Transfer-Encoding: gzip\r\n", BODY),
    "chunked before another": (b"Transfer-Encoding: chunked, gzip\r\n", BODY),
    "chunked in disguise": (b"Transfer-Encoding: xchunked\r\n", BODY),
    "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "a chunk of no size": (b"Transfer-Encoding: chunked\r\n", b"xyz\r\n" + BODY),
    "a chunk longer than it says": (b"Transfer-Encoding: chunked\r\n", b"5\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk of endless extensions": (b"Transfer-Encoding: chunked\r\n", b"5;" + b"a=b;" * 100_000),
    "a chunk size beyond all numbers": (b"Transfer-Encoding: chunked\r\n", b"f" * 40 + b"\r\n"),
}


@pytest.mark.parametrize("framing", list(FRAMINGS.values()), ids=list(FRAMINGS))
def test_bodies_that_end_nowhere_sure(
    tenfold: TenfoldProcess, upstream: UpstreamServer, framing: tuple[bytes, bytes]
) -> None:
    """Two servers in a row could see two requests in them: they are refused, and the connection is not used again."""
    headers, body = framing
    with upstream.recording() as seen, RawClient(tenfold.url) as client:
        client.send(keyed(tenfold, headers, body))
        reply = client.reply()
        if reply is not None:
            assert 400 <= reply.status < 500, reply
            client.send(HEAD + b"\r\n")
            assert client.is_closed()
    assert seen == []


def test_what_is_unusual_and_right(tenfold: TenfoldProcess) -> None:
    def status(data: bytes) -> int:
        reply = exchange(tenfold.url, data)
        assert reply is not None
        return reply.status

    assert status(b"GET http://tenfold.test/livez HTTP/1.1\r\nHost: tenfold.test\r\n\r\n") == 200  # RFC 9112, 3.2.2
    assert status(b"\r\n" + HEAD + b"\r\n") == 200  # RFC 9112, 2.2
    assert status(b"GET /livez?a=b%20c HTTP/1.1\r\nhOST:tenfold.test\r\n\r\n") == 200
    assert status(b"GET /livez HTTP/1.0\r\n\r\n") == 200
    assert status(b"GET /no/such/page HTTP/1.1\r\nHost: x\r\n\r\n") == 404
    assert status(b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n") == 404
    assert status(b"GET /static/../../app.py HTTP/1.1\r\nHost: x\r\n\r\n") == 404
    assert status(b"DELETE /livez HTTP/1.1\r\nHost: x\r\n\r\n") in (200, 404, 405)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\nX-Trailer: a\r\n\r\n"
    assert status(keyed(tenfold, b"Transfer-Encoding: chunked\r\n", chunks)) == 200


def test_a_get_of_head(tenfold: TenfoldProcess) -> None:
    with RawClient(tenfold.url) as client:
        client.send(b"HEAD /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert client.is_closed(), "a reply to HEAD has no body"


def test_an_old_client(tenfold: TenfoldProcess) -> None:
    """HTTP/1.0 knows no chunks: the connection's end is the stream's."""
    body = BODY[:-1] + b', "stream": true}'
    with RawClient(tenfold.url) as client:
        client.send(post(CHAT, body, key=tenfold.key).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        reply = client.reply()
        assert reply is not None
        assert reply.status == 200
        assert "transfer-encoding" not in reply.headers
        assert reply.body.endswith(b"data: [DONE]\n\n")


def test_requests_sent_ahead_are_answered_in_order(tenfold: TenfoldProcess) -> None:
    with RawClient(tenfold.url) as client:
        bodies = [BODY.replace(b"hello", b"Repeat: number %d" % number) for number in range(20)]
        client.send(b"".join(post(CHAT, body, key=tenfold.key) for body in bodies))
        replies = [client.reply() for _ in bodies]
    texts = [reply.json["choices"][0]["message"]["content"] for reply in replies if reply is not None]
    assert texts == [f"number {number}" for number in range(20)]


def test_a_bad_request_behind_a_good_one(tenfold: TenfoldProcess) -> None:
    with RawClient(tenfold.url) as client:
        client.send(post(CHAT, BODY, key=tenfold.key) + b"nonsense\r\n\r\n")
        first, second = client.reply(), client.reply()
        assert first is not None
        assert first.status == 200
        assert second is None or second.status == 400
        assert client.is_closed()


def test_a_client_that_asks_before_it_sends(tenfold: TenfoldProcess) -> None:
    request = post(CHAT, BODY, key=tenfold.key, headers=b"Expect: 100-continue\r\n")
    head, body = request.split(b"\r\n\r\n", 1)
    with RawClient(tenfold.url) as client:
        client.send(head + b"\r\n\r\n")
        go_on = client.reply()
        assert go_on is not None
        assert go_on.status == 100
        client.send(body)
        reply = client.reply()
        assert reply is not None
        assert reply.status == 200
    with RawClient(tenfold.url) as client:  # with a key that is none there is nothing to wait for
        client.send(head.replace(tenfold.key.encode(), b"wrong") + b"\r\n\r\n")
        reply = client.reply()
        assert reply is not None
        assert reply.status == 401


def test_every_cut_of_a_request_is_the_same_request(tenfold: TenfoldProcess) -> None:
    request = post(CHAT, BODY, key=tenfold.key)
    for size in (1, 7, 61):
        with RawClient(tenfold.url) as client:
            client.send(*(request[at : at + size] for at in range(0, len(request), size)))
            reply = client.reply()
            assert reply is not None
            assert reply.status == 200


def test_a_request_that_is_never_finished(tenfold: TenfoldProcess, upstream: UpstreamServer) -> None:
    """Cut anywhere: no call, and no connection that stays."""
    request = post(CHAT, BODY, key=tenfold.key)
    with upstream.recording() as seen:
        for end in range(1, len(request), 23):
            with RawClient(tenfold.url) as client:
                client.send(request[:end])
                client.end()
                reply = client.reply()
                assert reply is None or 400 <= reply.status < 500
    assert seen == []


def test_clients_that_are_slow_on_purpose(tenfold: TenfoldProcess) -> None:
    """Headers that drip in are cut off after ten seconds, while others are served as ever."""
    answered: list[RawReply | None] = []

    def dawdle() -> None:
        with RawClient(tenfold.url, patience_s=30) as client:
            client.send(HEAD + b"X-A: ")
            while not client.has_news(0.2):
                client.send(b"b")
            answered.append(client.reply())

    slow = [threading.Thread(target=dawdle) for _ in range(50)]
    for thread in slow:
        thread.start()
    began = time.monotonic()
    while time.monotonic() - began < 2:
        reply = exchange(tenfold.url, post(CHAT, BODY, key=tenfold.key))
        assert reply is not None
        assert reply.status == 200
    for thread in slow:
        thread.join(30)
    assert len(answered) == 50
    assert all(reply is None or reply.status == 408 for reply in answered)


def test_bodies_nobody_reads_are_bounded(tenfold: TenfoldProcess) -> None:
    """Without a key no byte of the body is worth keeping."""
    before = tenfold.memory_bytes()
    clients = [RawClient(tenfold.url) for _ in range(10)]
    for client in clients:
        client.send(post(CHAT, b"", key="wrong").replace(b"Content-Length: 0", b"Content-Length: 20000000"))
        client.send(b" " * 10_000_000)
    for client in clients:
        reply = client.reply()
        assert reply is not None
        assert reply.status == 401
        client.close()
    assert tenfold.memory_bytes() - before < 30 << 20


def test_a_flood_of_connections(tenfold: TenfoldProcess) -> None:
    clients = [RawClient(tenfold.url) for _ in range(500)]
    reply = exchange(tenfold.url, post(CHAT, BODY, key=tenfold.key))
    assert reply is not None
    assert reply.status == 200
    for client in clients:
        client.close()
