"""The rules of tickets: which calls may wait, how many, and for how long. It asks nobody anything: a worker does.

What is parked holds a request as it was sent, since it has to be asked later. Nothing is parked but calls of features
that declare the step `queue`, and the body goes as soon as the call has ended, was deleted or has waited too long.
"""

import asyncio
import logging
from uuid import UUID

from msgspec import structs

from tenfold.core.call import Call, CallOptions
from tenfold.core.errors import InvalidRequest, NotFound, Overloaded, StoreUnavailable, TooLarge
from tenfold.core.ids import TenantId
from tenfold.jobs.parked.ports import ParkedRows
from tenfold.jobs.parked.types import (
    KEEP_S,
    MAX_BODY_BYTES,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    ParkedCall,
    Ticket,
    TicketPage,
    call_id_of,
)

logger = logging.getLogger(__name__)

DEFAULT_PAGE = 20
MAX_PAGE = 100
EXPIRE_EVERY_S = 600.0  # what has expired is told as expired before it is dropped
BATCH_TICKETS = 100  # a body may be a megabyte


class Tickets:
    """Parks calls, and tells of them. Implements `inference.ports.Parking`."""

    def __init__(
        self,
        rows: ParkedRows,
        *,
        keep_s: float = KEEP_S,
        max_waiting: int = MAX_WAITING,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._rows = rows
        self._keep_s = keep_s
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._max_body_bytes = max_body_bytes

    async def park(self, call: Call) -> Ticket:
        """The same call twice is one ticket. Raises Overloaded (too many of the tenant wait), TooLarge,
        StoreUnavailable."""
        if len(call.body) > self._max_body_bytes:
            raise TooLarge(f"A request of more than {self._max_body_bytes} bytes is not kept for later.")
        parked = ParkedCall(
            tenant_id=call.principal.tenant_id,
            id=call.id,
            key_id=call.principal.key_id,
            user_id=call.principal.user_id,
            operation=call.operation,
            dialect=call.dialect,
            model=call.model,
            options=_that_still_hold(call.options),
            body=call.body,
        )
        ticket = await self._rows.add(
            parked, keep_s=self._keep_s, most=self._max_waiting, most_bytes=self._max_waiting_bytes
        )
        if ticket is None:
            raise Overloaded("As many calls of this tenant wait already as may. Try again later.")
        return ticket

    async def list(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = DEFAULT_PAGE) -> TicketPage:
        """The newest first, without their replies. Raises InvalidRequest, StoreUnavailable."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
        before = call_id_of(cursor) if cursor else None
        if cursor and before is None:
            raise InvalidRequest("This is not a cursor.", param="cursor")
        found = await self._rows.page(tenant_id, before=before, limit=limit + 1)
        return TicketPage(items=found[:limit], cursor=found[limit - 1].id if len(found) > limit else None)

    async def find(self, tenant_id: TenantId, ticket: str) -> Ticket:
        """Raises NotFound, for another tenant's too; StoreUnavailable."""
        found = await self._rows.find(tenant_id, _call_id(ticket))
        if found is None:
            raise _no_such_ticket()
        return found

    async def remove(self, tenant_id: TenantId, ticket: str) -> None:
        """With the request and the reply: it is not asked any more. Raises NotFound, StoreUnavailable."""
        if not await self._rows.remove(tenant_id, _call_id(ticket)):
            raise _no_such_ticket()


async def expire_tickets(rows: ParkedRows, *, keep_s: float = KEEP_S) -> int:
    """Calls that waited too long lose their bodies, tickets that were kept long enough go; a batch a transaction. How
    many there were. Raises StoreUnavailable."""
    expired = 0
    for tenant_id in await rows.tenants_expired():
        while of_tenant := await rows.expire(tenant_id, keep_s=keep_s, limit=BATCH_TICKETS):
            expired += of_tenant
    return expired


async def keep_expiring(rows: ParkedRows) -> None:
    """`expire_tickets` every ten minutes, until cancelled."""
    while True:
        await asyncio.sleep(EXPIRE_EVERY_S)
        try:
            await expire_tickets(rows)
        except StoreUnavailable as error:
            logger.info("tickets are not expired, the database is away: %s", error.message)


def _that_still_hold(options: CallOptions) -> CallOptions:
    """Later there is no client that waits, and no key under which the reply is looked for. What was approved, was for
    this moment."""
    return structs.replace(
        options,
        approved_cost_nano=None,
        idempotency_key=None,
        deadline_ms=None,
        client_retry=False,
        tell_budget=False,
        explain=frozenset(),
        traceparent=None,
    )


def _call_id(ticket: str) -> UUID:
    found = call_id_of(ticket)
    if found is None:
        raise _no_such_ticket()
    return found


def _no_such_ticket() -> NotFound:
    return NotFound("There is no such ticket.")
