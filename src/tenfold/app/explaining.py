"""Routes and the health of targets for people to look at: for a command, and, live, for the console."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from uuid import UUID

from tenfold.access.handlers import Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.app.accounting import ceilings
from tenfold.app.database import open_database
from tenfold.app.routing import breaker_policy, features_of
from tenfold.app.settings import Settings
from tenfold.app.upstreams import routes_to_look_at
from tenfold.console.services import HealthServices, KeyLimit, TargetStanding
from tenfold.core.clock import SystemClock
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.health import Healths
from tenfold.health.queries import PostgresBreakerRows
from tenfold.inference.explanation import Explainer, Explanation, Inquiry
from tenfold.inference.planner import Planner
from tenfold.inference.route import Route, Router
from tenfold.rollout.book import RolloutBook, Switches
from tenfold.rollout.queries import PostgresRolloutRows
from tenfold.store import Store

_NOBODY = UUID(int=0)  # has no switches, no plan, and fits no rule of a tenant


class LiveTargets:
    """tenfold.console.services.TargetService on what this process knows."""

    def __init__(self, healths: Healths, routes: Iterable[Route]) -> None:
        self._healths = healths
        self._models: dict[tuple[str, str], set[str]] = {}
        for target in (target for route in routes for target in route.targets):
            at = target.health.provider, target.health.model
            self._models.setdefault(at, set()).add(target.model)

    def targets(self) -> list[TargetStanding]:
        """See TargetService."""
        keys: dict[str, list[KeyLimit]] = {}
        for provider, key, shaper in self._healths.shapers():
            limit = KeyLimit(key=key, limit=shaper.limit, in_flight=shaper.in_flight, waiting=shaper.waiting)
            keys.setdefault(provider, []).append(limit)
        return [
            TargetStanding(
                provider=view.provider,
                model=view.model,
                served_as=tuple(sorted(self._models.get((view.provider, view.model), ()))),
                state=view.state,
                asked_again_s=round(max(view.open_s, view.rests_s), 3),
                in_flight=view.in_flight,
                calls=view.calls,
                failures=view.failures,
                slow=view.slow,
                latency_ms=_ms(view.latency_s),
                duration_ms=_ms(view.duration_s),
                opened_total=view.opened_total,
                keys=tuple(keys.get(view.provider, ())),
            )
            for view in self._healths.views()
        ]


def health_services(
    settings: Settings, healths: Healths, router: Router, routes: Iterable[Route], planner: Planner
) -> HealthServices:
    """For the console, on what this process knows."""
    explainer = Explainer(router=router, planner=planner, ceilings=ceilings(settings), features=features_of(settings))
    return HealthServices(targets=LiveTargets(healths, routes), routes=explainer)


class Explaining:
    """For a command: what the configuration, and what the processes have told the database, say of a call."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._healths = Healths(PostgresBreakerRows(store), policy=breaker_policy(settings))
        self._book = RolloutBook(PostgresRolloutRows(store))
        self._tenants = Tenants(PostgresAccessRows(store), SystemClock())
        self._explainer = Explainer(
            router=Router(routes_to_look_at(settings, self._healths)),
            planner=Planner(switches=Switches(self._book), ceilings=ceilings(settings)),
            ceilings=ceilings(settings),
            features=features_of(settings),
        )

    async def explain(self, inquiry: Inquiry, slug: str | None, plan: str | None) -> Explanation:
        """For a tenant (None: one of which nothing is known), on `plan` in place of its own. Raises ModelNotFound,
        NotFound (the tenant), StoreUnavailable."""
        tenant = None if slug is None else await self._tenants.tenant(slug)
        principal = Principal(
            tenant_id=TenantId(_NOBODY) if tenant is None else tenant.id,
            tenant_slug="" if tenant is None else tenant.slug,
            plan=plan or (None if tenant is None else tenant.plan),
        )
        await self._healths.sync()
        await self._book.start()
        return await self._explainer.explain(principal, inquiry)


@asynccontextmanager
async def open_explaining(settings: Settings) -> AsyncIterator[Explaining]:
    """Raises StoreUnavailable."""
    async with open_database(settings) as (_, store):
        yield Explaining(settings, store)


def _ms(seconds: float) -> float | None:
    return round(seconds * 1000, 1) if seconds else None
