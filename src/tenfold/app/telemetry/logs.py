"""JSON log lines on standard output: one object a line, with time, level and message. Calls are written in batches.

It never writes bodies, headers or keys: nothing here is given any.
"""

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from msgspec import json

from tenfold.app.telemetry.names import attributes, duration_s, first_byte_s
from tenfold.core.call import Call

_encoder = json.Encoder()
_PLAIN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName", "asctime"}


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: str(value) for name, value in vars(record).items() if name not in _PLAIN_FIELDS})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encoder.encode(line).decode()


def configure(level: str) -> None:
    """Send the log of the whole process to standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class CallLog:
    """A line for each call. Lines that standard output does not take in time are dropped and counted:
    a stuck log reader must not stop calls."""

    def __init__(self, descriptor: int, max_pending_bytes: int = 8 * 1024 * 1024) -> None:
        self._descriptor = descriptor
        self._max_pending = max_pending_bytes
        self._pending = bytearray()
        self._writing: asyncio.Future[None] | None = None
        self.dropped = 0

    def take(self, calls: list[Call]) -> None:
        lines = _encoder.encode_lines([_line(call) for call in calls])
        if len(self._pending) + len(lines) > self._max_pending:
            self.dropped += len(calls)
            return
        self._pending += lines

    async def flush(self) -> None:
        """Hand what is pending to a thread; at most one writes at a time, later lines wait for the next flush."""
        if self._writing is not None and not self._writing.done():
            return
        if self._pending:
            block, self._pending = self._pending, bytearray()
            self._writing = asyncio.get_running_loop().run_in_executor(None, _write, self._descriptor, block)

    async def aclose(self) -> None:
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=1)
        await self.flush()
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=1)


def _line(call: Call) -> dict[str, Any]:
    line: dict[str, Any] = {"time": _timestamp(call.started_at), "level": "info", "message": "call"}
    line.update(attributes(call))
    line["duration_ms"] = round(duration_s(call) * 1000, 3)
    first_byte = first_byte_s(call)
    if first_byte is not None:
        line["first_byte_ms"] = round(first_byte * 1000, 3)
    return line


def _timestamp(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")


def _write(descriptor: int, block: bytearray) -> None:
    view = memoryview(block)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError:  # nobody reads our output any more; the calls go on
            return
