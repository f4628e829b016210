"""How often something is false at most, told from trials that came one after the other: a bound that holds at all times
at once, so that one may look after each trial and stop when one likes.

A bet against "the share is at least b" multiplies its stake by u for a false trial and by (1 - u b) / (1 - b) for a
right one, u < 1. While the average chance of the trials to be false is at least b it gains nothing, whatever the order
and however the chances vary, so by Ville's inequality it reaches 1 / alpha with probability alpha at most (Waudby-Smith
and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024, sections 3 and 4). The stake is
spread over several u, and what it has become depends on two counts only: processes that saw other trials add theirs.
"""

from functools import lru_cache

import numpy as np

_ODDS = np.array([0.03, 0.15, 0.3, 0.45, 0.6, 0.75])
_STAKES = np.array([0.6, 0.2, 0.1, 0.05, 0.03, 0.02])  # most where few are false: there the first hits are won
_LOG_ODDS = np.log(_ODDS)


def log_evidence_below(share: float, false: int, trials: int) -> float:
    """Natural log of what the bet against "at least `share` are false" has become. 0 < share < 1."""
    logs = false * _LOG_ODDS + (trials - false) * (np.log1p(-_ODDS * share) - np.log1p(-share))
    top = float(logs.max())
    return top + float(np.log(np.exp(logs - top) @ _STAKES))


@lru_cache(maxsize=4096)
def upper_bound(false: int, trials: int, alpha: float) -> float:
    """The share is lower, always, with probability 1 - alpha. 1.0 where nothing is known."""
    if trials == 0:
        return 1.0
    wanted = -float(np.log(alpha))
    low, high = 0.0, 1.0
    for _ in range(20):  # to 1e-6
        middle = (low + high) / 2
        if log_evidence_below(middle, false, trials) >= wanted:
            high = middle
        else:
            low = middle
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
