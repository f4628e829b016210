"""The JSON API of tickets: calls that are answered later, and what came of them."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from tenfold.console.api_parts import MISSING, PROBLEMS, PageSize, bearer
from tenfold.console.services import ConsoleServices, TicketService
from tenfold.core.headers import still_holds
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.inference.tickets.types import Ticket


class TicketBody(BaseModel):
    id: str
    request_id: str = Field(description="Of the call that was accepted, as its reply said it.")
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    operation: str
    model: str
    feature: str | None
    created_at: datetime
    expires_at: datetime = Field(description="Waiting: not asked after this. Ended: not to be read after this.")
    ended_at: datetime | None
    attempts: int = Field(description="How often it was begun.")
    error_code: str | None = Field(description="Of the last attempt that failed.")
    error_message: str | None


class WholeTicketBody(TicketBody):
    reply: Any = Field(None, description="The answer, in the dialect of the call; once the state is done.")


class TicketsPage(BaseModel):
    data: list[TicketBody]
    next_cursor: str | None


def ticket_api_routes(services: ConsoleServices, tickets: TicketService) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["tickets"])
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.get("/tickets", summary="List the tenant's calls that are answered later")
    async def list_tickets(who: caller, cursor: str | None = None, limit: PageSize = 20) -> TicketsPage:
        who.require(SCOPE_INFERENCE)
        page = await tickets.list(who.tenant_id, cursor=cursor, limit=limit)
        return TicketsPage(data=[TicketBody(**_told(each)) for each in page.items], next_cursor=page.cursor)

    @routes.get(
        "/tickets/{ticket}",
        response_model=WholeTicketBody,
        summary="What became of a call that is answered later",
        responses=MISSING,
    )
    async def one_ticket(ticket: str, who: caller, request: Request, response: Response) -> Any:
        """With `ETag` and, until it has ended, `Retry-After`; 304 for an `If-None-Match` that still holds."""
        who.require(SCOPE_INFERENCE)
        found = await tickets.find(who.tenant_id, ticket)
        tag = f'"{found.version}"'
        headers = {"etag": tag} | ({} if found.ended_at is not None else {"retry-after": "1"})
        if still_holds(request.headers.get("if-none-match"), tag):
            return Response(status_code=304, headers=headers)
        response.headers.update(headers)
        return WholeTicketBody(**_told(found), reply=_reply(found))

    @routes.delete(
        "/tickets/{ticket}", status_code=204, summary="Delete such a call, and what came of it", responses=MISSING
    )
    async def delete_ticket(ticket: str, who: caller) -> Response:
        who.require(SCOPE_INFERENCE)
        await tickets.remove(who, ticket)
        return Response(status_code=204)

    return routes


def _told(ticket: Ticket) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "request_id": f"req_{ticket.call_id.hex}",
        "state": ticket.state,
        "operation": ticket.operation,
        "model": ticket.model,
        "feature": ticket.feature,
        "created_at": ticket.created_at,
        "expires_at": ticket.expires_at,
        "ended_at": ticket.ended_at,
        "attempts": ticket.attempts,
        "error_code": ticket.error_code,
        "error_message": ticket.error_message,
    }


def _reply(ticket: Ticket) -> Any:
    if ticket.reply is None:
        return None
    try:
        return msgspec.json.decode(ticket.reply)
    except msgspec.DecodeError:  # a stream, say
        return ticket.reply.decode("utf-8", "replace")
