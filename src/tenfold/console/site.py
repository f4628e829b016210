"""What the routes share: the services, who visits, and how a page is shown to them."""

import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tenfold.console.render import Assets, Renderer
from tenfold.console.security import Cookies
from tenfold.console.services import ConsoleServices
from tenfold.console.views import AnswerView, AskPage, FormError, Page, Snippets
from tenfold.console.visitors import Visitor, Visitors
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal

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

    async def ask_page(
        self,
        principal: Principal,
        *,
        title: str = "Ask",
        question: str = "",
        answer: AnswerView | None = None,
        error: FormError | None = None,
        snippets: Snippets | None = None,
    ) -> AskPage:
        """With the examples where they fit: beside Tenfold's own documentation, and not beside a tenant's documents.
        With `snippets` it shows the new key in them."""
        documents = await self._documents_of(principal.tenant_id)
        return AskPage(
            title=title,
            documents=documents,
            examples=() if documents else self.services.examples,
            question=question,
            answer=answer,
            error=error,
            new_key=snippets.key if snippets else None,
            snippets=snippets,
        )

    async def _documents_of(self, tenant_id: TenantId) -> int:
        """How many a tenant has to be answered from. 0 where nobody knows: the page is of use all the same."""
        if self.services.knowledge is None:
            return 0
        try:
            return (await self.services.knowledge.counts(tenant_id)).completed
        except StoreUnavailable:
            return 0

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
