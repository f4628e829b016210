"""What can be set of routes and of degradation: tables of `tenfold.toml` beside those in `setting_tables`."""

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tenfold.app.setting_parts import Table as _Table
from tenfold.app.setting_parts import Usd, nearest

_Seconds = Annotated[float | None, Field(gt=0, le=3600)]
_Names = list[Annotated[str, Field(min_length=1, max_length=200)]]


class RuleSettings(_Table):
    models: _Names = Field(min_length=1, description="Models in place of the route's, in order.")
    tasks: _Names = Field(default_factory=list, description="Calls whose `Tenfold-Task` is one of these.")
    features: _Names = Field(default_factory=list, description="Calls whose `Tenfold-Feature` is one of these.")
    tenants: _Names = Field(default_factory=list, description="Calls of these tenants (slugs).")
    plans: _Names = Field(default_factory=list, description="Calls of tenants on these plans.")

    @model_validator(mode="after")
    def _is_a_rule(self) -> "RuleSettings":
        if not (self.tasks or self.features or self.tenants or self.plans):
            raise ValueError("a rule says when it holds: tasks, features, tenants or plans")
        return self


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
    split: dict[str, int] = Field(
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
        if self.split and any(weight < 0 for weight in self.split.values()):
            raise ValueError("split: a weight is 0 or more")
        if self.split and not sum(self.split.values()):
            raise ValueError("split: one of the weights must be above 0")
        if self.split and self.choose != "order":
            raise ValueError(f'split and choose = "{self.choose}" both say which model is first; keep one of them')
        if self.split and self.models and (unknown := sorted(set(self.split) - set(self.models))):
            raise ValueError(f"split names {unknown[0]!r}, which is not among the route's models")
        if self.split and not self.models:
            raise ValueError("split needs `models`: those it shares calls out to")
        for name, models in (("models", self.models), *((f"rules.{n}", r.models) for n, r in enumerate(self.rules))):
            if len(set(models)) != len(models):
                raise ValueError(f"{name} names a model twice: a chain that comes back to where it was")
        if self.deadline_s is not None and self.first_token_s is not None and self.first_token_s >= self.deadline_s:
            raise ValueError("first_token_s must be below deadline_s: nothing else could be asked in time")
        if (
            self.hedge_after_s is not None
            and self.first_token_s is not None
            and self.hedge_after_s >= self.first_token_s
        ):
            raise ValueError("hedge_after_s must be below first_token_s: by then the first target has failed")
        return self


def check_route(
    name: str,
    route: RouteSettings,
    models: Collection[str],
    routes: Collection[str],
    regions_of: Callable[[str], set[str | None]],
) -> None:
    """Whether the route leads to models that exist and may be asked. Raises ValueError."""
    chains = {"models": list(route.models or [name])}
    chains |= {f"rules.{number}.models": rule.models for number, rule in enumerate(route.rules)}
    if route.output_escalate is not None:
        chains["output_escalate"] = [route.output_escalate]
    for key, chain in chains.items():
        where = f'routes."{name}".{key}'
        for model in chain:
            if model not in models:
                if model in routes:
                    what = "a route, perhaps itself: a chain could go in a circle"
                    raise ValueError(f"{where} names {model!r}, {what}; a route names models")
                raise ValueError(f"{where} names {model!r}, which is not configured{nearest(model, models)}")
        if route.regions and not any(regions_of(model) & set(route.regions) for model in chain):
            raise ValueError(f"{where}: none of them has a provider in the regions {', '.join(route.regions)}")


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

    @model_validator(mode="after")
    def _whole(self) -> "FeatureSettings":
        if len(set(self.degrade)) != len(self.degrade):
            raise ValueError("degrade names a step twice")
        if "template" in self.degrade and not self.template:
            raise ValueError('the step "template" needs template = "..."')
        if self.template and "template" not in self.degrade:
            raise ValueError('template is given, and degrade does not name the step "template"')
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
            raise ValueError("max_cooldown_s is at least cooldown_s")
        return self
