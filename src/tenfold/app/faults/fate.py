"""What becomes of one request: faults and a seeded chance in, one fate out. Pure."""

import math
import random
from typing import Literal

from msgspec import Struct

from tenfold.app.faults.spec import Fault, Faults

MOST_LATENCY_S = 3600.0


class Capacity(Struct, frozen=True, kw_only=True):
    """`retry_after_s` None: who comes beyond `places` waits for one."""

    places: int
    retry_after_s: int | None


class Fate(Struct, frozen=True, kw_only=True):
    """`names`: the faults that came to pass, as they are counted. `ending` None: the reply comes to its end."""

    latency_s: float = 0.0
    pace_s: float = 0.0
    drip_s: float = 0.0  # 0: whole
    tokens: int | None = None
    capacity: Capacity | None = None
    usage: Literal["right", "missing", "zero", "absurd"] = "right"
    duplicates: bool = False
    off_schema: Literal["", "json", "text", "cut"] = ""
    ending: Fault | None = None
    names: tuple[str, ...] = ()


def chance_of(seed: int, what: str, nth: int) -> random.Random:
    """The same for the n-th request of its kind in every run."""
    return random.Random(f"{seed} {what} {nth}")  # noqa: S311 - chance that can be repeated, not a secret


def draw(faults: Faults, chance: random.Random) -> Fate:
    """Each fault draws once, so that what one does leaves the others as they were."""
    values: dict[str, object] = {}
    ending: Fault | None = None
    names: list[str] = []
    for fault in faults:
        occurs = chance.random() < fault.probability
        latency_s = _latency_s(fault, chance) if fault.name == "latency" else 0.0
        if not occurs or (fault.ends and ending is not None):
            continue
        names.append(fault.name)
        match fault.name:
            case "latency":
                values["latency_s"] = latency_s
            case "pace" | "drip":
                values[f"{fault.name}_s"] = fault.numbers[0]
            case "tokens":
                values["tokens"] = int(fault.numbers[0])
            case "capacity":
                after_s = int(fault.numbers[1]) if fault.mode == "429" else None
                values["capacity"] = Capacity(places=int(fault.numbers[0]), retry_after_s=after_s)
            case "usage":
                values["usage"] = fault.mode
            case "duplicate-frames":
                values["duplicates"] = True
            case "off-schema":
                values["off_schema"] = fault.mode
            case _:
                ending = fault
    return Fate(ending=ending, names=tuple(names), **values)  # type: ignore[arg-type]  # by name, each as its field has it


def _latency_s(fault: Fault, chance: random.Random) -> float:
    first, *more = fault.numbers
    match fault.mode:
        case "uniform":
            drawn = chance.uniform(first, more[0])
        case "exponential":
            drawn = chance.expovariate(1 / first) if first else 0.0
        case "lognormal":  # its median is e to the mean of its logarithm
            drawn = chance.lognormvariate(math.log(first), more[0]) if first else 0.0
        case _:
            drawn = first
    return min(drawn, MOST_LATENCY_S)
