"""The JSON API of objectives: how each pathway stands. It tells rates and durations of the whole service, and not how
many calls there were.
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from tenfold.console.api_parts import PROBLEMS, bearer
from tenfold.console.services import ConsoleServices, SloService, SloStanding
from tenfold.core.principal import SCOPE_USAGE, Principal


class SloPage(BaseModel):
    data: list[SloStanding]


def slo_api_routes(services: ConsoleServices, slo: SloService) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["slo"])
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.get("/slo", summary="How the pathways stand against their objectives")
    async def show(who: caller) -> SloPage:
        who.require(SCOPE_USAGE)
        return SloPage(data=slo.standings())

    return routes
