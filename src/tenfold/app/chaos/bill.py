"""The bill of the scripted provider: one line for each request it served, on disk before the first byte of its reply.

It is the truth that the ledger is held against, and the answer to `GET /v1/usage/{request_id}`.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal
from uuid import UUID

from msgspec import DecodeError, Struct, json

from tenfold.core.usage import Usage

Outcome = Literal["ok", "error", "dead", "cut", "stall", "malformed", "no_usage", "slow"]

_REQUEST_ID = re.compile(r"req_([0-9a-f]{32})(?:-\d+)?")
_MARK = re.compile(rb"\[mark ([\w-]+) ([\w-]+)\]")


class Mark(Struct, frozen=True, kw_only=True):
    """What the load writes into each prompt, so that the provider knows whose call it serves whatever is between."""

    tenant: str  # slug
    operation: str  # of the client: its retries under one Idempotency-Key carry the same one

    @property
    def text(self) -> str:
        return f"[mark {self.tenant} {self.operation}]"


def mark_in(body: bytes) -> Mark | None:
    found = _MARK.search(body)
    return None if found is None else Mark(tenant=found[1].decode(), operation=found[2].decode())


class Line(Struct, frozen=True, kw_only=True):
    """One request served. `usage` is what is billed for it, whoever got to read the reply: nothing for an error."""

    request_id: str  # x-client-request-id, "" when there was none
    at: float  # Unix seconds
    model: str
    outcome: Outcome
    usage: Usage
    tenant: str = ""  # of the mark
    operation: str = ""  # of the mark

    @property
    def call_id(self) -> UUID | None:
        """Tenfold's call: `req_..-1` was the second attempt of `req_..`. None: it is no id of Tenfold's."""
        found = _REQUEST_ID.fullmatch(self.request_id)
        return None if found is None else UUID(found[1])

    @property
    def billed(self) -> bool:
        return self.outcome != "error"


def total(lines: Iterable[Line]) -> Usage:
    """The sum of what was billed."""
    sums = dict.fromkeys(Usage.__struct_fields__, 0)
    for line in lines:
        for name in sums:
            sums[name] += getattr(line.usage, name)
    return Usage(**sums)


class Bill:
    """Appends go to the file with one write each: what was written outlives the process."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._by_request: dict[str, list[Line]] = {}
        self.lines = 0

    def add(self, line: Line) -> None:
        os.write(self._descriptor, json.encode(line) + b"\n")
        self._by_request.setdefault(line.request_id, []).append(line)
        self.lines += 1

    def of(self, request_id: str) -> list[Line]:
        """Empty when no such request was ever served."""
        return self._by_request.get(request_id, [])

    def close(self) -> None:
        os.close(self._descriptor)


def read_bill(file: Path) -> Iterator[Line]:
    """Every whole line. Raises ValueError for one that is no line of a bill."""
    decoder = json.Decoder(Line)
    for number, raw in enumerate(file.read_bytes().split(b"\n")[:-1], 1):
        try:
            yield decoder.decode(raw)
        except DecodeError as error:
            raise ValueError(f"{file}:{number}: {error}") from error
