"""The routes of the documentation, and of the static files: open to everyone, and shown without the database."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tenfold.console.site import Site, see_other
from tenfold.console.views import DocsPage
from tenfold.core.errors import NotFound


def docs_routes(site: Site) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    documentation = site.services.documentation

    @routes.get("/docs")
    async def start() -> Response:
        entries = documentation.entries()
        if not entries:
            raise NotFound("There is no documentation here.")
        return see_other(f"/docs/{entries[0].slug}")

    @routes.get("/docs/{slug:path}")
    async def page(request: Request, slug: str) -> Response:
        found = documentation.page(slug)
        if found is None:
            raise NotFound("There is no such page in the documentation.")
        visitor = await site.visitors.reader(request)
        return site.show(request, DocsPage(entries=documentation.entries(), page=found), visitor)

    @routes.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        return site.assets.response(name, request.query_params.get("v"))

    @routes.get("/favicon.ico")
    async def favicon() -> Response:
        return site.assets.response("logo.svg", None)

    return routes
