"""Stage 3, route: the name a client gives to the targets that can serve it. A pure look-up; which of them are asked,
and in what order, is `plan`'s to say.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal, Protocol

from msgspec import Struct

from tenfold.core.call import Call
from tenfold.core.errors import ModelNotFound
from tenfold.core.headers import header_lines
from tenfold.core.usage import Usage
from tenfold.health import KeyHealth, RetryBudget, Shaper, TargetHealth
from tenfold.inference.policy import DEFAULT_POLICY, Balance, Policy
from tenfold.providers.ports import Provider


class Cost(Protocol):
    """10^-9 USD."""

    @property
    def input_nano(self) -> int: ...
    @property
    def output_nano(self) -> int: ...
    @property
    def total_nano(self) -> int: ...


class Quote(Protocol):
    """The price of one model at one time."""

    @property
    def valid_until(self) -> datetime | None: ...

    def cost(self, usage: Usage) -> Cost: ...

    def bound(self, input_tokens: int, output_tokens: int) -> Cost:
        """What no call of at most so many tokens can exceed."""
        ...

    def rest_unknown(self, begun: Usage, output_tokens: int) -> Cost:
        """The same for a call whose input is told and whose output is not."""
        ...


class PriceList(Protocol):
    """The price of one target: its own quote, or the dated data's."""

    def quote(self, at: datetime) -> Quote | None: ...


def served_by(provider: str, model: str) -> str:
    """The reply headers that say who answered. Raises ValueError for a name with a line break."""
    return header_lines([("tenfold-provider", provider), ("tenfold-model", model)])


UNKNOWN_WINDOW = 2_097_152  # tokens a model may read whose size nobody knows
UNKNOWN_OUTPUT = 131_072  # tokens it may write, where neither request nor data says
_LEAST_OUTPUT = 4_096  # where the data knows less, it speaks of a default and not of a limit

# Models and variants that look things up before they answer, without being asked for it in the request.
_SEARCHES = re.compile(r"compound|search|sonar|:online$", re.IGNORECASE)

# What one image may be: the largest of the families' own formulas (Qwen 16,384; OpenAI's `original` 12,000; Claude
# 4,784; Gemini 3 2,240). gpt-4o-mini counts its tiles at 33 times those of gpt-4o: 2,833 + 8 * 5,667.
_IMAGE_TOKENS = 16_384
_MINI_IMAGE_TOKENS = 48_169


class Target:
    """One upstream model. Holds its current quote, so that a call looks no price up, and how large a call to it can be.

    `max_input_tokens`: of its context window; None, as for `max_output_tokens`: not known. `broken_streams`: what is
    charged when it does not tell its usage, see the setting of that name. `model`: as the settings name it; targets of
    one model are equal, and `balance` says how calls are spread over them. `health` is shared by all that ask the same
    model of the same provider (with the same key, where it has several), `shaper` by all that use the same key of it;
    `key` tells its keys apart where there are several, and is never the secret.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        upstream_model: str,
        prices: PriceList,
        ask_usage: bool = True,
        max_input_tokens: int | None = None,
        max_output_tokens: int | None = None,
        broken_streams: Literal["bound", "received"] = "bound",
        model: str | None = None,
        health: TargetHealth | KeyHealth | None = None,
        shaper: Shaper | None = None,
        region: str | None = None,
        weight: int = 1,
        balance: Balance = "order",
        key: str | None = None,
    ) -> None:
        self.model = model or upstream_model
        self.health: TargetHealth | KeyHealth = health or TargetHealth()
        self.shaper = shaper or Shaper()
        self.region = region
        self.weight = weight
        self.balance = balance
        self.label = (
            f"{self.model}@{provider.name}"
            if self.model == upstream_model
            else (f"{self.model}@{provider.name}/{upstream_model}")
        )
        self.key = key
        if key is not None:
            self.label += f"#{key}"
        self.provider = provider
        self.upstream_model = upstream_model
        self.ask_usage = ask_usage
        self.broken_streams = broken_streams
        self.window = max_input_tokens or UNKNOWN_WINDOW
        self.most_output = max(max_output_tokens or UNKNOWN_OUTPUT, _LEAST_OUTPUT)
        self.searches = _SEARCHES.search(upstream_model) is not None
        self.image_tokens = _MINI_IMAGE_TOKENS if "4o-mini" in upstream_model else _IMAGE_TOKENS
        self._served_by = served_by(provider.name, upstream_model)
        self._prices = prices
        self._quote: Quote | None = None
        self._quote_until_s = 0.0

    def mark(self, call: Call) -> None:
        """This is where the call goes."""
        call.provider, call.upstream_model, call.served_by = self.provider.name, self.upstream_model, self._served_by
        call.target_model = self.model

    def quote(self, now_s: float) -> Quote | None:
        """The quote at `now_s` (Unix seconds); None when no price is known."""
        if now_s >= self._quote_until_s:
            self._quote = self._prices.quote(datetime.fromtimestamp(now_s, UTC))
            until = self._quote.valid_until if self._quote else None
            # Asked anew at least hourly, so that a price data refresh or a missed date cannot linger.
            self._quote_until_s = min(until.timestamp(), now_s + 3600) if until else now_s + 3600
        return self._quote


class Choice(Struct, frozen=True):
    """`stand_in`: asked in place of a target that is down or switched off, or after one that failed."""

    target: Target
    why: str
    stand_in: bool = False


class Skipped(Struct, frozen=True):
    target: Target
    why: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """`model` is what clients name. `usual`: the plan of a call that asks for nothing special while all is well; None
    where the order depends on the call."""

    model: str
    targets: tuple[Target, ...]
    policy: Policy = DEFAULT_POLICY
    retry_budget: RetryBudget = field(default_factory=RetryBudget, compare=False)

    def of(self, model: str) -> list[Target]:
        """The targets of one model."""
        return [target for target in self.targets if target.model == model]

    @cached_property
    def usual(self) -> "Plan | None":
        if not self.policy.is_plain or any(target.balance != "order" for target in self.targets):
            return None
        models = self.policy.models
        targets = [target for model in models for target in self.of(model)] if models else self.targets
        first = targets[0]
        return Plan(self, tuple(Choice(each, _USUAL[each is not first], stands_in(each, first)) for each in targets))


_USUAL = ("first", "fallback")


def stands_in(target: Target, wanted: Target) -> bool:
    """Whether its answer is another than what was wanted; another key of the same provider gives the same."""
    return target.model != wanted.model or target.provider.name != wanted.provider.name


class Plan(Struct, frozen=True):
    """`choices` in order; the targets of one model stand together."""

    route: Route
    choices: tuple[Choice, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def targets(self) -> list[Target]:
        return [choice.target for choice in self.choices]

    def told(self) -> str:
        """For a header or a person: what is asked in order, and what is not."""
        asked = ", ".join(f"{choice.target.label}; {choice.why}" for choice in self.choices)
        skipped = ", ".join(f"{skip.target.label}; {skip.why}" for skip in self.skipped)
        return asked + (f" | skipped: {skipped}" if skipped else "")


class Router:
    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: Mapping[str, Route] = {route.model: route for route in routes}

    @property
    def models(self) -> list[str]:
        return sorted(self._routes)

    def find(self, model: str) -> Route:
        """Raises ModelNotFound with the nearest name."""
        route = self._routes.get(model)
        if route is None:
            shown = model if len(model) <= 100 else f"{model[:100]}..."
            close = difflib.get_close_matches(model[:100], self._routes, n=1)
            hint = f" Did you mean `{close[0]}`?" if close else " GET /v1/models lists what there is."
            raise ModelNotFound(f"The model `{shown}` does not exist here.{hint}", param="model")
        return route
