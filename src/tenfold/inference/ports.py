"""What the pipeline needs of the layers beside and above it."""

from collections.abc import Awaitable
from typing import Protocol
from uuid import UUID

from tenfold.core.call import Call, Operation, Peek
from tenfold.core.chat import ChatEvent, ChatReply, ChatRequest, EmbeddingsReply, EmbeddingsRequest
from tenfold.core.errors import TenfoldError
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.bound import Bound
from tenfold.ledger.budgets.types import Spender


class ReplyEncoder(Protocol):
    """Canonical stream events to the client's stream. Stateful, one per stream."""

    def encode(self, events: list[ChatEvent]) -> bytes:
        """The frames these events make; b"" when none is complete yet. A Failed event becomes the dialect's
        typed error frame; an Ended one its proper end."""
        ...


class ClientDialect(Protocol):
    """How one kind of client speaks. Pure; implemented in `edge`."""

    name: str  # the Wire.dialect it equals: "openai" | "anthropic"

    def peek(self, operation: Operation, body: bytes) -> Peek:
        """Check the whole body, read the little that routing needs. Raises InvalidRequest."""
        ...

    def decode_chat(self, body: bytes) -> ChatRequest:
        """The full request. Raises InvalidRequest with `param`."""
        ...

    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes: ...

    def reply_encoder(self, request: ChatRequest) -> ReplyEncoder: ...

    def encode_error(self, error: TenfoldError, request_id: str) -> bytes:
        """The body of an error reply."""
        ...

    def error_frame(self, error: TenfoldError, request_id: str) -> bytes:
        """The terminal frame of a stream that broke after it began; official SDKs raise on it."""
        ...

    def restart_frame(self, provider: str, model: str) -> bytes:
        """Inside a stream: what came before it is void, the reply begins anew, from this upstream. Official SDKs pass
        it on or over; whoever allows restarts looks for it."""
        ...

    def decode_embeddings(self, body: bytes) -> EmbeddingsRequest: ...

    def encode_embeddings(self, reply: EmbeddingsReply, request: EmbeddingsRequest) -> bytes: ...

    def encode_count(self, input_tokens: int) -> bytes:
        """The reply of a count-tokens call; dialects without one raise NotFound."""
        ...


class Sender(Protocol):
    """A begun stream to the client."""

    def send_bytes(self, data: bytes) -> Awaitable[None]:
        """Returns when the client's connection took it. Raises the Responder's `gone`."""
        ...


class Responder(Protocol):
    """Where a reply goes. One of the two is called, once. Headers are lines (`core.headers.header_lines`)."""

    gone: type[Exception]  # what a Sender raises when nobody listens any more

    def whole(self, status: int, headers: str, body: bytes) -> None: ...

    def stream(self, status: int, headers: str) -> Sender: ...


class FairShare(Protocol):
    """The calls this process may have in flight, shared between tenants by weight. See tenfold.limits.fair."""

    async def enter(self, tenant_id: TenantId) -> None:
        """Returns at once while there is room; waits its tenant's turn when there is none. Raises Overloaded.
        Cancelled, it holds nothing."""
        ...

    def leave(self, tenant_id: TenantId) -> None: ...


class LimitHold(Protocol):
    """What one call has taken of the rate limits."""

    @property
    def headers(self) -> str:
        """Header lines for the reply: RateLimit, RateLimit-Policy and those the vendors' SDKs read."""
        ...


class CallLimits(Protocol):
    """Rate limits. See tenfold.limits. No I/O while what this process holds of a limit lasts."""

    async def enter(self, principal: Principal, dialect: str) -> LimitHold:
        """One request of key and tenant, and one of their calls at once. `dialect` is the client's: whose headers it
        reads. Raises RateLimited."""
        ...

    async def reserve(self, hold: LimitHold, *, model: str, end_user: str | None, tokens: int, nano: int) -> None:
        """What only model and end user limit, and the tokens and the money of all. Raises RateLimited."""
        ...

    def leave(self, hold: LimitHold, *, tokens: int, nano: int) -> None:
        """The call has ended; what it really used takes the place of what was reserved."""
        ...


class Reservation(Protocol):
    """Room set aside in every budget that a call counts towards."""

    @property
    def leases(self) -> tuple[UUID, ...]: ...

    @property
    def remaining_nano(self) -> int | None:
        """What is left of the tightest budget, as far as this process knows; None: no budget holds."""
        ...


class CallBudgets(Protocol):
    """Budgets. See tenfold.ledger.budgets. No I/O while what this process has leased of them lasts."""

    async def reserve(self, spender: Spender, bound_nano: int) -> Reservation:
        """Raises BudgetExceeded, StoreUnavailable. Cancelled, it holds nothing."""
        ...

    def settle(self, reservation: Reservation, cost_nano: int) -> None:
        """Once for each reservation. The rest is free again at once; the cost reaches the database with the receipt."""
        ...


class Journal(Protocol):
    """Receipts that outlive the process. See tenfold.ledger.receipts."""

    def begin(self, call: Call, bound: Bound) -> None:
        """On this machine's disk cache before any byte of this turn of the event loop reaches a provider.
        Raises Overloaded when the disk is full."""
        ...

    def end(self, call: Call) -> None:
        """The receipt. Never raises. Before any byte of this turn reaches the client."""
        ...


class Kill(Protocol):
    """A switch that is thrown."""

    @property
    def scope(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def reason(self) -> str: ...


class Ticket(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reply(self) -> bytes | None:
        """The answer, once it is there."""
        ...


class Switches(Protocol):
    """Kill switches. See tenfold.rollout. No I/O once a tenant is known."""

    @property
    def any(self) -> bool:
        """Whether there is any switch at all that is thrown."""
        ...

    def knows(self, principal: Principal) -> bool:
        """Whether the tenant's own switches are known; else `ready` has to come first."""
        ...

    async def ready(self, principal: Principal) -> None:
        """The tenant's own switches are known. Raises StoreUnavailable."""
        ...

    def killed(
        self, principal: Principal, *, feature: str | None, model: str | None = None, provider: str | None = None
    ) -> Kill | None: ...


class Parking(Protocol):
    """Calls that are answered later. See tenfold.inference.tickets. Both raise RateLimited (too many of the tenant
    wait), Overloaded, TooLarge, StoreUnavailable; the same call twice is one ticket."""

    async def park(self, call: Call) -> Ticket:
        """Nobody could answer it: tried until somebody does."""
        ...

    async def accept(self, call: Call, wait_s: float) -> Ticket:
        """It is made soon; whoever waits so long for it may get the reply with the ticket."""
        ...


class OutcomeSink(Protocol):
    """Takes the finished call: logs, metrics, traces. Must not block or raise."""

    def record(self, call: Call) -> None: ...
