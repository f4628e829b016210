"""The plan of a call: what is known of it and of the switches, given to the pure function `plan`."""

from collections.abc import Callable
from random import random
from time import perf_counter

from tenfold.core.call import Call
from tenfold.core.errors import DeadlineExceeded, FeatureOff
from tenfold.inference.bound import bound_of
from tenfold.inference.ceilings import Ceilings
from tenfold.inference.plan import Ask, plan, usual_plan
from tenfold.inference.ports import Kill, Switches
from tenfold.inference.route import Plan, Route, Skipped, Target


class Planner:
    """`dice`: [0, 1), for the choices that are left to chance."""

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        ceilings: Ceilings | None = None,
        dice: Callable[[], float] = random,
    ) -> None:
        self._switches = switches
        self._ceilings = ceilings or Ceilings()
        self._dice = dice

    def set_deadline(self, call: Call, route: Route) -> None:
        """The client's, or the route's, whichever is sooner; from the call's arrival."""
        own_ms, route_s = call.options.deadline_ms, route.policy.deadline_s
        if own_ms is not None:
            call.deadline = call.started + own_ms / 1000
        if route_s is not None:
            last = call.started + route_s
            call.deadline = last if call.deadline is None else min(call.deadline, last)

    async def kill(self, call: Call) -> Kill | None:
        """The switch that forbids the call's feature or tenant: then nothing that a model has said is given, kept or
        new. Raises StoreUnavailable."""
        switches = self._switches
        if switches is None:
            return None
        if not switches.knows(call.principal):
            await switches.ready(call.principal)
        return switches.killed(call.principal, feature=call.options.feature) if switches.any else None

    def kill_of(self, call: Call, target: Target) -> Kill | None:
        """The switch that keeps the call from this target."""
        switches = self._switches
        if switches is None or not switches.any:
            return None
        return switches.killed(
            call.principal, feature=call.options.feature, model=target.model, provider=target.provider.name
        )

    def plan(self, call: Call, route: Route, skipped: list[Skipped] | None = None) -> Plan:
        """Raises FeatureOff, UpstreamUnavailable, DeadlineExceeded; see `plan`."""
        options, principal, now = call.options, call.principal, perf_counter()
        if call.deadline is not None and now >= call.deadline:
            raise DeadlineExceeded("The deadline of this request passed before a provider was asked.")
        ceiling_nano, is_killed = self._ceilings.of(call), self._is_killed(call)
        asks_more = ceiling_nano is not None or is_killed is not None or call.deadline is not None
        found = (None if asks_more else usual_plan(route, now)) or plan(
            route,
            Ask(
                now=now,
                tenant=principal.tenant_slug,
                end_user=options.end_user,
                task=options.task,
                feature=options.feature,
                plan=principal.plan,
                left_s=None if call.deadline is None else call.deadline - now,
                max_nano=ceiling_nano,
                dice=self._dice() if route.usual is None else 0.0,
            ),
            is_killed=is_killed,
            bound_of=lambda target: bound_of(call, (target,)).nano,
            skipped=skipped,
        )
        if "route" in options.explain:
            call.route_told = found.told()
        return found

    def _is_killed(self, call: Call) -> Callable[[Target], bool] | None:
        if self._switches is None or not self._switches.any:
            return None
        return lambda target: self.kill_of(call, target) is not None


def off(kill: Kill) -> FeatureOff:
    reason = f": {kill.reason}" if kill.reason else ""
    return FeatureOff(f"The {kill.scope} `{kill.subject}` is switched off{reason}.")
