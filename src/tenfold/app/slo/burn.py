"""When an error budget burns too fast: multiwindow, multi-burn-rate alerts (Google, The Site Reliability Workbook,
chapter 5, "Alerting on SLOs"). Pure functions.

A burn rate of 1 spends the budget exactly in its window of 30 days. The long window says that it matters, the short
one that it still goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tenfold.app.slo.types import Severity


@dataclass(frozen=True, kw_only=True)
class Rule:
    severity: Severity
    factor: float
    long: str
    short: str


RULES = (
    Rule(severity="page", factor=14.4, long="1h", short="5m"),  # 2 % of the budget of 30 days in the hour
    Rule(severity="page", factor=6, long="6h", short="30m"),  # 5 % in six hours
    Rule(severity="ticket", factor=1, long="3d", short="6h"),  # 10 % in three days
)

MOST_BAD = 0.8
"""Where so large a share of the calls misses, every rule speaks: 90 % cannot burn 14.4 times as fast."""

LEAST_BAD = 5
"""Fewer calls than this in the long window say nothing: a single failure at night is no page."""


@dataclass(frozen=True)
class Share:
    """So many of so many calls missed."""

    bad: int
    of: int


def burn_rate(share: Share, allowed: float) -> float:
    """How many times faster than the objective allows. 0 without calls."""
    return share.bad / share.of / allowed if share.of else 0.0


def budget_left(share: Share, allowed: float) -> float:
    """The share of the budget that is left: 1 untouched, 0 spent, below 0 overspent."""
    return 1 - burn_rate(share, allowed)


def speaks(rule: Rule, shares: Mapping[str, Share], allowed: float) -> bool:
    """Both windows burn at the rule's rate or faster."""
    limit = min(rule.factor, MOST_BAD / allowed)
    long, short = shares[rule.long], shares[rule.short]
    return long.bad >= LEAST_BAD and burn_rate(long, allowed) >= limit and burn_rate(short, allowed) >= limit


def alerts(shares: Mapping[str, Share], allowed: float) -> dict[Severity, Rule]:
    """The severities that fire, each with the first rule that says so."""
    firing: dict[Severity, Rule] = {}
    for rule in RULES:
        if rule.severity not in firing and speaks(rule, shares, allowed):
            firing[rule.severity] = rule
    return firing
