"""The route of the Status page: which of the providers' models can be called just now, in words."""

from math import ceil

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tenfold.console.services import HealthServices, KeyLimit, TargetStanding
from tenfold.console.site import Site, see_other
from tenfold.console.views import KeyView, StatusPage, TargetView, duration


def status_routes(site: Site, health: HealthServices) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/status")
    async def status(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        standings = health.targets.targets()
        page = StatusPage(
            summary=_summary(standings), targets=[_view(each) for each in standings], keys=_keys(standings)
        )
        return site.show(request, page, visitor)

    return routes


def _summary(standings: list[TargetStanding]) -> str:
    if not standings:
        return "No provider's model is configured."
    down = sum(each.state != "closed" for each in standings)
    waiting = sum(each.state == "closed" and each.asked_again_s > 0 for each in standings)
    said = []
    if down:
        said.append(f"{down} of {len(standings)} {'is' if down == 1 else 'are'} down")
    if waiting:
        said.append(f"{waiting} asked us to wait")
    return f"{' and '.join(said)}." if said else "All of them can be called."


def _view(standing: TargetStanding) -> TargetView:
    names = [name for name in standing.served_as if name != standing.model]
    return TargetView(
        provider=standing.provider,
        model=standing.model,
        served_as=", ".join(names),
        is_up=standing.state == "closed" and not standing.asked_again_s,
        is_down=standing.state != "closed",
        state=_state(standing),
        in_flight=standing.in_flight,
        recent=_recent(standing),
        latency=_took(standing.latency_ms),
        duration=_took(standing.duration_ms),
    )


def _state(standing: TargetStanding) -> str:
    wait_s = ceil(standing.asked_again_s)
    if standing.state == "open":
        return f"Down, asked again in {wait_s} s" if wait_s else "Down, asked again with the next call"
    if standing.state == "half_open":
        return "Being tried again"
    return f"Asked us to wait, {wait_s} s more" if wait_s else "Up"


def _recent(standing: TargetStanding) -> str:
    if not standing.calls:
        return "none"
    said = [str(standing.calls)]
    if standing.failures:
        said.append(f"{standing.failures} failed")
    if standing.slow:
        said.append(f"{standing.slow} slow")
    return ", ".join(said)


def _took(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else duration(round(milliseconds))


def _keys(standings: list[TargetStanding]) -> list[KeyView]:
    keys: dict[str, tuple[KeyLimit, ...]] = {each.provider: each.keys for each in standings}
    return [
        KeyView(
            provider=provider,
            key=key.key if len(of_provider) > 1 else "",
            limit=key.limit,
            in_flight=key.in_flight,
            waiting=key.waiting,
        )
        for provider, of_provider in keys.items()
        for key in of_provider
    ]
