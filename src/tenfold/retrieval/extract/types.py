"""What a file holds once it is read, and why one cannot be."""

from typing import Literal

from msgspec import Struct

from tenfold.core.errors import InvalidRequest

FileFault = Literal["unsupported_file", "invalid_file"]
"""The words of OpenAI's `last_error.code`: a kind of file that is not read, or one of a kind that is, and broken."""


class Limits(Struct, frozen=True, kw_only=True):
    """What one file may take. `memory_bytes`: of the process that reads it, all that it maps; `cpu_s` of it; `wall_s`
    until it is killed."""

    max_bytes: int = 64 * 1024 * 1024
    max_chars: int = 10_000_000
    memory_bytes: int = 1024 * 1024 * 1024
    cpu_s: int = 60
    wall_s: float = 120.0


class Extracted(Struct, frozen=True, kw_only=True):
    """`text` is Markdown; `pages` are the characters of it at which each page begins, empty where a file has none."""

    text: str
    title: str = ""
    pages: tuple[int, ...] = ()


class UnreadableFile(InvalidRequest):
    """`fault` is for programs; the message says to a person what is wrong with the file, and the way out."""

    def __init__(self, message: str, fault: FileFault) -> None:
        super().__init__(message, param="file")
        self.fault: FileFault = fault
