"""What the routes share: the services, who visits, and how a page is shown to them."""

import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tenfold.console.render import Assets, Renderer
from tenfold.console.security import Cookies
from tenfold.console.services import ConsoleServices
from tenfold.console.views import Page, Snippets
from tenfold.console.visitors import Visitor, Visitors

_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d{1,5})?|\[[0-9a-fA-F:.]+\](?::\d{1,5})?")
_FALLBACK_HOST = "127.0.0.1:8080"


@dataclass(frozen=True, kw_only=True)
class Site:
    services: ConsoleServices
    cookies: Cookies
    visitors: Visitors
    assets: Assets
    renderer: Renderer

    def show(self, request: Request, page: Page, visitor: Visitor, status: int = 200) -> Response:
        response = self.renderer.page(request, page, visitor, status)
        self.visitors.remember(request, response, visitor)
        return response

    def snippets(self, request: Request, key: str | None) -> Snippets:
        base_url = self.services.public_url or f"{request.url.scheme}://{_host(request)}"
        if key is None:
            return Snippets(base_url=base_url, model=self.services.model)
        return Snippets(base_url=base_url, model=self.services.model, key=key)


def new_site(services: ConsoleServices) -> Site:
    assets = Assets()
    cookies = Cookies(always_secure=services.secure_cookies)
    return Site(
        services=services,
        cookies=cookies,
        visitors=Visitors(services.accounts, cookies),
        assets=assets,
        renderer=Renderer(services, assets),
    )


def see_other(path: str) -> Response:
    return RedirectResponse(path, status_code=303)


def _host(request: Request) -> str:
    host = request.headers.get("host", "")
    return host if _HOST.fullmatch(host) else _FALLBACK_HOST
