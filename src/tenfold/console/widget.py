"""The widget: a script for other sites' pages, and the page it shows in a frame, where their visitors ask.

A publishable key opens it: everyone can read that one, so it may do nothing but ask, and the browser shows the frame on
the key's own origins only (frame-ancestors). There is no cookie: a ticket is reached by the token that its first answer
carries, in the fields of the forms. It works without a script inside of the frame.
"""

from collections import OrderedDict

from fastapi import APIRouter
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tenfold.access.types import ApiKey
from tenfold.assistant.tickets.ports import Support
from tenfold.assistant.tickets.types import OF_PEOPLE, Thread
from tenfold.console.security import embeddable, same_origin
from tenfold.console.services import KeyCheck
from tenfold.console.site import Site
from tenfold.console.slowing import Slow
from tenfold.console.support_views import WidgetPage, message_views
from tenfold.console.views import FormError
from tenfold.console.visitors import client_of, form_fields
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, PermissionDenied, RateLimited
from tenfold.core.ids import KeyId, TenantId
from tenfold.core.principal import SCOPE_SUPPORT, Principal

SCRIPT = "widget.js"
MAX_KEYS = 1_000  # remembered


class _Opened(Struct, frozen=True, kw_only=True):
    """Who asks: a key, and the ticket it has the token of, if any."""

    principal: Principal
    key: ApiKey
    secret: str
    ticket: str = ""
    token: str = ""


def widget_routes(site: Site, support: Support, slow: Slow) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    keys: OrderedDict[KeyId, ApiKey] = OrderedDict()

    @routes.get(f"/{SCRIPT}")
    async def script(request: Request) -> Response:
        embeddable(request)
        response = site.assets.response(SCRIPT, None)
        response.headers["access-control-allow-origin"] = "*"  # for `integrity` on the tag
        return response

    @routes.get("/widget")
    async def opened(request: Request) -> Response:
        who = await known(request, request.query_params.get("key", ""))
        return shown(request, WidgetPage(title=who.key.name, key=who.secret))

    @routes.post("/widget")
    async def said(request: Request) -> Response:
        if not same_origin(request):
            raise PermissionDenied("This form was not sent from here.")
        fields = await form_fields(request)
        who = await known(request, fields.get("key", ""), fields.get("ticket", ""), fields.get("token", ""))
        try:
            slow.look(who.ticket or client_of(request))
            return shown(request, await done(request, who, fields))
        except (InvalidRequest, Conflict, RateLimited, NotFound) as error:
            return shown(request, await refused(who, fields, FormError(message=error.message)), error.status)

    async def done(request: Request, who: _Opened, fields: dict[str, str]) -> WidgetPage:
        match fields.get("do"):
            case "ask":
                slow.ask(client_of(request), who.ticket, str(who.key.id))
                taken = await support.ask(
                    who.principal,
                    fields.get("question", ""),
                    ticket=who.ticket or None,
                    token=who.token or None,
                    email=fields.get("email", "").strip() or None,
                )
                return page(who, taken.thread, taken.token or who.token)
            case "judge":
                helpful = fields.get("helpful") == "yes"
                thread = await support.feedback(who.principal, who.ticket, helpful=helpful, token=who.token)
            case "hand_off":
                thread = await support.hand_off(who.principal, who.ticket, token=who.token)
            case _:
                thread = await support.find(who.principal, who.ticket, token=who.token)
        return page(who, thread, who.token)

    async def refused(who: _Opened, fields: dict[str, str], error: FormError) -> WidgetPage:
        """What was said so far, and the question that was written, are still there."""
        question = fields.get("question", "")
        try:
            thread = await support.find(who.principal, who.ticket, token=who.token)
        except NotFound:  # no ticket yet, or none any more
            return WidgetPage(title=who.key.name, key=who.secret, question=question, error=error)
        return page(who, thread, who.token, question=question, error=error)

    async def known(request: Request, secret: str, ticket: str = "", token: str = "") -> _Opened:
        principal = await _principal(site.services.keyring, secret)
        if principal.key_id is None or principal.scopes != {SCOPE_SUPPORT}:
            raise PermissionDenied(
                f"This key may do more than ask for support: never put it into a page. Make one for web pages, whose"
                f" one scope is `{SCOPE_SUPPORT}`."
            )
        key = await row_of(principal.tenant_id, principal.key_id)
        if not key.origins:
            raise PermissionDenied("This key names no origins that it may stand in. Make another one for web pages.")
        embeddable(request, key.origins)
        return _Opened(principal=principal, key=key, secret=secret, ticket=ticket, token=token)

    async def row_of(tenant_id: TenantId, key_id: KeyId) -> ApiKey:
        """What is kept of a key but for its end, which the keyring follows, never changes."""
        if key_id not in keys:
            keys[key_id] = await site.services.keys.key(tenant_id, key_id)
            if len(keys) > MAX_KEYS:
                keys.popitem(last=False)
        return keys[key_id]

    def shown(request: Request, page: WidgetPage, status: int = 200) -> Response:
        return site.renderer.page(request, page, None, status)

    return routes


def page(who: _Opened, thread: Thread, token: str, *, question: str = "", error: FormError | None = None) -> WidgetPage:
    ticket = thread.ticket
    last = thread.messages[-1] if thread.messages else None
    return WidgetPage(
        title=who.key.name,
        key=who.secret,
        ticket=ticket.name,
        token=token,
        messages=tuple(message_views(thread, signed_in=False)),
        is_pending=thread.pending is not None,
        with_person=ticket.state in OF_PEOPLE,
        is_closed=ticket.state == "closed",
        can_judge=last is not None and last.role != "user" and last.feedback is None,
        question=question,
        error=error,
    )


async def _principal(keyring: KeyCheck, secret: str) -> Principal:
    return keyring.authenticate(secret) or await keyring.load(secret)
