"""The one `Call` value: everything known about a call from its first stage to its last.

The receipt, the log line, the trace and the reply headers are all made of it.
"""

import time
from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

from tenfold.core.errors import TenfoldError
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.core.usage import Usage

Operation = Literal["chat", "embeddings", "count_tokens"]
CacheState = Literal["miss", "bypass", "hit"]
Status = Literal["ok", "error", "cut", "cancelled"]


class Peek(Protocol):
    """What the front door reads of a request body; the rest is decoded only where a translation needs it."""

    @property
    def model(self) -> str: ...
    @property
    def stream(self) -> bool: ...
    @property
    def include_usage(self) -> bool: ...
    @property
    def n(self) -> int: ...
    @property
    def max_tokens(self) -> int | None: ...
    @property
    def temperature(self) -> float | None: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def user(self) -> str | None: ...


class CallOptions(Struct, frozen=True, kw_only=True):
    """The request options of our own, from `Tenfold-*` headers."""

    feature: str | None = None
    task: str | None = None
    end_user: str | None = None
    cache: frozenset[str] = frozenset()  # directives of Tenfold-Cache-Control
    explain: frozenset[str] = frozenset()  # words of Tenfold-Explain
    traceparent: str | None = None  # W3C trace context of the client
    upstream_headers: tuple[tuple[bytes, bytes], ...] = ()  # the client's, carried where dialects match


DEFAULT_OPTIONS = CallOptions()


class Call:
    """One call in progress. Stages fill it in; nothing else holds state about a call."""

    __slots__ = (
        "body",
        "cache_state",
        "cached_age_s",
        "carried",
        "cost_nano",
        "dialect",
        "error",
        "estimated",
        "finished",
        "first_byte",
        "http_status",
        "id",
        "ignored",
        "input_cost_nano",
        "model",
        "operation",
        "options",
        "output_cost_nano",
        "peek",
        "principal",
        "provider",
        "started",
        "started_at",
        "status",
        "stream_bytes",
        "upstream_model",
        "upstream_request_id",
        "usage",
    )

    def __init__(
        self,
        *,
        principal: Principal,
        operation: Operation,
        dialect: str,
        body: bytes,
        options: CallOptions = DEFAULT_OPTIONS,
    ) -> None:
        # 1 authenticate
        self.id: UUID = uuid7()
        self.started_at = time.time()  # Unix seconds
        self.started = time.perf_counter()  # seconds, for durations
        self.principal = principal
        self.operation: Operation = operation
        self.dialect = dialect
        self.body = body
        self.options = options
        self.peek: Peek | None = None  # read once the cache has not answered
        self.model = ""  # as the client named it
        # 3 route
        self.provider: str | None = None
        self.upstream_model: str | None = None
        # 4 lookup
        self.cache_state: CacheState = "bypass"
        self.cached_age_s = 0
        # 5 call
        self.upstream_request_id: str | None = None
        self.ignored: tuple[str, ...] = ()
        self.carried: list[tuple[str, str]] = []  # upstream headers for the client
        self.first_byte: float | None = None  # perf_counter seconds
        self.stream_bytes = 0
        # 6 validate
        self.usage: Usage | None = None
        self.estimated = False
        # 7 settle
        self.cost_nano: int | None = None  # None: no price is known
        self.input_cost_nano: int | None = None
        self.output_cost_nano: int | None = None
        self.status: Status = "error"  # until a stage says better
        self.http_status = 500
        self.error: TenfoldError | None = None
        self.finished: float | None = None

    @property
    def request_id(self) -> str:
        """What `x-request-id` says."""
        return f"req_{self.id.hex}"
