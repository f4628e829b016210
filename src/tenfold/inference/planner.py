"""The plan of a call: what is known of it and of the switches, given to the pure function `plan`."""

from collections.abc import Callable
from random import random
from time import perf_counter

from tenfold.core.call import Call
from tenfold.core.errors import DeadlineExceeded, FeatureOff
from tenfold.inference.bound import bound_of
from tenfold.inference.ceilings import Ceilings
from tenfold.inference.plan import Ask, plan
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
        if call.options.deadline_ms is None and route.policy.deadline_s is None:
            return
        own_s = None if call.options.deadline_ms is None else call.options.deadline_ms / 1000
        both = [each_s for each_s in (own_s, route.policy.deadline_s) if each_s is not None]
        if both:
            call.deadline = call.started + min(both)

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
        usual = route.usual
        if usual is not None and ceiling_nano is None and is_killed is None and call.deadline is None:
            # Nothing special is asked: 1 us, where the rest takes 5.
            for choice in usual.choices:
                if not choice.target.health.may_call(now):
                    break
            else:
                if "route" in options.explain:
                    call.route_told = usual.told()
                return usual
        found = plan(
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
