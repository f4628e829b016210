"""An objective, and what is said of it when the speed at which its budget burns changes."""

from dataclasses import dataclass
from typing import Literal

from tenfold.app.slo_tables import AVAILABILITY, Pathway, SloSettings, budget_ms, objectives

Kind = Literal["latency", "availability"]
Severity = Literal["page", "ticket"]


@dataclass(frozen=True, kw_only=True)
class Slo:
    """Of the calls of a pathway (and feature, and model, where they are named): the share `objective` of the good ones
    takes at most `budget_s`, and the share `availability` of all is good."""

    name: str
    pathway: Pathway
    budget_s: float
    feature: str | None = None
    model: str | None = None
    objective: float = 0.95
    availability: float | None = None
    window_days: int = 30
    alerts: bool = True

    @property
    def allowed(self) -> dict[Kind, float]:
        """The share of calls that may miss it, of each kind of objective it has."""
        kinds: dict[Kind, float] = {"latency": 1 - self.objective}
        if self.availability is not None:
            kinds["availability"] = 1 - self.availability
        return kinds


@dataclass(frozen=True, kw_only=True)
class Change:
    """An alert begins (`firing`) or ends. `burn_rate` is that of the longer window of the rule."""

    slo: Slo
    kind: Kind
    severity: Severity
    firing: bool
    burn_rate: float
    window: str
    budget_left: float


def slos_of(tables: dict[str, SloSettings]) -> list[Slo]:
    """Those declared, and the built-in ones of the other pathways."""
    return [_slo(name, pathway, entry) for name, pathway, entry in objectives(tables)]


def _slo(name: str, pathway: Pathway, entry: SloSettings) -> Slo:
    default = AVAILABILITY if pathway == "end_to_end" else None
    return Slo(
        name=name,
        pathway=pathway,
        budget_s=budget_ms(pathway, entry) / 1000,
        feature=entry.feature,
        model=entry.model,
        objective=entry.objective,
        availability=default if entry.availability is None else entry.availability,
        window_days=entry.window_days,
        alerts=entry.alert,
    )
