"""What would become of a call, without making it: whom the planner would ask, in what order, and why; and whom not.

The choice is the planner's own, made of what this process knows now. It asks no provider and spends nothing; rate
limits and budgets are not looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

from msgspec import Struct

from tenfold.core.call import Call, CallOptions, Reach
from tenfold.core.errors import PriceUnknown, TenfoldError
from tenfold.core.money import format_usd
from tenfold.core.principal import Principal
from tenfold.health import State
from tenfold.inference.bound import bound_of
from tenfold.inference.ceilings import Ceilings
from tenfold.inference.degrade import feature_of
from tenfold.inference.plan import KILLED
from tenfold.inference.planner import Planner, off
from tenfold.inference.policy import Feature
from tenfold.inference.ports import Kill
from tenfold.inference.route import Route, Router, Skipped, Target


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """The call that is asked about. `input_chars`: how large its body would be, a byte for each character."""

    model: str
    task: str | None = None
    feature: str | None = None
    end_user: str | None = None
    deadline_ms: int | None = None
    max_cost_nano: int | None = None  # 10^-9 USD
    input_chars: int = 0
    max_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Considered:
    """A target, whether it would be asked or not: `why` says which, or what keeps the call from it, and `detail` more
    of it, in words. What is not known is None: prices, and how long a target takes that nobody has asked here yet."""

    model: str
    provider: str
    upstream_model: str
    key: str | None  # its number, where the provider has several
    region: str | None
    why: str
    detail: str
    stand_in: bool
    state: State
    asked_again_s: float  # 0: it may be asked now
    in_flight: int
    latency_ms: float | None  # to the first token, or of a whole reply
    duration_ms: float | None
    bound_usd: str | None  # what the call may cost there at most, decimal

    @property
    def label(self) -> str:
        at = self.provider if self.model == self.upstream_model else f"{self.provider}/{self.upstream_model}"
        return f"{self.model}@{at}" if self.key is None else f"{self.model}@{at}#{self.key}"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The error that the call would end with."""

    code: str
    status: int
    message: str
    retry_after_s: float | None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """`attempts` in order. `then`: the steps that are declared for the feature where no attempt succeeds."""

    route: str
    attempts: tuple[Considered, ...]
    skipped: tuple[Considered, ...]
    refused: Refusal | None
    then: tuple[str, ...]
    deadline_ms: int | None  # the request's or the route's, whichever is sooner
    ceiling_usd: str | None  # the lowest of those that hold, decimal


class Explainer:
    """On the planner, the ceilings and the features of a pipeline."""

    def __init__(
        self, *, router: Router, planner: Planner, ceilings: Ceilings, features: Mapping[str, Feature]
    ) -> None:
        self._router = router
        self._planner = planner
        self._ceilings = ceilings
        self._features = features

    async def explain(self, principal: Principal, inquiry: Inquiry) -> Explanation:
        """Raises ModelNotFound with the nearest name, StoreUnavailable."""
        route = self._router.find(inquiry.model)
        call = _call(principal, inquiry)
        kill = await self._planner.kill(call)
        self._planner.set_deadline(call, route)
        skipped: list[Skipped] = []
        attempts: tuple[Considered, ...] = ()
        refused = None
        try:
            if kill is not None:
                raise off(kill)
            plan = self._planner.plan(call, route, skipped)
            attempts = tuple(
                self._considered(call, choice.target, choice.why, _equals(route, choice.target), choice.stand_in)
                for choice in plan.choices
            )
            self._ceilings.check(call, bound_of(call, plan.targets))
        except TenfoldError as error:
            refused = Refusal(
                code=error.code, status=error.status, message=error.message, retry_after_s=error.retry_after_s
            )
        feature = feature_of(self._features, call)
        ceilings = [each for each in (route.policy.max_nano, self._ceilings.of(call)) if each is not None]
        return Explanation(
            route=route.model,
            attempts=attempts,
            skipped=tuple(self._skipped(call, each) for each in skipped),
            refused=refused,
            then=() if feature is None else feature.steps,
            deadline_ms=None if call.deadline is None else round((call.deadline - call.started) * 1000),
            ceiling_usd=format_usd(min(ceilings)) if ceilings else None,
        )

    def _skipped(self, call: Call, skip: Skipped) -> Considered:
        kill = self._planner.kill_of(call, skip.target) if skip.why == KILLED else None
        return self._considered(call, skip.target, skip.why, "" if kill is None else _switch(kill), False)

    def _considered(self, call: Call, target: Target, why: str, detail: str, stand_in: bool) -> Considered:
        health = target.health
        try:
            bound_usd = format_usd(bound_of(call, (target,)).nano)
        except PriceUnknown:
            bound_usd = None
        return Considered(
            model=target.model,
            provider=target.provider.name,
            upstream_model=target.upstream_model,
            key=target.key,
            region=target.region,
            why=why,
            detail=detail,
            stand_in=stand_in,
            state=health.state,
            asked_again_s=round(health.retry_after_s(perf_counter()), 3),
            in_flight=health.in_flight,
            latency_ms=_ms(health.latency_s),
            duration_ms=_ms(health.duration_s),
            bound_usd=bound_usd,
        )


class _Peeked(Struct, frozen=True, kw_only=True):
    """The little that routing reads of a body."""

    model: str
    max_tokens: int | None
    stream: bool = False
    include_usage: bool = False
    n: int = 1
    temperature: float | None = None
    seed: int | None = None
    user: str | None = None
    has_tools: bool = False
    wants_json: bool = False
    reach: Reach | None = None


def _call(principal: Principal, inquiry: Inquiry) -> Call:
    call = Call(
        principal=principal,
        operation="chat",
        dialect="openai",
        body=bytes(inquiry.input_chars),
        options=CallOptions(
            feature=inquiry.feature,
            task=inquiry.task,
            end_user=inquiry.end_user,
            deadline_ms=inquiry.deadline_ms,
            max_cost_nano=inquiry.max_cost_nano,
        ),
    )
    call.peek = _Peeked(model=inquiry.model, max_tokens=inquiry.max_tokens)
    call.model = inquiry.model
    return call


def _equals(route: Route, target: Target) -> str:
    """How one of several equal targets was chosen."""
    equal = len(route.of(target.model))
    if equal < 2 or target.balance == "order":
        return ""
    return f"one of {equal} equal targets, by {'load' if target.balance == 'latency' else 'weight'}"


def _switch(kill: Kill) -> str:
    reason = f": {kill.reason}" if kill.reason else ""
    return f"the {kill.scope} `{kill.subject}`{reason}"


def _ms(seconds: float) -> float | None:
    return round(seconds * 1000, 1) if seconds else None
