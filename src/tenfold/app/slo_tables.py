"""The tables `[slo.*]`: how long each pathway may take, and how many of its calls may miss it. What is measured against
them is `app.slo`.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, NoReturn, get_args

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from tenfold.app.setting_parts import Table, nearest

Pathway = Literal["auth", "search", "retrieve", "generate", "end_to_end"]

PATHWAYS: tuple[Pathway, ...] = get_args(Pathway)

BUDGETS_MS: dict[Pathway, float] = {"auth": 5, "search": 50, "retrieve": 150, "generate": 1_200, "end_to_end": 1_500}
"""Where a table does not say: what a person who waits takes for quick. The parts fit into the whole."""

AVAILABILITY = 0.999
_OF_A_MODEL: frozenset[Pathway] = frozenset({"generate", "end_to_end"})
_Share = Annotated[float, Field(gt=0, lt=1)]


class SloSettings(Table):
    pathway: str | None = Field(
        None, description="auth, search, retrieve, generate or end_to_end; left out where the table has that name."
    )
    feature: str | None = Field(
        None, min_length=1, max_length=200, description="Only calls of this feature (`Tenfold-Feature`)."
    )
    model: str | None = Field(
        None, min_length=1, max_length=200, description="Only calls that name this model; generate and end_to_end."
    )
    p95_ms: float | None = Field(
        None,
        gt=0,
        le=3_600_000,
        description="How long the pathway may take, ms. Default: 5 for auth, 50 for search, 150 for retrieve, 1200 for "
        "generate, 1500 for end_to_end.",
    )
    objective: _Share = Field(0.95, description="The share of good calls that must be within p95_ms.")
    availability: _Share | None = Field(
        None, description="The share of calls that must be good; end_to_end alone, where it is 0.999 by default."
    )
    window_days: int = Field(30, ge=1, le=90, description="The days an error budget is for.")
    alert: bool = Field(True, description="Tell the log and the alerts webhook when the budget burns too fast.")


def pathway_of(name: str, entry: SloSettings) -> Pathway | None:
    """None: the table names none that there is."""
    said = entry.pathway or name
    return next((pathway for pathway in PATHWAYS if pathway == said), None)


def budget_ms(pathway: Pathway, entry: SloSettings) -> float:
    return BUDGETS_MS[pathway] if entry.p95_ms is None else entry.p95_ms


def _checked(tables: dict[str, SloSettings]) -> dict[str, SloSettings]:
    """Raises ValidationError at the key that is wrong."""
    known: dict[tuple[Pathway, str | None, str | None], str] = {}
    for name, entry in tables.items():
        pathway = pathway_of(name, entry)
        if pathway is None:
            _refuse(name, "pathway" if entry.pathway else None, f"no such pathway{_hint(name, entry)}")
        if entry.availability is not None and pathway != "end_to_end":
            _refuse(name, "availability", "end_to_end alone has an availability: a part that fails fails the whole")
        if entry.model is not None and pathway not in _OF_A_MODEL:
            _refuse(name, "model", f"{pathway} is over before a model is known; generate and end_to_end may name one")
        at = pathway, entry.feature, entry.model
        if at in known:
            _refuse(name, None, f"[slo.{known[at]}] is already about the same calls")
        known[at] = name
    for (pathway, feature, model), name in known.items():
        if pathway == "end_to_end":
            _check_parts(name, tables, [(part, known.get((part, feature, model))) for part in PATHWAYS[:-1]])
    return tables


def _check_parts(whole: str, tables: dict[str, SloSettings], parts: list[tuple[Pathway, str | None]]) -> None:
    """The parts that are declared for the same calls fit into the whole of them."""
    budgets = {name: budget_ms(part, tables[name]) for part, name in parts if name is not None}
    together, limit = sum(budgets.values()), budget_ms("end_to_end", tables[whole])
    if together > limit:
        said = ", ".join(f"{name} {ms:g}" for name, ms in budgets.items())
        _refuse(whole, "p95_ms", f"its parts may take {together:g} ms ({said}), and the whole {limit:g} ms")


def _hint(name: str, entry: SloSettings) -> str:
    if entry.pathway:
        return nearest(entry.pathway, PATHWAYS)
    return f"; name one with `pathway`, or the table after it{nearest(name, PATHWAYS)}"


def _refuse(name: str, key: str | None, why: str) -> NoReturn:
    error = PydanticCustomError("slo", "{why}", {"why": why})
    place = (name,) if key is None else (name, key)
    raise ValidationError.from_exception_data("slo", [InitErrorDetails(type=error, loc=place, input=None)])


SloTables = Annotated[dict[str, SloSettings], AfterValidator(_checked)]


def objectives(tables: dict[str, SloSettings]) -> Iterator[tuple[str, Pathway, SloSettings]]:
    """Every objective: those declared, and for all calls those of the pathways that nobody declared, without alerts."""
    declared = set()
    for name, entry in tables.items():
        pathway = pathway_of(name, entry)
        if pathway is not None:
            yield name, pathway, entry
            if entry.feature is None and entry.model is None:
                declared.add(pathway)
    for pathway in PATHWAYS:
        if pathway not in declared and pathway not in tables:
            yield pathway, pathway, SloSettings(alert=False)
