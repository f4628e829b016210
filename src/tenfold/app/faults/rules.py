"""Which faults hold now: those set at start or over `/_faults`, each for a model or for all, for a time or for good.
And what was served, for `/_stats`. State in memory, bounded.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from tenfold.app.faults.spec import Faults, FaultSpecError, parse, parse_probability, parse_time

PREFIX = "fault:"
"""A model whose name begins so has the faults that follow, and no others."""

MAX_RULES = 100
_MAX_MODELS = 256
_OTHERS = "(others)"
_NO_HEAD = "none"


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"for_": "for"}):
    """As it stands on `/_faults`, where `for_` is `for`. `after`: how long from now until it holds; `for_`: how long it
    then does; `times`: for how many requests at most; `model`: of which upstream model. Times as in a specification."""

    fault: str
    model: str | None = None
    after: str | None = None
    for_: str | None = None
    probability: float = 1.0
    times: int | None = None

    def __post_init__(self) -> None:
        """Raises FaultSpecError."""
        parse(self.fault)
        for given in (self.after, self.for_):
            if given is not None:
                parse_time(given)
        parse_probability(f"{self.probability:.6f}")
        if self.times is not None and self.times < 1:
            raise FaultSpecError("times: must be 1 or more")


class _Held:
    """A rule with its moments on the clock and its count."""

    def __init__(self, rule: Rule, now: float) -> None:
        self.rule = rule
        self.faults = parse(rule.fault)
        self.since = now + (0.0 if rule.after is None else parse_time(rule.after))
        self.until = None if rule.for_ is None else self.since + parse_time(rule.for_)
        self.left = rule.times

    def holds(self, model: str, now: float) -> bool:
        rule = self.rule
        return (
            (rule.model is None or rule.model == model)
            and now >= self.since
            and (self.until is None or now < self.until)
            and self.left != 0
        )


class Rules:
    """`clock`: seconds that never go back."""

    def __init__(self, rules: Sequence[Rule], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: list[_Held] = []
        self.set(rules)

    def set(self, rules: Sequence[Rule]) -> None:
        """In place of those before; none at all: everything is well. Raises FaultSpecError when they are too many."""
        if len(rules) > MAX_RULES:
            raise FaultSpecError(f"at most {MAX_RULES} rules")
        now = self._clock()
        self._held = [_Held(rule, now) for rule in rules]

    def faults(self, model: str, chance: random.Random) -> Faults:
        """Of the next request to a model: those of all rules that hold, in order. Raises FaultSpecError for a
        `fault:` name that orders none."""
        if model.startswith(PREFIX):
            return parse(model.removeprefix(PREFIX))
        now = self._clock()
        found: list[Faults] = []
        for held in self._held:
            if held.holds(model, now) and chance.random() < held.rule.probability:
                if held.left is not None:
                    held.left -= 1
                found.append(held.faults)
        return tuple(fault for faults in found for fault in faults)

    def told(self) -> list[dict[str, Any]]:
        """As `GET /_faults` shows them: what was set, whether it holds now, and how often it still may."""
        now = self._clock()
        return [
            {
                "fault": held.rule.fault,
                "model": held.rule.model,
                "after": held.rule.after,
                "for": held.rule.for_,
                "probability": held.rule.probability,
                "times": held.rule.times,
                "holds": held.holds(held.rule.model or "", now),
                "times_left": held.left,
            }
            for held in self._held
        ]


class Count:
    """Of one model, or of all together."""

    def __init__(self) -> None:
        self.requests = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self.unfinished = 0  # the client left, or the connection was broken by a fault
        self.statuses: dict[str, int] = {}  # "none": no head went out
        self.faults: dict[str, int] = {}

    def told(self) -> dict[str, Any]:
        return vars(self) | {"statuses": dict(self.statuses), "faults": dict(self.faults)}


class Stats:
    """What was served since the start, or since `DELETE /_stats`."""

    def __init__(self) -> None:
        self._models: dict[str, Count] = {}
        self.total = Count()
        self.followed = 0  # requests to where `redirect` led

    def of(self, model: str) -> Count:
        """Bounded: beyond so many models they are counted together."""
        if model not in self._models and len(self._models) >= _MAX_MODELS:
            model = _OTHERS
        return self._models.setdefault(model, Count())

    def begin(self, model: str, faults: Sequence[str]) -> "Served":
        return Served((self.of(model), self.total), faults)

    def told(self) -> dict[str, Any]:
        return {
            "total": self.total.told(),
            "models": {name: count.told() for name, count in sorted(self._models.items())},
            "followed": self.followed,
        }


class Served:
    """One request that is being served."""

    def __init__(self, counts: tuple[Count, ...], faults: Sequence[str]) -> None:
        self._counts = counts
        self._status: int | None = None
        for count in counts:
            count.requests += 1
            count.in_flight += 1
            count.max_in_flight = max(count.max_in_flight, count.in_flight)
            for fault in faults:
                count.faults[fault] = count.faults.get(fault, 0) + 1

    def head(self, status: int) -> None:
        """A head goes out."""
        self._status = status

    def end(self, *, finished: bool) -> None:
        status = _NO_HEAD if self._status is None else str(self._status)
        for count in self._counts:
            count.in_flight -= 1
            count.unfinished += not finished
            count.statuses[status] = count.statuses.get(status, 0) + 1
