"""The route of usage: what was spent, day by day, and the last receipts."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tenfold.console.services import DaySpend
from tenfold.console.site import Site, see_other
from tenfold.console.views import Bar, UsagePage, cost

PAGE_SIZE = 25
DAYS = 30
_BAR_WIDTH = 10.0  # and a gap of 2, in a view box of 360 x 100
_STEP = 12.0
_HEIGHT = 100.0
_LEAST = 1.5  # a day with any cost can be seen


def usage_routes(site: Site) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    services = site.services

    @routes.get("/usage")
    async def usage(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        tenant_id = visitor.session.principal.tenant_id
        cursor = request.query_params.get("cursor")
        receipts = await services.usage.receipts(tenant_id, cursor=cursor, limit=PAGE_SIZE)
        days = every_day(await services.usage.daily_spend(tenant_id, days=DAYS), datetime.now(UTC).date())
        page = UsagePage(
            receipts=receipts.items,
            cursor=receipts.cursor,
            today=days[-1],
            month_cost_nano=sum(day.cost_nano for day in days),
            month_calls=sum(day.calls for day in days),
            bars=bars(days),
            first_page=cursor is None,
        )
        return site.show(request, page, visitor)

    return routes


def every_day(days: Sequence[DaySpend], today: date) -> list[DaySpend]:
    """The last 30 days up to today, those without calls included."""
    known = {day.day: day for day in days}
    dates = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    return [known.get(day, DaySpend(day=day, calls=0, cost_nano=0)) for day in dates]


def bars(days: Sequence[DaySpend]) -> list[Bar]:
    most = max((day.cost_nano for day in days), default=0)
    drawn: list[Bar] = []
    for number, day in enumerate(days):
        height = max(_HEIGHT * day.cost_nano / most, _LEAST) if day.cost_nano else 0.0
        label = f"{day.day.isoformat()}: {cost(day.cost_nano)}, {day.calls} calls"
        drawn.append(Bar(x=number * _STEP, y=round(_HEIGHT - height, 2), height=round(height, 2), label=label))
    return drawn
