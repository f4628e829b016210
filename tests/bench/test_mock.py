"""The mock upstream speaks the wire well enough that a benchmark against it means something."""

import json
import socket
from typing import Any

import pytest
from bench.calls import Target, Upstream, chat_body, check, post
from bench.mock import Mock
from bench.paced import read_streams
from bench.processes import BenchError


def test_a_call_gets_a_whole_reply(mock: Mock) -> None:
    status, reply = post(mock.targets[Upstream.AT_ONCE], chat_body("m"))
    completion: dict[str, Any] = json.loads(reply)
    assert status == 200
    assert len(completion["choices"][0]["message"]["content"].split()) == 300
    assert completion["usage"]["completion_tokens"] == 300


def test_a_stream_gets_64_events_that_end_with_done(mock: Mock) -> None:
    status, reply = post(mock.targets[Upstream.AT_ONCE], chat_body("m", stream=True))
    events = reply.decode().split("\n\n")
    assert status == 200
    assert len(events) == 65
    assert events[-2:] == ["data: [DONE]", ""]
    chunks: list[dict[str, Any]] = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert chunks[-1]["usage"]["total_tokens"] == 1500
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1])
    assert len(text.split()) == 300


async def test_a_paced_stream_comes_event_by_event(mock: Mock) -> None:
    target = mock.targets[Upstream.EVENT_EACH_10_MS]
    streams, _ = await read_streams(target, readers=2, each=1, limit_s=30)
    assert [stream.events for stream in streams] == [64, 64]
    for stream in streams:
        assert stream.reads > 1  # on a busy machine several may be read at once
        assert stream.first_event_s < stream.total_s


def test_calls_are_counted_and_questions_about_the_count_are_not(mock: Mock) -> None:
    before = mock.served()
    post(mock.targets[Upstream.AT_ONCE], chat_body("m"))
    post(mock.targets[Upstream.AT_ONCE], chat_body("m", stream=True))
    assert mock.served() == before + 2


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_requests_may_come_in_pieces_and_several_at_once(mock: Mock, size: int) -> None:
    plain = b"POST /v1/x HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
    chunked = b"POST /v1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    sent = plain + chunked + plain
    with socket.create_connection(("127.0.0.1", mock.port), timeout=20) as connection:
        for start in range(0, len(sent), size):
            connection.sendall(sent[start : start + size])
        replies = b""
        while replies.count(b'"system_fingerprint"') < 3:
            piece = connection.recv(65536)
            assert piece, replies
            replies += piece
    assert replies.count(b"HTTP/1.1 200 OK") == 3


def test_a_refusal_is_never_taken_for_a_fast_reply(mock: Mock) -> None:
    check(mock.targets[Upstream.AT_ONCE], "mock", stream=True)
    with pytest.raises(BenchError, match="gone gives no reply"):
        check(Target(url="http://127.0.0.1:9/v1/chat/completions"), "gone", stream=False)
