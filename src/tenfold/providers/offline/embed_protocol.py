"""What the serving process and its embedding process say to each other over a pipe: length-prefixed MessagePack."""

from typing import Final

import msgspec

LENGTH_BYTES: Final = 4  # little-endian, before each frame
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024


class Job(msgspec.Struct, frozen=True, kw_only=True):
    texts: list[str]
    most_tokens: int  # that are read of each; the rest is cut


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The first frame of a process that can embed."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The first frame of a process that cannot, and why; it exits after it."""

    reason: str


class Embedded(msgspec.Struct, frozen=True, kw_only=True, tag="embedded"):
    vectors: bytes  # float32, one row after the other
    tokens: list[int]  # of each text


Answer = Ready | Refused | Embedded


_decode_answer: Final = msgspec.msgpack.Decoder[Answer](Answer).decode


def frame(message: Job | Answer) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "little") + body


def decode_job(body: bytes) -> Job:
    return msgspec.msgpack.decode(body, type=Job)


def decode_answer(body: bytes) -> Answer:
    """Raises msgspec.DecodeError."""
    answer: Answer = _decode_answer(body)
    return answer
