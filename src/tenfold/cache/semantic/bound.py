"""How often something is false at most, told from trials that came one after the other: a bound that holds at all times
at once, so that one may look after each trial and stop when one likes.

A bet against "the share is at least b" multiplies its stake by u for a false trial and by (1 - u b) / (1 - b) for a
right one, u < 1. While the average chance of the trials to be false is at least b it gains nothing, whatever the order
and however the chances vary, so by Ville's inequality it reaches 1 / alpha with probability alpha at most (Waudby-Smith
and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024, sections 3 and 4). The stake is
spread over several u, and what it has become depends on two counts only: processes that saw other trials add theirs.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Shares = NDArray[np.float64]

_ODDS = np.array([0.03, 0.15, 0.3, 0.45, 0.6, 0.75])
_STAKES = np.array([0.6, 0.2, 0.1, 0.05, 0.03, 0.02])  # most where few are false: there the first hits are won
_LOG_ODDS = np.log(_ODDS)
_CERTAIN = 1 - 1e-9
_INTERVALS = 40


class Stratum(Struct, frozen=True):
    """A part of what is bounded: its share of it, and its trials."""

    weight: float
    false: int
    trials: int


def log_evidence_below(share: Shares, false: int, trials: int) -> Shares:
    """Natural log of what the bet against "at least `share` are false" has become, of each. 0 <= share < 1."""
    ratios = np.log1p(-np.multiply.outer(share, _ODDS)) - np.log1p(-share)[..., None]
    logs = false * _LOG_ODDS + (trials - false) * ratios
    top = logs.max(axis=-1)
    evidence: Shares = top + np.log(np.exp(logs - top[..., None]) @ _STAKES)
    return evidence


def is_below(share: float, strata: Sequence[Stratum], alpha: float) -> bool:
    """Whether of all together fewer than `share` are false, at confidence 1 - alpha. One or two strata.

    Of two, whatever their shares are that give `share` together, the product of the two bets must be large enough: the
    least over a grid is taken, of both ends of each interval the worse (Spertus and Stark, "Sweeter than SUITE", 2022).
    """
    wanted = -np.log(alpha)
    if len(strata) == 1:
        (only,) = strata
        return bool(log_evidence_below(np.array([share]), only.false, only.trials)[0] >= wanted)
    one, other = strata
    ends = np.linspace(0.0, min(_CERTAIN, share / one.weight), _INTERVALS + 1)
    others = np.clip((share - one.weight * ends) / other.weight, 0.0, _CERTAIN)
    least = log_evidence_below(ends[:-1], one.false, one.trials) + log_evidence_below(
        others[1:], other.false, other.trials
    )
    return bool(least.min() >= wanted)


def upper_bound(strata: Sequence[Stratum], alpha: float) -> float:
    """Of all together fewer are false, always, with probability 1 - alpha. 1.0 where nothing is known."""
    strata = [each for each in strata if each.weight > 0]
    if not any(each.trials for each in strata):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(16):  # to 2e-5
        middle = (low + high) / 2
        low, high = (low, middle) if is_below(middle, strata, alpha) else (middle, high)
    return high


def log_evidence_above(share: float, false: int, trials: int) -> float:
    """The same of the bet against "at most `share` are false"."""
    if trials == 0:
        return 0.0
    worse = np.minimum(0.95, share * np.array([1.5, 2.0, 3.0, 5.0, 10.0, 20.0]))
    worse = worse[worse > share]
    if not worse.size:
        return 0.0
    logs = false * np.log(worse / share) + (trials - false) * (np.log1p(-worse) - np.log1p(-share))
    top = float(logs.max())
    return top + float(np.log(np.exp(logs - top).mean()))
