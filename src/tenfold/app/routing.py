"""Policies, degradation and health out of the settings: what the tables of `routing_tables` mean to the one path."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from tenfold.app.routing_tables import FeatureSettings, RouteSettings
from tenfold.app.settings import Settings, SettingsError
from tenfold.core.money import format_usd, from_usd
from tenfold.health import BreakerPolicy
from tenfold.inference.bound import UNASKED_TOKENS
from tenfold.inference.policy import Feature, Hedge, Policy, Rule
from tenfold.inference.route import Route, Router

_NOW_AND_THEN = RouteSettings()


def policy_of(settings: Settings, name: str) -> Policy:
    """Of the route, or of the model, of this name."""
    route = settings.routes.get(name, _NOW_AND_THEN)
    hedge = None
    if route.hedge_after_s is not None:
        hedge = Hedge(
            after_s=route.hedge_after_s,
            max_nano=0 if route.hedge_max_usd is None else from_usd(route.hedge_max_usd),
        )
    return Policy(
        models=tuple(route.models or ([name] if route.output_escalate else [])),
        rules=tuple(
            Rule(
                models=tuple(rule.models),
                tasks=frozenset(rule.tasks),
                features=frozenset(rule.features),
                tenants=frozenset(rule.tenants),
                plans=frozenset(rule.plans),
            )
            for rule in route.rules
        ),
        choose=route.choose,
        split=tuple(route.split.items()),
        regions=frozenset(route.regions),
        max_nano=None if route.max_request_usd is None else from_usd(route.max_request_usd),
        retries=route.retries,
        max_backoff_s=route.max_backoff_s,
        first_token_s=route.first_token_s,
        between_tokens_s=route.between_tokens_s,
        deadline_s=route.deadline_s,
        on_break=route.stream,
        hold_tokens=route.hold_tokens,
        hedge=hedge,
        output_repairs=route.output_repairs,
        output_escalate=route.output_escalate,
    )


def models_of(settings: Settings, name: str) -> list[str]:
    """All models that calls of this route may be sent to, in the order of its chain."""
    route = settings.routes.get(name, _NOW_AND_THEN)
    models = list(route.models or [name])
    for rule in route.rules:
        models += rule.models
    if route.output_escalate is not None:
        models.append(route.output_escalate)
    return list(dict.fromkeys(models))


def features_of(settings: Settings) -> Mapping[str, Feature]:
    return {name: _feature(name, entry) for name, entry in settings.features.items()}


def heeds_keys(settings: Settings, router: Router) -> Callable[[str], bool]:
    """Of a model: whether all its providers know an `Idempotency-Key` when it comes again."""
    heeding = {name for name, entry in settings.providers.items() if entry.heeds_idempotency_key}
    models = {model for model in router.models if all(t.provider.name in heeding for t in router.find(model).targets)}
    return models.__contains__


def oldest_stale_s(settings: Settings) -> float:
    """How old an answer may be that some feature would still give; 0: none would."""
    return max((entry.stale_s for entry in settings.features.values() if "stale" in entry.degrade), default=0.0)


def _feature(name: str, entry: FeatureSettings) -> Feature:
    return Feature(
        name=name,
        steps=tuple(entry.degrade),
        stale_s=entry.stale_s,
        template=entry.template or "",
        queued=entry.queued,
        offload_s=entry.offload_above_s,
    )


def breaker_policy(settings: Settings) -> BreakerPolicy:
    given = settings.breakers
    return BreakerPolicy(
        window_s=given.window_s,
        failure_rate=given.failure_rate,
        slow_s=given.slow_s or 0.0,
        slow_rate=given.slow_rate,
        min_failures=given.min_failures,
        cooldown_s=given.cooldown_s,
        max_cooldown_s=given.max_cooldown_s,
    )


def refuse_impossible_ceilings(settings: Settings, routes: list[Route], now_s: float) -> None:
    """A ceiling that no call can keep would refuse them all, one by one, at night. Raises SettingsError."""
    _refuse_ceiling_of_all(settings, routes, now_s)
    for route in routes:
        wanted = [(f'routes."{route.model}".max_request_usd', _ceiling(settings.routes.get(route.model)))]
        model = settings.models.get(route.model)
        wanted.append((f'models."{route.model}".max_request_usd', None if model is None else model.max_request_usd))
        least = _least(route, now_s)
        for path, usd in wanted:
            if usd is not None and least is not None and from_usd(usd) < least:
                raise SettingsError(
                    f"{path}: even the shortest call may cost {format_usd(least)} USD at the cheapest target; a "
                    f"ceiling of {usd} USD would refuse every call"
                )


def _refuse_ceiling_of_all(settings: Settings, routes: list[Route], now_s: float) -> None:
    """It may keep some models out, but not all that are configured."""
    usd = settings.budgets.max_request_usd
    own = {model for model, entry in settings.models.items() if entry.max_request_usd is not None}
    configured = [route for route in routes if route.model in settings.models or route.model in settings.routes]
    least = [cost for route in configured if (cost := _least(route, now_s)) is not None]
    if usd is None or not least or len(least) < len(configured) or own:
        return
    if from_usd(usd) < min(least):
        raise SettingsError(
            f"budgets.max_request_usd: even the shortest call of the cheapest model may cost {format_usd(min(least))} "
            f"USD; a ceiling of {usd} USD would refuse every call"
        )


def _least(route: Route, now_s: float) -> int | None:
    """What the shortest call may cost at the cheapest target, 10^-9 USD; None: no price is known."""
    quotes = [quote for target in route.targets if (quote := target.quote(now_s)) is not None]
    return min((quote.bound(UNASKED_TOKENS, 1).total_nano for quote in quotes), default=None)


def _ceiling(route: RouteSettings | None) -> Decimal | None:
    return None if route is None else route.max_request_usd
