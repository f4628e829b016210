"""Cutting a raw stream: whole frames only, nothing lost, however the bytes arrive."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import BrokenStream
from tenfold.inference.frames import FrameGuard

STREAM = b'data: {"a":1}\n\ndata: {"b":"\xc3\xa4"}\r\n\r\n: note\n\ndata: [DONE]\n\n'


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def whole_frames(given_bytes: bytes) -> bool:
    return not given_bytes or given_bytes.endswith((b"\n\n", b"\r\n\r\n"))


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_all_frames_pass_whole_and_in_order(places: list[int]) -> None:
    guard = FrameGuard()
    given_out = [guard.feed(block) for block in cut(STREAM, places)]
    assert b"".join(given_out) == STREAM
    assert all(map(whole_frames, given_out))
    assert guard.rest() == b""
    assert guard.tail == guard.head == STREAM


@pytest.mark.parametrize("length", range(len(STREAM)))
def test_a_begun_frame_is_held_back(length: int) -> None:
    guard = FrameGuard()
    out = guard.feed(STREAM[:length])
    assert whole_frames(out)
    assert out + guard.rest() == STREAM[:length]


def test_only_the_two_ends_are_kept() -> None:
    guard = FrameGuard()
    frame = b"data: " + b"x" * 1000 + b"\n\n"
    for _ in range(1000):
        guard.feed(frame)
    guard.feed(b"data: [DONE]\n\n")
    assert guard.tail.endswith(b"data: [DONE]\n\n")
    assert 16_000 < len(guard.tail) < 20_000
    assert len(guard.head) == 8 * 1024
    assert guard.size == 1000 * len(frame) + len(b"data: [DONE]\n\n")


def test_an_endless_frame_is_refused() -> None:
    guard = FrameGuard()
    with pytest.raises(BrokenStream):
        for _ in range(10):
            guard.feed(b"data: " + b"x" * 1024 * 1024)
