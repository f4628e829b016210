"""Routes of API keys: list, create, revoke. A secret is on the page that created it and on no other."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tenfold.access.types import CreatedKey, Session
from tenfold.console.site import Site, see_other
from tenfold.console.views import FormError, KeysPage
from tenfold.console.visitors import Visitor
from tenfold.core.errors import InvalidRequest
from tenfold.core.principal import (
    SCOPE_APPROVE,
    SCOPE_BUDGETS,
    SCOPE_FLAGS,
    SCOPE_INFERENCE,
    SCOPE_KEYS,
    SCOPE_SUPPORT,
    SCOPE_USAGE,
    SCOPE_WEBHOOKS,
)

SCOPES = (
    (SCOPE_INFERENCE, "Call models and ask questions"),
    (SCOPE_USAGE, "Read usage and spend"),
    (SCOPE_BUDGETS, "Set budgets and limits"),
    (SCOPE_FLAGS, "Set feature flags and switch features off"),
    (SCOPE_WEBHOOKS, "Set webhooks and read what they delivered"),
    (SCOPE_SUPPORT, "Ask for support only: open tickets and follow them"),
    (SCOPE_APPROVE, "Approve calls above the cost ceiling"),
    (SCOPE_KEYS, "Create and revoke keys"),
)
LIFETIMES = (("", "Never"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"))
PAGE_SIZE = 20
PER_MINUTE = 60  # calls of a publishable key, all its visitors together


def key_routes(site: Site) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    services = site.services

    async def page(
        request: Request,
        session: Session,
        *,
        cursor: str | None = None,
        created: CreatedKey | None = None,
        name: str = "",
        origins: str = "",
        error: FormError | None = None,
        error_of: Literal["key", "widget"] = "key",
    ) -> KeysPage:
        found = await services.keys.list_keys(session.principal.tenant_id, cursor=cursor, limit=PAGE_SIZE)
        return KeysPage(
            keys=found.items,
            now=datetime.now(UTC),
            cursor=found.cursor,
            scopes=SCOPES,
            lifetimes=LIFETIMES,
            name=name,
            error=error,
            new_key=created.secret if created else None,
            snippets=site.snippets(request, created.secret) if created else None,
            is_publishable=bool(created and created.key.origins),
            origins=origins,
            has_widget=services.support is not None,
            error_of=error_of,
        )

    @routes.get("/keys")
    async def list_keys(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        cursor = request.query_params.get("cursor")
        return site.show(request, await page(request, visitor.session, cursor=cursor), visitor)

    @routes.post("/keys")
    async def create_key(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        fields = await site.visitors.form(request, visitor)
        return await created_page(request, visitor, visitor.session, fields)

    async def created_page(request: Request, visitor: Visitor, session: Session, fields: dict[str, str]) -> Response:
        name = fields.get("name", "")
        try:
            created = await services.keys.create_key(
                session.principal.tenant_id, name, fields.get("scope", "").split(), _expiry(fields.get("expires", ""))
            )
        except InvalidRequest as error:
            refused = FormError(message=error.message, field=error.param)
            return site.show(request, await page(request, session, name=name, error=refused), visitor, error.status)
        return site.show(request, await page(request, session, created=created), visitor)

    @routes.post("/keys/widget")
    async def create_publishable(request: Request) -> Response:
        """A key for web pages, slowed down by a limit of its own, since everybody can use it."""
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        fields = await site.visitors.form(request, visitor)
        session, name, origins = visitor.session, fields.get("name", ""), fields.get("origins", "")
        tenant_id = session.principal.tenant_id
        try:
            if not origins.split():
                raise InvalidRequest("Name the site that it is to stand in.", param="origins")
            created = await services.keys.create_key(tenant_id, name, [SCOPE_SUPPORT], origins=origins.split())
        except InvalidRequest as error:
            refused = FormError(message=error.message, field=error.param)
            shown = await page(request, session, name=name, origins=origins, error=refused, error_of="widget")
            return site.show(request, shown, visitor, error.status)
        if services.money is not None:
            await services.money.limits.create(
                tenant_id, per="key", subject=str(created.key.id), measure="requests", amount=PER_MINUTE, window_s=60
            )
        return site.show(request, await page(request, session, created=created), visitor)

    @routes.post("/keys/{key_id}/revoke")
    async def revoke_key(request: Request, key_id: str) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        await site.visitors.form(request, visitor)
        await services.keys.revoke_key(visitor.session.principal.tenant_id, key_id)
        return see_other("/keys")

    return routes


def _expiry(days: str) -> datetime | None:
    if not days:
        return None
    if days not in {value for value, _ in LIFETIMES}:
        raise InvalidRequest("Choose one of the times offered.", param="expires")
    return datetime.now(UTC) + timedelta(days=int(days))
