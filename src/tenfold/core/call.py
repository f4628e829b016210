"""The one `Call` value: everything known about a call from its first stage to its last.

The receipt, the log line, the trace and the reply headers are all made of it.
"""

import time
from datetime import UTC, datetime
from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

from tenfold.core.errors import TenfoldError
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.core.usage import Usage

Operation = Literal["chat", "embeddings", "count_tokens"]
CacheState = Literal["miss", "bypass", "hit", "coalesced"]  # coalesced: shared the call of an identical one in flight
CacheLayer = Literal["memory", "valkey", "semantic"]
Status = Literal["ok", "error", "cut", "cancelled"]
Step = Literal["fallback", "restart", "hedge", "stale", "template", "queue", "repair", "escalate"]


class Reach(Struct, frozen=True, kw_only=True):
    """What a request lets a model read beside the text of its body, and what else it may be charged for."""

    images: int = 0
    image_bytes: int = 0  # of the body: the data of those images that stand in it
    windows: int = 0  # so many times a whole context window may be read: documents, hosted tools, members unknown here
    rounds: int = 1  # so many answers may be written before the call ends: hosted tools go round by themselves
    echoed: bool = False  # the body may be charged as output too: a predicted output


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
    @property
    def has_tools(self) -> bool: ...
    @property
    def wants_json(self) -> bool: ...
    @property
    def reach(self) -> Reach | None:
        """None: the model reads the text of the body and nothing else, as most calls have it."""
        ...


class Grounds(Struct, frozen=True, kw_only=True):
    """What a call rests on, where its body holds more than a question. `documents` are those quoted in it, each as
    "<knowledge base>/<document>@<version>", with nothing before the stroke where it is the client's own: an answer that
    came of them does not outlive a change of any."""

    question: str | None = None  # None: the last message of the user
    documents: frozenset[str] = frozenset()


class CallOptions(Struct, frozen=True, kw_only=True):
    """The request options of our own, from `Tenfold-*` headers."""

    feature: str | None = None
    task: str | None = None
    end_user: str | None = None
    run: str | None = None  # the agent run this call is a step of
    max_cost_nano: int | None = None  # the client's own ceiling, 10^-9 USD
    approved_cost_nano: int | None = None  # lifts the ceilings of a request up to here; needs the scope `approve`
    idempotency_key: str | None = None
    deadline_ms: int | None = None  # from the request's arrival to the last byte of its reply
    respond_async: bool = False  # the client lets it be answered later (RFC 7240)
    wait_s: float = 0.0  # and would wait so long for it
    client_retry: bool = False  # the client's SDK says that it is trying again
    tell_budget: bool = False  # wants Tenfold-Budget-Remaining-Usd
    cache: frozenset[str] = frozenset()  # directives of Cache-Control and Tenfold-Cache-Control
    max_age_s: float | None = None  # of an answer from a cache
    max_false_hits: float | None = None  # 0 to 1: the bound this request wants of the semantic cache
    grounds: Grounds | None = None
    explain: frozenset[str] = frozenset()  # words of Tenfold-Explain
    traceparent: str | None = None  # W3C trace context of the client
    upstream_headers: tuple[tuple[bytes, bytes], ...] = ()  # the client's, carried where dialects match
    upstream_key: str | None = None  # of a step of a job: every attempt's Idempotency-Key at the provider begins so


DEFAULT_OPTIONS = CallOptions()

NOT_ANSWERED = 500  # the status of a call whose reply has not begun


class Admission(Protocol):
    """What stage 2 keeps for a call from `enter` to the end. Opaque to everybody else but for these."""

    @property
    def headers(self) -> str:
        """Header lines of limits and budgets for the reply; "" when there is nothing to tell."""
        ...

    @property
    def begun(self) -> bool:
        """Whether a provider may have been asked: from then on a receipt is owed whatever happens."""
        ...

    @property
    def leases(self) -> tuple[UUID, ...]:
        """The budget leases this call's cost is charged to."""
        ...


class Call:
    """One call in progress. Stages fill it in; nothing else holds state about a call.

    What no stage has said yet stands in the class: a call costs the attributes it sets (1.9 us with all of them).
    """

    # 1 authenticate
    id: UUID
    started_at: float  # Unix seconds
    started: float  # perf_counter seconds, for durations
    principal: Principal
    operation: Operation
    dialect: str
    body: bytes
    options: CallOptions
    waited_s: float = 0.0  # in a queue, before it was begun
    auth_s: float | None = None  # how long stage 1 took, for callers at the front door
    # 2 admit
    admission: "Admission | None" = None
    # 4 lookup
    peek: Peek | None = None  # read once the cache has not answered by bytes
    model: str = ""  # as the client named it
    stream: bool = False
    cache_state: CacheState = "bypass"
    cache_layer: CacheLayer = "memory"  # that the hit came from
    cached_age_s: int = 0
    cache_bound: float | None = None  # on the share of false hits where it was looked for by meaning, 0 to 1
    cache_told: str = ""  # why it was or was not answered by meaning, for Tenfold-Explain: cache
    # 3 route
    route_told: str = ""  # which targets were chosen and why, for Tenfold-Explain: route
    # 5 call
    asked: float | None = None  # perf_counter seconds: when the first provider was asked
    deadline: float | None = None  # perf_counter seconds
    provider: str | None = None
    upstream_model: str | None = None
    target_model: str | None = None  # the one of a route's models that it is
    served_by: str = ""  # reply header lines that name the two
    upstream_request_id: str | None = None
    ignored: tuple[str, ...] = ()  # parameters the upstream has no word for
    carried: tuple[tuple[str, str], ...] = ()  # upstream headers for the client
    first_byte: float | None = None  # perf_counter seconds
    stream_bytes: int = 0
    unanswered: bool = False  # a provider may be working on the attempt under way, or has, and told no usage yet
    lost_nano: int = 0  # what earlier attempts may have cost that were given up without an answer
    attempts: int = 0  # requests sent to providers for this call
    degraded: tuple[Step, ...] = ()  # the steps of the fallback chain that were taken, in order
    ticket: str | None = None  # under which the call was parked
    replayed: bool = False  # the reply is that of an earlier call with the same Idempotency-Key
    earlier_nano: int = 0  # what earlier attempts are known to have cost whose replies could not be used
    earlier_usage: Usage | None = None  # and what they used
    # 6 validate
    usage: Usage | None = None
    begun_usage: Usage | None = None  # what a stream told at its start, for the case that it tells no more
    estimated: bool = False
    implausible: bool = False  # the usage the provider told cannot be true and was not used
    over_bound: bool = False  # the usage the provider told is larger than what was reserved; it counts all the same
    # 7 settle
    cost_nano: int | None = None  # None: no price is known
    input_cost_nano: int | None = None
    output_cost_nano: int | None = None
    status: Status = "error"  # until a stage says better
    http_status: int = NOT_ANSWERED
    error: TenfoldError | None = None
    finished: float | None = None

    def __init__(
        self,
        *,
        principal: Principal,
        operation: Operation,
        dialect: str,
        body: bytes,
        options: CallOptions = DEFAULT_OPTIONS,
    ) -> None:
        self.id = uuid7()
        self.request_id = f"req_{self.id.hex}"  # what `x-request-id` says
        self.started_at = time.time()
        self._at: datetime | None = None
        self.started = time.perf_counter()
        self.principal = principal
        self.operation = operation
        self.dialect = dialect
        self.body = body
        self.options = options

    @property
    def at(self) -> datetime:
        """When the call began, UTC: the same value in its draft, its receipt and its key."""
        at = self._at
        if at is None:
            at = self._at = datetime.fromtimestamp(self.started_at, UTC)
        return at
