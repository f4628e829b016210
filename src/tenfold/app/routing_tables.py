"""What can be set of routes and of degradation: tables of `tenfold.toml` beside those in `setting_tables`."""

from collections.abc import Callable, Collection, Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tenfold.app.setting_parts import Mistake, Usd, nearest
from tenfold.app.setting_parts import Table as _Table
from tenfold.rollout.assign import MAX_WEIGHT

_Seconds = Annotated[float | None, Field(gt=0, le=3600)]
_Names = list[Annotated[str, Field(min_length=1, max_length=200)]]
_Slugs = list[Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]]  # as tenants and plans are named
_Weight = Annotated[int, Field(ge=0, le=MAX_WEIGHT)]


class RuleSettings(_Table):
    models: _Names = Field(min_length=1, description="Models in place of the route's, in order.")
    tasks: _Names = Field(default_factory=list, description="Calls whose `Tenfold-Task` is one of these.")
    features: _Names = Field(default_factory=list, description="Calls whose `Tenfold-Feature` is one of these.")
    tenants: _Slugs = Field(default_factory=list, description="Calls of these tenants (slugs).")
    plans: _Slugs = Field(default_factory=list, description="Calls of tenants on these plans.")

    @model_validator(mode="after")
    def _is_a_rule(self) -> "RuleSettings":
        if not (self.tasks or self.features or self.tenants or self.plans):
            raise ValueError("a rule says when it holds: tasks, features, tenants or plans")
        _each_once(self.models, "models")
        return self

    def covers(self, other: "RuleSettings") -> bool:
        """Whether it fits every call that the other one fits."""
        return all(
            not mine or (bool(theirs) and set(theirs) <= set(mine))
            for mine, theirs in (
                (self.tasks, other.tasks),
                (self.features, other.features),
                (self.tenants, other.tenants),
                (self.plans, other.plans),
            )
        )


class RouteSettings(_Table):
    models: _Names = Field(
        default_factory=list,
        description="Models in order: the first is asked, the others stand in for it. Default: the model of this name.",
    )
    rules: list[RuleSettings] = Field(
        default_factory=list, description="Other models for some calls; the first rule that fits holds."
    )
    choose: Literal["order", "cheapest", "fastest"] = Field(
        "order",
        description="Which model is asked first: the first, the one with the lowest price bound, or the fastest.",
    )
    split: dict[str, _Weight] = Field(
        default_factory=dict, description="Share of each model, by weight; sticky by tenant and `Tenfold-User`."
    )
    regions: _Names = Field(
        default_factory=list, description="Only providers whose `region` is one of these are asked."
    )
    max_request_usd: Usd = Field(None, description="Models whose price bound for the call is above are not asked, USD.")
    retries: int = Field(
        1, ge=0, le=5, description="Further tries with the targets of a model, within the retry budget."
    )
    max_backoff_s: float = Field(2.0, gt=0, le=60, description="Longest pause before a retry; also of `Retry-After`.")
    first_token_s: _Seconds = Field(
        None, description="A target that has given no token by then has failed. Default: the provider's timeouts."
    )
    between_tokens_s: _Seconds = Field(
        None, description="A stream without a token for so long has failed. Default: the provider's idle_timeout_s."
    )
    deadline_s: _Seconds = Field(None, description="The whole call, where `Tenfold-Deadline-Ms` says no less.")
    stream: Literal["error", "restart"] = Field(
        "error",
        description="A stream that breaks after its first token ends in a typed error, or begins anew elsewhere after "
        "a restart event.",
    )
    hold_tokens: int = Field(
        0, ge=0, le=1000, description="First blocks of a stream held back, so that a failure in them stays unseen."
    )
    hedge_after_s: _Seconds = Field(
        None, description="Ask a second target when the first has not begun to answer by then; whole replies only."
    )
    hedge_max_usd: Usd = Field(
        Decimal("0.01"), validate_default=False, description="Calls whose price bound is above are not hedged, USD."
    )
    output_repairs: int = Field(
        1, ge=0, le=3, description="How often a model is asked to mend a reply that does not fit its JSON Schema."
    )
    output_escalate: str | None = Field(None, description="The model that is asked when that did not help.")

    @model_validator(mode="after")
    def _agrees(self) -> "RouteSettings":
        _each_once(self.models, "models")
        self._check_split()
        self._check_times()
        if "hedge_max_usd" in self.model_fields_set and self.hedge_after_s is None:
            raise Mistake("hedge_max_usd is given, and hedge_after_s is not: nothing is hedged", "hedge_max_usd")
        for number, rule in enumerate(self.rules):
            earlier = next((n for n, each in enumerate(self.rules[:number]) if each.covers(rule)), None)
            if earlier is not None:
                raise Mistake(
                    f"this rule never holds: rules.{earlier} stands before it and fits all calls that it fits",
                    "rules",
                    number,
                )
        return self

    def _check_split(self) -> None:
        if not self.split:
            return
        if not sum(self.split.values()):
            raise Mistake("one of the weights must be above 0", "split")
        if self.choose != "order":
            raise Mistake(
                f'split and choose = "{self.choose}" both say which model is first; keep one of them', "split"
            )
        if not self.models:
            raise Mistake("split needs `models`: those it shares calls out to", "split")
        for model in self.split:
            if model not in self.models:
                hint = nearest(model, self.models)
                raise Mistake(f"{model!r} is not among the route's models{hint}", "split", model)

    def _check_times(self) -> None:
        """Of two times, the one that is to come first has to be below the other."""
        for sooner, later, why in (
            ("first_token_s", "deadline_s", "nothing else could be asked in time"),
            ("between_tokens_s", "deadline_s", "the deadline would always come first"),
            ("hedge_after_s", "first_token_s", "by then the first target has failed"),
            ("hedge_after_s", "deadline_s", "the deadline would always come first"),
        ):
            first_s, then_s = getattr(self, sooner), getattr(self, later)
            if first_s is not None and then_s is not None and first_s >= then_s:
                raise Mistake(f"{sooner} must be below {later}: {why}", sooner)


def _each_once(models: Sequence[str], key: str) -> None:
    for number, model in enumerate(models):
        if model in models[:number]:
            raise Mistake(f"{model!r} is named twice: a chain that comes back to where it was", key)


RegionsOf = Callable[[str], Sequence[str | None]]
"""Of a model that is configured: the region of each of its targets, once for each key of its provider."""


def check_route(
    name: str, route: RouteSettings, models: Collection[str], routes: Collection[str], regions_of: RegionsOf
) -> None:
    """Whether the route leads to models that exist, may be asked, and are as many as it needs. Raises Mistake, its path
    from the settings on."""
    at = ("routes", name)
    if not route.models and name not in models:
        raise Mistake(f"there is no model of this name, so the route needs `models`{nearest(name, models)}", *at)
    chains = list(_chains(name, route))
    for path, chain in chains:
        for model in chain:
            if model in models:
                continue
            if model in routes:
                what = "a route, perhaps itself: a chain could go in a circle"
                raise Mistake(f"names {model!r}, {what}; a route names models", *at, *path)
            raise Mistake(f"names {model!r}, which is not configured{nearest(model, models)}", *at, *path)
        if route.regions and not any(_allowed(route, regions_of(model)) for model in chain):
            raise Mistake(f"none of them has a provider in the regions {', '.join(route.regions)}", *at, *path)
    asked = [chain for path, chain in chains if path != _ESCALATE]
    if route.output_escalate is not None and all(chain == [route.output_escalate] for chain in asked):
        raise Mistake(
            f"{route.output_escalate!r} is the only model there is: it would be asked what it has just failed at",
            *at,
            *_ESCALATE,
        )
    most = max(sum(_allowed(route, regions_of(model)) for model in chain) for chain in asked)
    if most < 2 and route.hedge_after_s is not None:
        raise Mistake("there is one target only, and a hedge asks a second one", *at, "hedge_after_s")
    if most < 2 and route.stream == "restart" and not route.retries:
        raise Mistake("there is one target only and retries = 0: nothing could begin anew", *at, "stream")


_ESCALATE = ("output_escalate",)


def _chains(name: str, route: RouteSettings) -> Iterator[tuple[tuple[str | int, ...], list[str]]]:
    """Where it stands, and the models that a call may be sent to one after the other."""
    yield ("models",), list(route.models or [name])
    for number, rule in enumerate(route.rules):
        yield ("rules", number, "models"), list(rule.models)
    if route.output_escalate is not None:
        yield _ESCALATE, [route.output_escalate]


def _allowed(route: RouteSettings, regions: Sequence[str | None]) -> int:
    """How many targets in these regions the route may ask."""
    return sum(not route.regions or region in route.regions for region in regions)


class FeatureSettings(_Table):
    degrade: list[Literal["stale", "template", "queue"]] = Field(
        default_factory=list,
        description="What a call gets when no provider answers or it is switched off, in this order; then an error.",
    )
    stale_s: float = Field(86_400, gt=0, le=31 * 86_400, description="Oldest answer that the step `stale` may give.")
    template: str | None = Field(None, max_length=20_000, description="The answer of the step `template`.")
    queued: str = Field(
        "Your request has been queued under the ticket {ticket}.",
        max_length=20_000,
        description="What a client is told whose call was parked by the step `queue`; {ticket} is its id.",
    )

    offload_above_s: float | None = Field(
        None,
        gt=0,
        le=3600,
        description="Whole chat calls that are expected to take longer, as calls of the tenant to the model have, are "
        "answered with 202 and a ticket.",
    )

    @model_validator(mode="after")
    def _whole(self) -> "FeatureSettings":
        if len(set(self.degrade)) != len(self.degrade):
            raise Mistake("a step is named twice", "degrade")
        if "template" in self.degrade and not self.template:
            raise Mistake('the step "template" needs template = "..."', "degrade")
        for step, key in (("template", "template"), ("stale", "stale_s"), ("queue", "queued")):
            if key in self.model_fields_set and step not in self.degrade:
                raise Mistake(f'{key} is given, and degrade does not name the step "{step}"', key)
        return self


class BreakerSettings(_Table):
    """Circuit breakers of all providers and models."""

    window_s: float = Field(10, ge=1, le=600, description="What failures and slow calls are counted over.")
    failure_rate: float = Field(0.5, gt=0, le=1, description="Share of failed calls that opens the circuit.")
    slow_s: float | None = Field(None, gt=0, le=3600, description="A call is slow whose first token took longer.")
    slow_rate: float = Field(0.5, gt=0, le=1, description="Share of slow calls that opens the circuit.")
    min_failures: int = Field(
        5, ge=1, le=10_000, description="Fewer failures in the window do not open it; so many in a row always do."
    )
    cooldown_s: float = Field(2.0, gt=0, le=60, description="First pause before a probe; doubles with each that fails.")
    max_cooldown_s: float = Field(4.0, gt=0, le=600, description="Longest pause before a probe.")

    @model_validator(mode="after")
    def _ordered(self) -> "BreakerSettings":
        if self.max_cooldown_s < self.cooldown_s:
            at = "max_cooldown_s" if "max_cooldown_s" in self.model_fields_set else "cooldown_s"
            raise Mistake("max_cooldown_s is at least cooldown_s", at)
        if "slow_rate" in self.model_fields_set and self.slow_s is None:
            raise Mistake("slow_rate is given, and slow_s is not: no call is slow", "slow_rate")
        return self
