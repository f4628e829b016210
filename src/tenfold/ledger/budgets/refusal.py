"""What a caller reads when a budget has no room: which one, how much, until when, and what would help."""

from datetime import datetime

from tenfold.core.errors import BudgetExceeded
from tenfold.core.money import format_usd
from tenfold.ledger.budgets.types import Budget, Per

_PARAM: dict[Per, str | None] = {
    "tenant": None,
    "key": None,
    "endpoint": None,
    "model": "model",
    "feature": "Tenfold-Feature",
    "run": "Tenfold-Run",
}
_SOON_S = 1.0  # money held for calls in flight comes free when they end


def refusal(
    budget: Budget,
    subject: str,
    *,
    bound_nano: int,
    settled_nano: int,
    remaining_nano: int,
    period_end: datetime | None,
    ends_in_s: float | None,
) -> BudgetExceeded:
    """`settled_nano`: spent; `remaining_nano`: neither spent nor held; `ends_in_s`: until the period ends, None where
    it never does."""
    whose = "the tenant" if budget.per == "tenant" else f"the {budget.per} '{subject}'"
    limit = f"{format_usd(budget.limit_nano)} USD " + ("in total" if budget.period == "total" else f"a {budget.period}")
    text = (
        f"The budget of {whose}, {limit}, has {format_usd(max(0, remaining_nano))} USD left that is neither spent nor "
        f"set aside for calls in flight; this call may cost up to {format_usd(bound_nano)} USD. It was not begun."
    )
    if bound_nano > budget.limit_nano:
        text += " It would not fit into the whole budget: lower max_tokens, shorten the input, or raise the budget."
    elif period_end is not None:
        text += f" The budget begins anew at {period_end:%Y-%m-%d %H:%M} UTC."
    return BudgetExceeded(
        text, param=_PARAM[budget.per], retry_after_s=_retry_after_s(budget, bound_nano, settled_nano, ends_in_s)
    )


def _retry_after_s(budget: Budget, bound_nano: int, settled_nano: int, ends_in_s: float | None) -> float | None:
    """None: waiting does not help."""
    if bound_nano > budget.limit_nano:
        return None
    if bound_nano <= budget.limit_nano - settled_nano:
        return _SOON_S
    return None if ends_in_s is None else max(_SOON_S, ends_in_s)
