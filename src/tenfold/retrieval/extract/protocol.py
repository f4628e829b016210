"""What the serving process and the one that reads files say to each other over a pipe: length-prefixed MessagePack; the
file itself goes as it is, behind the frame that announces it.
"""

from typing import Final

import msgspec

from tenfold.retrieval.extract.types import FileFault, Limits

LENGTH_BYTES: Final = 4  # little-endian, before each frame
_PAGES_BYTES: Final = 16 * 1024 * 1024  # of an answer, beside its text


class File(msgspec.Struct, frozen=True, kw_only=True):
    """`size` bytes follow the frame."""

    size: int
    filename: str
    content_type: str


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The first frame of a process."""


class Read(msgspec.Struct, frozen=True, kw_only=True, tag="read"):
    """`last`: the process ends after this one, as it has grown."""

    text: str
    title: str
    pages: tuple[int, ...]
    last: bool


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    message: str
    fault: FileFault
    last: bool


Answer = Ready | Read | Refused

_decode_answer: Final = msgspec.msgpack.Decoder[Answer](Answer).decode


def max_answer_bytes(limits: Limits) -> int:
    return 4 * limits.max_chars + _PAGES_BYTES


def frame(message: File | Answer) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "little") + body


def decode_file(body: bytes) -> File:
    return msgspec.msgpack.decode(body, type=File)


def decode_answer(body: bytes) -> Answer:
    """Raises msgspec.DecodeError."""
    answer: Answer = _decode_answer(body)
    return answer
