"""The JSON API of the providers' health, and of whom a call would ask. It tells what the process that answers knows of
the whole service; nothing of it is a tenant's, but for the rules and switches of whoever asks.
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from tenfold.console.api_parts import MISSING, PROBLEMS, Body, PageSize, Word, amount_of, bearer
from tenfold.console.services import ConsoleServices, HealthServices, TargetStanding
from tenfold.core.errors import InvalidRequest
from tenfold.core.principal import SCOPE_USAGE, Principal
from tenfold.inference.explanation import Explanation, Inquiry

MAX_CHARS = 4_000_000


class TargetsPage(BaseModel):
    data: list[TargetStanding]
    next_cursor: str | None


class InquiryBody(Body):
    model: Word = Field(description="A model or a route, as a call names it.")
    task: Word | None = Field(None, description="As `Tenfold-Task` would say.")
    feature: Word | None = Field(None, description="As `Tenfold-Feature` would say.")
    user: Word | None = Field(None, description="As `Tenfold-User` would say.")
    plan: Word | None = Field(None, description="As if the tenant were on this plan.")
    deadline_ms: int | None = Field(None, ge=1, le=3_600_000, description="As `Tenfold-Deadline-Ms` would say.")
    max_cost_usd: Word | None = Field(None, description="As `Tenfold-Max-Cost-Usd` would say, decimal.")
    input_chars: int = Field(0, ge=0, le=MAX_CHARS, description="Size of the request, for price bounds.")
    max_tokens: int | None = Field(None, ge=1, le=100_000_000, description="Left out: the most that the model gives.")


def health_api_routes(services: ConsoleServices, health: HealthServices) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["health"])
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.get("/health/targets", summary="List the providers' models: whether they can be called, how busy they are")
    async def list_targets(who: caller, cursor: str | None = None, limit: PageSize = 20) -> TargetsPage:
        who.require(SCOPE_USAGE)
        standings = health.targets.targets()
        start = 0 if cursor is None else _after(standings, cursor)
        shown = standings[start : start + limit]
        more = len(standings) > start + limit
        return TargetsPage(data=shown, next_cursor=_cursor(shown[-1]) if more else None)

    @routes.post("/route/explain", summary="Tell whom a call would ask, in order, and why", responses=MISSING)
    async def explain(body: InquiryBody, who: caller) -> Explanation:
        who.require(SCOPE_USAGE)
        principal = who if body.plan is None else _on_plan(who, body.plan)
        return await health.routes.explain(
            principal,
            Inquiry(
                model=body.model,
                task=body.task,
                feature=body.feature,
                end_user=body.user,
                deadline_ms=body.deadline_ms,
                max_cost_nano=None if body.max_cost_usd is None else amount_of(body.max_cost_usd, "max_cost_usd"),
                input_chars=body.input_chars,
                max_tokens=body.max_tokens,
            ),
        )

    return routes


def _cursor(standing: TargetStanding) -> str:
    return f"{standing.provider}/{standing.model}"


def _after(standings: list[TargetStanding], cursor: str) -> int:
    for number, standing in enumerate(standings, 1):
        if _cursor(standing) == cursor:
            return number
    raise InvalidRequest("This is not a cursor.", param="cursor")


def _on_plan(who: Principal, plan: str) -> Principal:
    return Principal(
        tenant_id=who.tenant_id,
        tenant_slug=who.tenant_slug,
        key_id=who.key_id,
        user_id=who.user_id,
        scopes=who.scopes,
        plan=plan,
    )
