"""The values of parked calls: what is kept of a call that is to be asked later, and the ticket it is known by."""

import re
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from tenfold.core.call import CallOptions, Operation
from tenfold.core.ids import KeyId, TenantId, UserId

State = Literal["waiting", "done", "failed", "expired"]
Ended = Literal["done", "failed"]

KEEP_S = 7 * 86_400
"""How long a call waits at most, and how long the ticket can be read once it has ended."""

MAX_WAITING = 1_000  # calls of one tenant
MAX_WAITING_BYTES = 64 * 1024 * 1024  # of their bodies
MAX_BODY_BYTES = 1024 * 1024  # of one call

_TICKET = re.compile(r"tkt_([0-9a-f]{32})")


class ParkedCall(Struct, frozen=True, kw_only=True):
    """A call as it was asked. `body` is kept whole, since it has to be asked again, until the call has ended."""

    tenant_id: TenantId
    id: UUID  # the call's: parked twice, it is there once
    key_id: KeyId | None
    user_id: UserId | None
    operation: Operation
    dialect: str
    model: str
    options: CallOptions  # what still holds for a call that is asked later
    body: bytes


class Ticket(Struct, frozen=True, kw_only=True):
    """What may be known of a parked call. `reply` is the body of the answer, in the dialect of the call."""

    tenant_id: TenantId
    call_id: UUID
    state: State
    operation: str
    dialect: str
    model: str
    feature: str | None
    created_at: datetime
    expires_at: datetime  # waiting: not asked after this; ended: not to be read after this
    ended_at: datetime | None = None
    http_status: int | None = None
    error_code: str | None = None
    reply: bytes | None = None

    @property
    def id(self) -> str:
        return ticket_id(self.call_id)

    @property
    def location(self) -> str:
        """Where it can be asked after."""
        return ticket_location(self.id)


class TicketPage(Struct, frozen=True, kw_only=True):
    items: list[Ticket]
    cursor: str | None  # of the next page


def ticket_id(call_id: UUID) -> str:
    return f"tkt_{call_id.hex}"


def ticket_location(ticket: str) -> str:
    return f"/api/v1/tickets/{ticket}"


def call_id_of(ticket: str) -> UUID | None:
    """None: it is no ticket's id."""
    found = _TICKET.fullmatch(ticket)
    return None if found is None else UUID(found[1])
