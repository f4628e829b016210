"""The values of stored responses. Values only."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct, field

from tenfold.core.ids import TenantId, id_named

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
ENDED: frozenset[str] = frozenset({"completed", "incomplete", "failed", "cancelled"})

JsonObject = dict[str, Any]

KIND = "response"  # of the jobs that make one
KIND_DEAD = "response.dead"  # of those that follow one that died
KIND_FORGET = "response.forget"  # of those that delete what is left of one

KEEP_S = 30 * 86_400.0
KEEP_EVENTS_S = 86_400.0  # how long the stream of one that has ended can be had again
MAX_INPUT_BYTES = 8 * 1024 * 1024  # of one stored response, and of all that it goes on from
MAX_CHAIN = 1_000  # responses that one goes on from

_PREFIX = "resp_"


class Echo(Struct, frozen=True, kw_only=True):
    """What a Response says of itself that no provider knows. `request`: the body as the client sent it."""

    id: str
    created_at: int  # Unix seconds
    previous_response_id: str | None = None
    store: bool = True
    background: bool = False
    request: JsonObject = field(default_factory=dict)


class Asked(Struct, frozen=True, kw_only=True):
    """A request for a response. `body`: what the model is asked, with all that it goes on from."""

    tenant_id: TenantId
    id: UUID
    previous_id: UUID | None
    echo: Echo
    sent: bytes
    body: bytes
    stream: bool
    input: bytes  # its own input items, a JSON array
    key: bytes | None = None
    request_hash: bytes | None = None


class StoredResponse(Struct, frozen=True, kw_only=True):
    """A response as it is now. The job of one of the background has its id."""

    tenant_id: TenantId
    id: UUID
    previous_id: UUID | None
    background: bool
    stream: bool
    status: Status
    model: str
    request: bytes  # as it was sent; b"" once nobody needs it any more
    input: bytes  # its own input items, a JSON array
    response: bytes  # the Response object; of one that has not ended, as it was when it was accepted
    created_at: datetime
    expires_at: datetime
    cost_nano: int = 0
    died: bool = False  # failed, because its job did
    version: int = 1  # grows with each change: its ETag

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def public_id(self) -> str:
        return public_id(self.id)


class NewResponse(Struct, frozen=True, kw_only=True):
    """One to be stored. `key` and `request_hash`: digests, of its `Idempotency-Key` and its request."""

    tenant_id: TenantId
    id: UUID
    previous_id: UUID | None
    background: bool
    stream: bool
    status: Status
    model: str
    request: bytes
    input: bytes
    response: bytes
    cost_nano: int = 0
    key: bytes | None = None
    request_hash: bytes | None = None


class ItemPage(Struct, frozen=True, kw_only=True):
    items: list[JsonObject]
    has_more: bool


class Keyed(Struct, frozen=True, kw_only=True):
    """What was stored under an `Idempotency-Key`."""

    id: UUID
    request_hash: bytes


class Link(Struct, frozen=True, kw_only=True):
    """One response of a chain. `input` and `response` are None where the chain is too large to be read so far."""

    id: UUID
    previous_id: UUID | None
    status: Status
    input: bytes | None
    response: bytes | None


def public_id(response_id: UUID) -> str:
    return _PREFIX + response_id.hex


def id_of(text: str) -> UUID | None:
    """None: it cannot be the id of a response."""
    return id_named(_PREFIX, text)


class FoundPassage(Struct, frozen=True, kw_only=True):
    """What a search of files found. `score` is 0 to 1."""

    file_id: str  # "file-..."
    filename: str
    text: str
    score: float
    attributes: dict[str, str | float | bool]
    document: str  # as in core.call.Grounds
