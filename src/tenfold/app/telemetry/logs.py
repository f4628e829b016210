"""JSON log lines on standard output: one object a line, with time, level and message. Calls are written in batches.

It never writes bodies, headers or keys: nothing here is given any.
"""

import logging
import os
import select
import stat
import sys
from functools import lru_cache
from time import gmtime, strftime
from typing import Any
from uuid import UUID

from msgspec import Struct, json

from tenfold.app.telemetry.names import duration_s, first_byte_s, model_name
from tenfold.core.call import Call
from tenfold.core.money import format_usd

_encoder = json.Encoder()
_FILE_STEP = 1024 * 1024  # a file takes any number of bytes; of a pipe only PIPE_BUF are sure not to block
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
    a stuck log reader must not stop calls.

    Written by the event loop itself, never more than a pipe takes without blocking: a thread would have to be handed
    the interpreter lock, which costs the calls more than the writing.
    """

    def __init__(self, descriptor: int, max_pending_bytes: int = 8 * 1024 * 1024) -> None:
        self._descriptor = descriptor
        self._max_pending = max_pending_bytes
        self._pending = bytearray()
        self._step = _FILE_STEP if stat.S_ISREG(os.fstat(descriptor).st_mode) else select.PIPE_BUF
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
        self.dropped = 0

    def take(self, calls: list[Call]) -> None:
        lines = _encoder.encode_lines([_line(call) for call in calls])
        if len(self._pending) + len(lines) > self._max_pending:
            self.dropped += len(calls)
            return
        self._pending += lines
        self.flush()

    def flush(self) -> None:
        """As much of what is pending as there is room for, in whole lines: others write to the same output."""
        written = 0
        try:
            with memoryview(self._pending) as pending:
                while written < len(pending) and self._has_room():
                    line_end = self._pending.rfind(b"\n", written, written + self._step) + 1
                    written += os.write(self._descriptor, pending[written : line_end or written + self._step])
        except OSError:  # nobody reads our output any more; the calls go on
            written = len(self._pending)
        del self._pending[:written]

    def _has_room(self) -> bool:
        return any(event & select.POLLOUT for _, event in self._room.poll(0))


class CallLine(
    Struct,
    kw_only=True,
    omit_defaults=True,
    rename={
        "request_id": "tenfold.request_id",
        "tenant": "tenfold.tenant",
        "key_id": "tenfold.key_id",
        "dialect": "tenfold.dialect",
        "cache": "tenfold.cache",
        "status": "tenfold.status",
        "cost_usd": "tenfold.cost_usd",
        "estimated": "tenfold.usage_estimated",
        "feature": "tenfold.feature",
        "task": "tenfold.task",
        "upstream_request_id": "tenfold.upstream_request_id",
        "degraded": "tenfold.degraded",
        "attempts": "tenfold.attempts",
        "http_status": "http.response.status_code",
        "operation": "gen_ai.operation.name",
        "provider": "gen_ai.provider.name",
        "request_model": "gen_ai.request.model",
        "response_model": "gen_ai.response.model",
        "input_tokens": "gen_ai.usage.input_tokens",
        "output_tokens": "gen_ai.usage.output_tokens",
        "error_type": "error.type",
    },
):
    """The line of one call: the names of `names.attributes`, as a type so that a line costs one encoding."""

    time: str
    level: str
    message: str = ""  # left out by omit_defaults only when empty, which it never is
    request_id: str
    tenant: str
    key_id: UUID | None = None
    operation: str
    dialect: str
    status: str
    http_status: int
    cache: str
    request_model: str = ""
    response_model: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    estimated: bool = False
    cost_usd: str | None = None
    duration_ms: float
    first_byte_ms: float | None = None
    feature: str | None = None
    task: str | None = None
    upstream_request_id: str | None = None
    degraded: str | None = None
    attempts: int | None = None  # only more than one
    error_type: str | None = None


def _line(call: Call) -> CallLine:
    usage, error, first_byte = call.usage, call.error, first_byte_s(call)
    return CallLine(
        time=_timestamp(call.started_at),
        level="info",
        message="call",
        request_id=call.request_id,
        tenant=call.principal.tenant_slug,
        key_id=call.principal.key_id,
        operation=call.operation,
        dialect=call.dialect,
        status=call.status,
        http_status=call.http_status,
        cache=call.cache_state,
        request_model=model_name(call),
        response_model=call.upstream_model,
        provider=call.provider,
        input_tokens=None if usage is None else usage.input_tokens,
        output_tokens=None if usage is None else usage.output_tokens,
        estimated=call.estimated,
        cost_usd=None if call.cost_nano is None else format_usd(call.cost_nano),
        duration_ms=round(duration_s(call) * 1000, 3),
        first_byte_ms=None if first_byte is None else round(first_byte * 1000, 3),
        feature=call.options.feature,
        task=call.options.task,
        upstream_request_id=call.upstream_request_id,
        degraded=",".join(call.degraded) if call.degraded else None,
        attempts=call.attempts if call.attempts > 1 else None,
        error_type=None if error is None else error.code,
    )


def _timestamp(unix_s: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    whole = int(unix_s)
    return f"{_second(whole)}.{int((unix_s - whole) * 1000):03d}Z"


@lru_cache(maxsize=8)  # the lines of a batch share their second
def _second(unix_s: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(unix_s))
