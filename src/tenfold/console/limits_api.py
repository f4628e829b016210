"""The JSON API of rate limits. What is made here is the tenant's own: it can only tighten what the operator has set."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from tenfold.console.api_parts import CONFLICT, MISSING, PROBLEMS, Body, OwnerWord, PageSize, Word, amount_of, bearer
from tenfold.console.services import ConsoleServices, LimitService
from tenfold.core.errors import InvalidRequest
from tenfold.core.money import format_usd
from tenfold.core.principal import SCOPE_BUDGETS, SCOPE_USAGE, Principal
from tenfold.limits.types import Limit


class LimitBody(BaseModel):
    id: str
    per: str
    subject: str | None
    measure: str
    amount: int | None = Field(description="Requests, tokens or calls at once; null for money.")
    amount_usd: str | None = Field(description="Decimal; for the measure usd alone.")
    window_s: int | None = Field(description="Null for calls at once.")
    burst: int | None
    burst_usd: str | None
    owner: OwnerWord
    created_at: datetime | None


class LimitsPage(BaseModel):
    data: list[LimitBody]
    next_cursor: str | None


class NewLimitBody(Body):
    per: Word = Field(description="tenant, key, model or end_user.")
    subject: Word | None = Field(None, description="Which one; left out: each of them has this much for itself.")
    measure: Word = Field(description="requests, tokens, usd or concurrency.")
    amount: int | None = None
    amount_usd: Word | None = Field(None, description="In place of amount, for the measure usd.")
    window_s: int | None = Field(None, description="Seconds; left out for concurrency.")
    burst: int | None = Field(None, description="At one moment after a pause; left out: the whole amount.")
    burst_usd: Word | None = None


def limit_api_routes(services: ConsoleServices, limits: LimitService) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["limits"])
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.get("/limits", summary="List the tenant's rate limits")
    async def list_limits(who: caller, cursor: str | None = None, limit: PageSize = 20) -> LimitsPage:
        who.require(SCOPE_USAGE)
        page = await limits.list(who.tenant_id, cursor=cursor, limit=limit)
        return LimitsPage(data=[_limit(each) for each in page.items], next_cursor=page.cursor)

    @routes.post("/limits", status_code=201, summary="Create a rate limit", responses=CONFLICT)
    async def create_limit(body: NewLimitBody, who: caller) -> LimitBody:
        who.require(SCOPE_BUDGETS)
        created = await limits.create(
            who.tenant_id,
            per=body.per,
            measure=body.measure,
            amount=_measured(body.measure, body.amount, body.amount_usd, "amount"),
            window_s=body.window_s,
            subject=body.subject,
            burst=_burst(body),
        )
        return _limit(created)

    @routes.delete("/limits/{limit_id}", status_code=204, summary="End a limit", responses=MISSING)
    async def end_limit(limit_id: str, who: caller) -> Response:
        who.require(SCOPE_BUDGETS)
        await limits.end(who.tenant_id, limit_id)
        return Response(status_code=204)

    return routes


def _measured(measure: str, amount: int | None, usd: str | None, param: str) -> int:
    if measure == "usd":
        if usd is None or amount is not None:
            raise InvalidRequest(f"A limit of money has `{param}_usd` in place of `{param}`.", param=f"{param}_usd")
        return amount_of(usd, f"{param}_usd")
    if amount is None or usd is not None:
        raise InvalidRequest(f"A limit of {measure} has `{param}`, a whole number.", param=param)
    return amount


def _burst(body: NewLimitBody) -> int | None:
    if body.burst is None and body.burst_usd is None:
        return None
    return _measured(body.measure, body.burst, body.burst_usd, "burst")


def _limit(limit: Limit) -> LimitBody:
    money = limit.measure == "usd"
    burst = limit.burst
    return LimitBody(
        id=str(limit.id),
        per=limit.per,
        subject=limit.subject,
        measure=limit.measure,
        amount=None if money else limit.amount,
        amount_usd=format_usd(limit.amount) if money else None,
        window_s=limit.window_s,
        burst=None if money else burst,
        burst_usd=format_usd(burst) if money and burst is not None else None,
        owner=limit.owner,
        created_at=limit.created_at,
    )
