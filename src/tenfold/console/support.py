"""Routes of the support queue: the tickets that wait for a person, and what a person does with one."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tenfold.access.types import Session
from tenfold.assistant.tickets.ports import Support
from tenfold.assistant.tickets.types import STATES, Thread
from tenfold.console.site import Site, see_other
from tenfold.console.support_views import HAND_OFFS, SupportPage, SupportTicketPage, message_views
from tenfold.console.support_views import STATES as STATE_WORDS
from tenfold.console.views import FormError
from tenfold.console.visitors import Visitor
from tenfold.core.errors import Conflict, InvalidRequest

PAGE_SIZE = 20
QUEUE, ALL = "queue", "all"

Act = Callable[[Session, str, dict[str, str]], Awaitable[object]]


def support_routes(site: Site, support: Support) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/support")
    async def list_tickets(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        principal = visitor.session.principal
        view, cursor = request.query_params.get("view", QUEUE), request.query_params.get("cursor")
        if view == QUEUE:
            found = await support.queue(principal, cursor=cursor, limit=PAGE_SIZE)
        else:
            state = view if view in STATES else None
            found = await support.list(principal, state=state, cursor=cursor, limit=PAGE_SIZE)
        page = SupportPage(
            tickets=found.items,
            cursor=found.cursor,
            counts=await support.counts(principal),
            view=view if view in (QUEUE, *STATES) else ALL,
            states=STATE_WORDS,
        )
        return site.show(request, page, visitor)

    def ticket_page(
        session: Session, thread: Thread, reply: str = "", error: FormError | None = None
    ) -> SupportTicketPage:
        ticket = thread.ticket
        return SupportTicketPage(
            title=ticket.subject,
            ticket=ticket,
            state=STATE_WORDS[ticket.state],
            why=HAND_OFFS[ticket.hand_off] if ticket.hand_off and ticket.state != "closed" else None,
            messages=message_views(thread, signed_in=True),
            is_pending=thread.pending is not None,
            is_ours=ticket.claimed_by in (None, session.login),
            reply=reply,
            error=error,
        )

    @routes.get("/support/{ticket}")
    async def one_ticket(request: Request, ticket: str) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        thread = await support.find(visitor.session.principal, ticket)
        return site.show(request, ticket_page(visitor.session, thread), visitor)

    def action(name: str, act: Act, *, back: bool = True) -> None:
        @routes.post(f"/support/{{ticket}}/{name}", name=f"support_{name}")
        async def do(request: Request, ticket: str) -> Response:
            visitor = await site.visitors.visitor(request)
            if visitor.session is None:
                return see_other("/login")
            fields = await site.visitors.form(request, visitor)
            try:
                await act(visitor.session, ticket, fields)
            except (InvalidRequest, Conflict) as error:
                return await refused(request, visitor, visitor.session, ticket, fields, error)
            return see_other(f"/support/{ticket}" if back else "/support")

    async def refused(
        request: Request,
        visitor: Visitor,
        session: Session,
        ticket: str,
        fields: dict[str, str],
        error: InvalidRequest | Conflict,
    ) -> Response:
        """What was written is still there."""
        thread = await support.find(session.principal, ticket)
        told = FormError(message=error.message, field=error.param)
        return site.show(request, ticket_page(session, thread, fields.get("text", ""), told), visitor, error.status)

    action("claim", lambda who, ticket, _: support.claim(who.principal, ticket, agent=who.login))
    action("release", lambda who, ticket, _: support.release(who.principal, ticket))
    action(
        "reply", lambda who, ticket, said: support.reply(who.principal, ticket, said.get("text", ""), agent=who.login)
    )
    action("hand-off", lambda who, ticket, _: support.hand_off(who.principal, ticket))
    action("close", lambda who, ticket, _: support.close(who.principal, ticket))
    action("delete", lambda who, ticket, _: support.remove(who.principal, ticket), back=False)
    return routes
