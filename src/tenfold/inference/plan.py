"""Which targets a call may ask, in what order, and why: a pure function of the call, its route, and what is known of
the targets' health. It asks nobody and changes nothing."""

from collections.abc import Callable, Iterable, Sequence
from math import ceil

from msgspec import Struct

from tenfold.core.errors import FeatureOff, TenfoldError, UpstreamUnavailable
from tenfold.inference.policy import Policy, Rule
from tenfold.inference.route import Choice, Plan, Route, Skipped, Target, stands_in
from tenfold.rollout.assign import assign


class Ask(Struct, frozen=True, kw_only=True):
    """What a plan depends on beside its route. Times are seconds on `perf_counter`'s clock."""

    now: float
    tenant: str = ""
    end_user: str | None = None
    task: str | None = None
    feature: str | None = None
    plan: str | None = None
    left_s: float | None = None  # until the deadline
    max_nano: int | None = None  # what the call may cost, by its ceilings
    dice: float = 0.0  # [0, 1): the one thing left to chance


IsKilled = Callable[[Target], bool]
BoundOf = Callable[[Target], int]


def usual_plan(route: Route, now: float) -> Plan | None:
    """Of a call that asks for nothing special, while all targets are well: 1 us, where a plan of its own takes 5."""
    usual = route.usual
    if usual is not None:
        for choice in usual.choices:
            if not choice.target.health.may_call(now):
                return None
    return usual


def plan(
    route: Route,
    ask: Ask,
    *,
    is_killed: IsKilled | None = None,
    bound_of: BoundOf | None = None,
    skipped: list[Skipped] | None = None,
) -> Plan:
    """`bound_of`: what the call may cost at a target, 10^-9 USD; asked only where a ceiling or the price decides.
    `skipped` takes what is not asked, for whoever wants to know it of a call that nobody may be asked for, too.

    Raises FeatureOff when every target is switched off, and UpstreamUnavailable with `retry_after_s` when every one
    that may be asked is known to be down. A call that costs too much everywhere keeps its cheapest targets: the
    ceilings refuse it, in words of their own.
    """
    asks_more = is_killed is not None or ask.max_nano is not None or ask.left_s is not None
    usual = None if asks_more else usual_plan(route, ask.now)
    if usual is not None:
        return usual
    skipped = [] if skipped is None else skipped
    candidates = _in_regions(_in_order(route, ask, bound_of), route.policy, skipped)
    candidates = _affordable(candidates, route.policy, ask, bound_of, skipped)
    wanted = candidates[0][0]
    candidates = _allowed(candidates, is_killed, skipped)
    up = _up(candidates, ask.now, skipped)
    if not up:
        raise _none_is_up(route, candidates, ask.now)
    is_there = any(target is wanted and why != RESTING for target, why in up)
    choices = tuple(
        Choice(
            target,
            why if number == 0 or why in (RESTING, TOO_SLOW) else AFTER,
            stands_in(target, wanted) and (number > 0 or not is_there),
        )
        for number, (target, why) in enumerate(_in_time(up, ask))
    )
    return Plan(route, choices, tuple(skipped))


AFTER = "fallback"
DOWN = "circuit open"
RESTING = "asked us to wait"
KILLED = "switched off"
ELSEWHERE = "outside the regions"
TOO_DEAR = "above the cost ceiling"
TOO_SLOW = "slower than the deadline"

_Candidate = tuple[Target, str]


def _in_order(route: Route, ask: Ask, bound_of: BoundOf | None) -> list[_Candidate]:
    policy = route.policy
    rule = next((rule for rule in policy.rules if _fits(rule, ask)), None)
    models = policy.models if rule is None else rule.models
    why = "rule" if rule is not None else "first"
    if policy.split and rule is None:
        arm = assign(f"{ask.tenant}\0{ask.end_user or ''}", route.model, policy.split)
        models, why = (arm, *(model for model in models if model != arm)), f"arm {arm}"
    groups = [list(route.of(model)) for model in models] if models else list(_grouped(route.targets))
    groups = [_balanced(group, ask) for group in groups]
    if policy.choose == "cheapest" and bound_of is not None:
        groups.sort(key=lambda group: min(map(bound_of, group)))
        why = "cheapest"
    elif policy.choose == "fastest":
        groups.sort(key=lambda group: min(target.health.latency_s for target in group))
        why = "fastest"
    return [(target, why) for group in groups for target in group]


def _fits(rule: Rule, ask: Ask) -> bool:
    return (
        (not rule.tasks or ask.task in rule.tasks)
        and (not rule.features or ask.feature in rule.features)
        and (not rule.tenants or ask.tenant in rule.tenants)
        and (not rule.plans or ask.plan in rule.plans)
    )


def _grouped(targets: Sequence[Target]) -> Iterable[list[Target]]:
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.model, []).append(target)
    return groups.values()


def _balanced(group: list[Target], ask: Ask) -> list[Target]:
    """Equal targets of one model. By latency: of two drawn at random, the one with the lower load (peak EWMA of its
    latency, times the calls it has): Mitzenmacher, The Power of Two Choices, 2001."""
    if len(group) < 2 or group[0].balance == "order":
        return group
    if group[0].balance == "weights":
        first = _drawn(group, ask.dice)
        return [first, *(target for target in group if target is not first)]
    size = len(group)
    one = int(ask.dice * size)
    rest = ask.dice * size - one
    other = (one + 1 + int(rest * (size - 1))) % size
    a, b = group[one], group[other]
    first = a if a.health.load(ask.now) <= b.health.load(ask.now) else b
    rest_of = sorted((target for target in group if target is not first), key=lambda each: each.health.load(ask.now))
    return [first, *rest_of]


def _drawn(group: list[Target], dice: float) -> Target:
    at = dice * sum(target.weight for target in group)
    for target in group:
        at -= target.weight
        if at < 0:
            return target
    return group[-1]


def _in_regions(candidates: list[_Candidate], policy: Policy, skipped: list[Skipped]) -> list[_Candidate]:
    """Of each route some are: the settings were checked."""
    if not policy.regions:
        return candidates
    skipped += (Skipped(target, ELSEWHERE) for target, _ in candidates if target.region not in policy.regions)
    return [candidate for candidate in candidates if candidate[0].region in policy.regions]


def _allowed(candidates: list[_Candidate], is_killed: IsKilled | None, skipped: list[Skipped]) -> list[_Candidate]:
    if is_killed is None:
        return candidates
    kept = []
    for target, why in candidates:
        if is_killed(target):
            skipped.append(Skipped(target, KILLED))
        else:
            kept.append((target, why))
    if not kept:
        name = candidates[0][0].model if candidates else ""
        raise FeatureOff(f"The model `{name}` is switched off, and so is what could stand in for it.")
    return kept


def _affordable(
    candidates: list[_Candidate], policy: Policy, ask: Ask, bound_of: BoundOf | None, skipped: list[Skipped]
) -> list[_Candidate]:
    ceilings = [ceiling for ceiling in (policy.max_nano, ask.max_nano) if ceiling is not None]
    if not ceilings or bound_of is None:
        return candidates
    ceiling = min(ceilings)
    kept = [candidate for candidate in candidates if bound_of(candidate[0]) <= ceiling]
    if not kept:
        cheapest = min(bound_of(target) for target, _ in candidates)
        kept = [candidate for candidate in candidates if bound_of(candidate[0]) == cheapest]
    chosen = {id(target) for target, _ in kept}
    skipped += (Skipped(target, TOO_DEAR) for target, _ in candidates if id(target) not in chosen)
    return kept


def _up(candidates: list[_Candidate], now: float, skipped: list[Skipped]) -> list[_Candidate]:
    """Whoever asked us to wait goes last: its limit may be another call's, and it may still be all there is."""
    kept, resting = [], []
    for target, why in candidates:
        if target.health.may_call(now):
            kept.append((target, why))
        elif target.health.state == "closed":
            resting.append((target, RESTING))
        else:
            skipped.append(Skipped(target, DOWN))
    return kept + resting


def _in_time(candidates: list[_Candidate], ask: Ask) -> list[_Candidate]:
    """Whoever is known to take longer than there is left goes last: it may still be all there is."""
    if ask.left_s is None:
        return candidates
    left = ask.left_s
    fast = [candidate for candidate in candidates if candidate[0].health.duration_s <= left]
    if not fast or len(fast) == len(candidates):
        return candidates
    return fast + [(target, TOO_SLOW) for target, _ in candidates if target.health.duration_s > left]


def _none_is_up(route: Route, candidates: list[_Candidate], now: float) -> TenfoldError:
    wait_s = min(target.health.retry_after_s(now) for target, _ in candidates)
    return UpstreamUnavailable(
        f"No provider of the model `{route.model}` is up just now. Try again in {max(1, ceil(wait_s))} s.",
        status=503,
        retry_after_s=max(wait_s, 1.0),
    )
