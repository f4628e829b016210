"""The JSON API of the semantic cache: its scopes and what their answers are worth, and eviction by document."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from tenfold.cache.semantic.rows import KeptScope
from tenfold.console.api_parts import MISSING, PROBLEMS, Body, PageSize, Word, bearer
from tenfold.console.cache_services import CacheServices
from tenfold.console.services import ConsoleServices
from tenfold.core.principal import SCOPE_INFERENCE, Principal


class ScopeBody(BaseModel):
    id: str
    model: str
    dialect: str
    stream: bool
    state: Literal["learning", "answering", "off"] = Field(
        description="learning: what is known does not yet allow an answer; off: its answers were wrong too often."
    )
    why_off: str | None
    entries: int = Field(description="Questions that are kept with their answers.")
    hits: int
    checks: int = Field(description="Would-be hits for which the model was asked all the same.")
    bound: float = Field(description="Of its answers at most so many are wrong, with 95 % confidence; 0 to 1.")
    max_false_hits: float = Field(description="So many may be.")
    created_at: datetime
    used_at: datetime


class ScopesPage(BaseModel):
    data: list[ScopeBody]
    next_cursor: str | None


class EvictBody(Body):
    documents: list[Word] = Field(
        description="Each a name, or name@version, as in Tenfold-Documents. A version that is named is never kept "
        "again; a name alone evicts all that came of it so far."
    )


class EvictedBody(BaseModel):
    evicted: int = Field(description="Entries of the semantic cache. Answers in memory go within a second.")


def cache_api_routes(services: ConsoleServices, cache: CacheServices) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/cache", responses=PROBLEMS, tags=["cache"])
    admin = cache.admin
    authenticated = bearer(services)

    async def permitted(who: Annotated[Principal, Depends(authenticated)]) -> Principal:
        who.require(SCOPE_INFERENCE)
        return who

    caller = Annotated[Principal, Depends(permitted)]

    @routes.get("/scopes", summary="List the scopes of the semantic cache")
    async def list_scopes(who: caller, cursor: str | None = None, limit: PageSize = 20) -> ScopesPage:
        page = await admin.list(who.tenant_id, cursor=cursor, limit=limit)
        return ScopesPage(data=[_scope(each) for each in page.items], next_cursor=page.cursor)

    @routes.get("/scopes/{scope}", summary="Show a scope", responses=MISSING)
    async def show_scope(scope: str, who: caller) -> ScopeBody:
        return _scope(await admin.show(who.tenant_id, scope))

    @routes.post("/scopes/{scope}/reset", status_code=204, summary="Empty a scope", responses=MISSING)
    async def reset_scope(scope: str, who: caller) -> Response:
        await admin.reset(who.tenant_id, scope)
        return Response(status_code=204)

    @routes.post("/evict", summary="Let go of answers that rest on documents")
    async def evict(body: EvictBody, who: caller) -> EvictedBody:
        return EvictedBody(evicted=await admin.evict(who.tenant_id, body.documents))

    return routes


def _scope(scope: KeptScope) -> ScopeBody:
    status = scope.status
    learning = status.bound > status.max_false_hits
    return ScopeBody(
        id=scope.name,
        model=scope.facts.model,
        dialect=scope.facts.dialect,
        stream=scope.facts.stream,
        state="off" if status.is_off else "learning" if learning else "answering",
        why_off=status.why_off or None,
        entries=status.entries,
        hits=status.hits,
        checks=status.checks,
        bound=status.bound,
        max_false_hits=status.max_false_hits,
        created_at=scope.created_at,
        used_at=scope.used_at,
    )
