"""Routes of people: the front page, signing up (with the first key), logging in and out."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tenfold.access.types import SignedIn
from tenfold.console.site import Site, see_other
from tenfold.console.views import FormError, FrontPage, LoginPage
from tenfold.console.visitors import Visitor, client_of
from tenfold.core.errors import Conflict, InvalidRequest, PermissionDenied, RateLimited, TenfoldError, Unauthenticated
from tenfold.core.principal import ALL_SCOPES

FIRST_KEY = "First key"
_SESSION_COOKIE_S = 14 * 24 * 3600  # as long as a session can last; the server decides whether it still does


def account_routes(site: Site) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    services = site.services

    @routes.get("/")
    async def home(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return site.show(request, FrontPage(), visitor)
        return site.show(request, await site.ask_page(visitor.session.principal), visitor)

    @routes.get("/signup")
    async def sign_up_form() -> Response:
        return see_other("/")

    @routes.post("/signup")
    async def sign_up(request: Request) -> Response:
        visitor = site.visitors.anonymous(request)
        fields = await site.visitors.form(request, visitor)
        if not services.sign_up_open:
            raise PermissionDenied("Signing up is closed here. Ask the operator for access.")
        login, name = fields.get("login", ""), fields.get("tenant_name", "")
        try:
            signed_in = await services.accounts.sign_up(login, fields.get("password", ""), name, client_of(request))
        except (InvalidRequest, Conflict, RateLimited) as error:
            page = FrontPage(tenant_name=name, login=login, error=_form_error(error))
            return site.show(request, page, visitor, error.status)
        session = signed_in.session
        key = await services.keys.create_key(session.principal.tenant_id, FIRST_KEY, ALL_SCOPES)
        snippets = site.snippets(request, key.secret)
        welcome = await site.ask_page(session.principal, title="Welcome", snippets=snippets)
        response = site.show(request, welcome, Visitor(session=session, token=signed_in.token))
        return _with_session(site, request, response, signed_in)

    @routes.get("/login")
    async def log_in_form(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        return see_other("/") if visitor.session else site.show(request, LoginPage(), visitor)

    @routes.post("/login")
    async def log_in(request: Request) -> Response:
        visitor = site.visitors.anonymous(request)
        fields = await site.visitors.form(request, visitor)
        login = fields.get("login", "")
        try:
            signed_in = await services.accounts.log_in(login, fields.get("password", ""), client_of(request))
        except (Unauthenticated, RateLimited) as error:
            page = LoginPage(login=login, error=_form_error(error))
            return site.show(request, page, visitor, error.status)
        return _with_session(site, request, see_other("/"), signed_in)

    @routes.post("/logout")
    async def log_out(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is not None:
            await site.visitors.form(request, visitor)
            await services.accounts.log_out(visitor.token)
        response = see_other("/")
        site.cookies.end_session(request, response)
        return response

    return routes


def _with_session(site: Site, request: Request, response: Response, signed_in: SignedIn) -> Response:
    site.cookies.set_session(request, response, signed_in.token, _SESSION_COOKIE_S)
    return response


def _form_error(error: TenfoldError) -> FormError:
    return FormError(message=error.message, field=error.param)
