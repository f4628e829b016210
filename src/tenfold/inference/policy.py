"""What a route may do: values made from the settings at start, read by `plan` and the stages after it. No I/O."""

from dataclasses import dataclass
from typing import Literal

Choose = Literal["order", "cheapest", "fastest"]
Balance = Literal["order", "latency", "weights"]
OnBreak = Literal["error", "restart"]
Step = Literal["stale", "template", "queue"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Where all that is given fits the call, `models` take the place of the route's. Empty: anything fits."""

    models: tuple[str, ...]
    tasks: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()  # slugs
    plans: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Hedge:
    """A second target is asked when the first has not begun to answer after `after_s`, and whoever is first answers;
    whole replies only, and only calls whose bound is at most `max_nano` (10^-9 USD)."""

    after_s: float
    max_nano: int


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Of one route. Times are seconds, None: as the provider's own settings say."""

    models: tuple[str, ...] = ()  # in order; empty: all targets of the route
    rules: tuple[Rule, ...] = ()
    choose: Choose = "order"
    split: tuple[tuple[str, int], ...] = ()  # model and weight: sticky by tenant and end user
    regions: frozenset[str] = frozenset()  # empty: anywhere
    max_nano: int | None = None  # targets whose price bound for the call is above are not asked
    retries: int = 0  # further rounds over the targets of one model
    max_backoff_s: float = 2.0
    first_token_s: float | None = None
    between_tokens_s: float | None = None
    deadline_s: float | None = None
    on_break: OnBreak = "error"
    hold_tokens: int = 0  # blocks of a stream held back, so that a failure in them can still be hidden
    hedge: Hedge | None = None
    output_repairs: int = 0
    output_escalate: str | None = None  # a model

    @property
    def most_rounds(self) -> int:
        """How often a target may be asked for one call; each has a number of its own (`providers.facts`)."""
        return 1 + self.retries + self.output_repairs + (self.output_escalate is not None)

    @property
    def is_plain(self) -> bool:
        """Whether the order of the targets depends on nothing of the call."""
        return not (self.rules or self.split or self.regions or self.max_nano) and self.choose == "order"


DEFAULT_POLICY = Policy()


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What is declared of a feature: what is tried, in order, when no provider answers (then: a typed error), and which
    of its calls leave the request path."""

    name: str
    steps: tuple[Step, ...] = ()
    stale_s: float = 0.0  # how old an answer may be
    template: str = ""
    queued: str = ""  # what a client is told whose call was parked
    offload_s: float | None = None  # calls expected to take longer are answered later
