"""Whether the providers' models can be called just now, how busy they are, and how much may be asked of them."""

from tenfold.health.breaker import TargetHealth
from tenfold.health.healths import Healths
from tenfold.health.keys import KeyHealth
from tenfold.health.retries import RetryBudget
from tenfold.health.shaper import Shaper
from tenfold.health.types import BreakerPolicy, Fault, HealthView, State

__all__ = [
    "BreakerPolicy",
    "Fault",
    "HealthView",
    "Healths",
    "KeyHealth",
    "RetryBudget",
    "Shaper",
    "State",
    "TargetHealth",
]
