"""Routes of the Cache page: how much is answered from which layer, and what the answers of each scope are worth."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tenfold.cache.semantic.rows import KeptScope
from tenfold.console.cache_services import CacheServices, LayerCount
from tenfold.console.site import Site, see_other
from tenfold.console.views import CachePage, LayerView, ScopeView

PAGE_SIZE = 20
DAYS = 30
_LAYERS = {
    "memory": "The same request, in memory",
    "valkey": "The same request, in Valkey",
    "semantic": "The same question, by its meaning",
}
_DIALECTS = {
    "canonical": "the assistant's own",
    "openai": "OpenAI",
    "openai_responses": "OpenAI Responses",
    "anthropic": "Anthropic",
}


def cache_routes(site: Site, cache: CacheServices) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/cache")
    async def scopes(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        tenant_id = visitor.session.principal.tenant_id
        found = await cache.admin.list(tenant_id, cursor=request.query_params.get("cursor"), limit=PAGE_SIZE)
        days = await site.services.usage.daily_spend(tenant_id, days=DAYS)
        page = CachePage(
            scopes=[_scope(each) for each in found.items],
            cursor=found.cursor,
            layers=[_layer(each) for each in cache.layers.layers()] if cache.layers else [],
            calls=sum(day.calls for day in days),
            hits=sum(day.cache_hits for day in days),
        )
        return site.show(request, page, visitor)

    @routes.post("/cache/{scope}/reset")
    async def reset(request: Request, scope: str) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        await site.visitors.form(request, visitor)
        await cache.admin.reset(visitor.session.principal.tenant_id, scope)
        return see_other("/cache")

    return routes


def _scope(scope: KeptScope) -> ScopeView:
    status = scope.status
    learning = status.bound > status.max_false_hits
    dialect = _DIALECTS.get(scope.facts.dialect, scope.facts.dialect)
    return ScopeView(
        id=scope.name,
        model=scope.facts.model,
        how=f"{dialect}, {'streamed' if scope.facts.stream else 'whole'}",
        state="off" if status.is_off else "learning" if learning else "answering",
        why=status.why_off if status.is_off else "",
        entries=status.entries,
        hits=status.hits,
        checks=status.checks,
        bound=percent(status.bound) if status.bound < 1 else "unknown",
        allowed=percent(status.max_false_hits),
        used_at=scope.used_at,
    )


def _layer(count: LayerCount) -> LayerView:
    asked = count.hits + count.misses
    return LayerView(
        name=_LAYERS.get(count.layer, count.layer),
        hits=count.hits,
        asked=asked,
        share=percent(count.hits / asked) if asked else "–",
    )


def percent(share: float) -> str:
    """With two digits below a tenth, where they matter."""
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share * 100:.2g}%"
