"""Bodies that are no requests: a clear 400 or 413 in the dialect's own shape, and nothing reaches a provider."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.naughty import naughty_strings
from tests.support.raw_client import RawClient, RawReply, exchange, post
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_server import UpstreamServer

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
MODELS = ["gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash", "offline-extractive"]
every_dialect = pytest.mark.parametrize("dialect", list(PATHS))

MAX_BODY = 20 * 1024 * 1024


@pytest.fixture(autouse=True)
def _nothing_reaches_a_provider(tenfold: TenfoldProcess, upstream: UpstreamServer) -> Iterator[None]:
    logged = tenfold.log_end()
    with upstream.recording() as seen:
        yield
    assert [request.body for request in seen] == []
    assert [line for line in tenfold.log_lines(after=logged) if line["level"] == "error"] == []
    assert tenfold.is_ready()


def check_refused(reply: RawReply | None, dialect: str, status: int = 400) -> str:
    """In the dialect's shape; gives the message."""
    assert reply is not None, "the connection was closed without a word"
    assert reply.status == status, reply
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["x-request-id"].startswith("req_")
    error: dict[str, Any] = reply.json["error"]
    if dialect == "anthropic":
        assert reply.json["type"] == "error"
        assert error["type"] in ("invalid_request_error", "request_too_large")
        assert reply.json["request_id"] == reply.headers["request-id"]
    else:
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == "invalid_request_error"
    message = error["message"]
    assert isinstance(message, str)
    assert len(message) < 600, "an error is no echo of the request"
    return message


def sent(tenfold: TenfoldProcess, dialect: str, body: bytes) -> RawReply | None:
    return exchange(tenfold.url, post(PATHS[dialect], body, key=tenfold.key))


def valid(name: str = "gpt-4o-mini", **more: Any) -> dict[str, Any]:
    return {"model": name, "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}], **more}


def with_text(text: bytes) -> bytes:
    """A valid request but for these bytes inside its text."""
    return json.dumps(valid()).encode().replace(b"hello", text)


MALFORMED = {
    "empty": b"",
    "space": b"  \n",
    "cut": json.dumps(valid()).encode()[:-1],
    "cut in a string": json.dumps(valid()).encode()[:40],
    "two values": json.dumps(valid()).encode() * 2,
    "trailing comma": json.dumps(valid()).encode()[:-1] + b",}",
    "single quotes": b"{'model': 'gpt-4o-mini'}",
    "comment": b"/* hi */" + json.dumps(valid()).encode(),
    "array": b"[" + json.dumps(valid()).encode() + b"]",
    "text": b'"hello"',
    "number": b"1",
    "null": b"null",
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(valid()).encode(),
    "UTF-16": json.dumps(valid()).encode("utf-16"),
    "invalid UTF-8": with_text(b"\xff\xfe"),
    "overlong UTF-8": with_text(b"\xc0\xaf"),
    "encoded surrogate": with_text(b"\xed\xa0\x80"),
    "control character": with_text(b"a\x00b"),
    "bad escape": with_text(rb"\x41"),
    "lone surrogate": with_text(rb"\ud800"),
    "NaN": json.dumps(valid()).encode()[:-1] + b', "temperature": NaN}',
    "Infinity": json.dumps(valid()).encode()[:-1] + b', "temperature": -Infinity}',
    "leading zero": json.dumps(valid()).encode()[:-1] + b', "seed": 01}',
    "form": b"model=gpt-4o-mini&messages=hello",
}


@every_dialect
@pytest.mark.parametrize("body", list(MALFORMED.values()), ids=list(MALFORMED))
def test_what_is_no_json(tenfold: TenfoldProcess, dialect: str, body: bytes) -> None:
    check_refused(sent(tenfold, dialect, body), dialect)


@every_dialect
@pytest.mark.parametrize("model", MODELS)
def test_keys_that_come_twice(tenfold: TenfoldProcess, dialect: str, model: str) -> None:
    """Tenfold and a provider might each believe another of the two."""
    whole = json.dumps(valid(model)).encode()
    for twice in (
        whole[:-1] + b', "model": "claude-haiku-4-5"}',
        whole[:-1] + rb', "mod\u0065l": "claude-haiku-4-5"}',
        whole.replace(b'"role": "user"', b'"role": "user", "role": "assistant"'),
        whole[:-1] + b', "metadata": {"a": 1, "a": 2}}',
    ):
        assert "twice" in check_refused(sent(tenfold, dialect, twice), dialect)


@every_dialect
@pytest.mark.parametrize("levels", [101, 5_000, 200_000])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
def test_deep_nesting(tenfold: TenfoldProcess, dialect: str, levels: int, brackets: tuple[bytes, bytes]) -> None:
    begin, end = brackets
    deep = begin * levels + b"1" + end * levels
    body = json.dumps(valid()).encode()[:-1] + b', "metadata": ' + deep + b"}"
    assert "deep" in check_refused(sent(tenfold, dialect, body), dialect)


WRONG: dict[str, Any] = {
    "model a number": {"model": 5},
    "model null": {"model": None},
    "model a list": {"model": ["gpt-4o-mini"]},
    "messages an object": {"messages": {}},
    "messages null": {"messages": None},
    "messages empty": {"messages": []},
    "a message a text": {"messages": ["hello"]},
    "a message null": {"messages": [None]},
    "a role a number": {"messages": [{"role": 1, "content": "x"}]},
    "no role": {"messages": [{"content": "x"}]},
    "content an object": {"messages": [{"role": "user", "content": {}}]},
    "a part a number": {"messages": [{"role": "user", "content": [5]}]},
    "a part without a type": {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
    "max_tokens a text": {"max_tokens": "5"},
    "max_tokens a fraction": {"max_tokens": 5.5},
    "tools an object": {"tools": {}},
    "a tool a text": {"tools": ["x"]},
    "stream a text": {"stream": "true"},
    "stream a number": {"stream": 1},
    "temperature a text": {"temperature": "0"},
}


@every_dialect
@pytest.mark.parametrize("wrong", list(WRONG.values()), ids=list(WRONG))
def test_wrong_types(tenfold: TenfoldProcess, dialect: str, wrong: dict[str, Any]) -> None:
    """Whether the upstream speaks the dialect or not."""
    name = next(iter(wrong))
    for model in MODELS:
        reply = sent(tenfold, dialect, json.dumps(valid(model) | wrong).encode())
        message = check_refused(reply, dialect)
        assert reply is not None
        assert name in message or name in (reply.json["error"].get("param") or "")


def test_embeddings(tenfold: TenfoldProcess) -> None:
    for wrong in (b"{}", b'{"model":"text-embedding-3-small"}', b'{"model":"text-embedding-3-small","input":{}}'):
        reply = exchange(tenfold.url, post("/v1/embeddings", wrong, key=tenfold.key))
        check_refused(reply, "openai")


@every_dialect
def test_a_body_that_says_it_is_too_large(tenfold: TenfoldProcess, dialect: str) -> None:
    """It is refused before it is sent."""
    head = post(PATHS[dialect], b"", key=tenfold.key).replace(b"Content-Length: 0", b"Content-Length: 1099511627776")
    check_refused(exchange(tenfold.url, head), dialect, 413)


@every_dialect
def test_a_body_that_grows_too_large(tenfold: TenfoldProcess, dialect: str) -> None:
    """Chunked, for ever: refused at the first byte over the limit, and memory does not follow what is sent."""
    before = tenfold.memory_bytes()
    chunk = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
    with RawClient(tenfold.url) as client:
        head = post(PATHS[dialect], b"", key=tenfold.key)
        client.send(head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        for _ in range(64):
            if not client.send(chunk):
                break
        check_refused(client.reply(), dialect, 413)
    grown = tenfold.memory_bytes() - before
    assert grown < 4 * MAX_BODY, f"{grown >> 20} MiB more"


def test_large_bodies_leave_no_memory_behind(tenfold: TenfoldProcess) -> None:
    body = json.dumps(valid("no-such-model", padding="x" * (MAX_BODY - 1000))).encode()
    for _ in range(2):
        reply = sent(tenfold, "openai", body)
    before = tenfold.memory_bytes()
    for _ in range(6):
        reply = sent(tenfold, "openai", body)
        assert reply is not None
        assert reply.status == 404
    assert tenfold.memory_bytes() - before < 2 * MAX_BODY


@every_dialect
def test_naughty_strings_as_models(tenfold: TenfoldProcess, dialect: str) -> None:
    with RawClient(tenfold.url) as client:
        for text in naughty_strings():
            client.send(post(PATHS[dialect], json.dumps(valid(text)).encode(), key=tenfold.key))
            reply = client.reply()
            assert reply is not None
            assert reply.status in (400, 404), text
