"""Which arm a unit gets: by its hash alone, so that every process gives the same one and nothing is stored.

The rule is weighted rendezvous hashing (Thaler and Ravishankar 1998; the logarithmic weights of Schindelhauer and
Schomaker 2005). Each arm draws a number in (0, 1) from unit, salt and the arm's name; the arm with the least
`-log(number) / weight` wins. What follows from it:

- Each arm gets the share of its weight, and the order in which arms are named means nothing.
- A unit moves only to an arm whose weight has grown against that of the arm it had. An arm that is ramped up from 10 to
  20 % keeps every unit of its 10 %, and no unit moves between two other arms. Where the weight of one arm alone
  changes, no rule can move fewer units.
- Another salt is another experiment: its assignment tells nothing of this one's.

Of the draw, the hash (BLAKE2b, RFC 7693) is the same everywhere; the last bit of a logarithm may differ between
platforms, which decides for less than one unit in 10^14.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log

MAX_WEIGHT = 1_000_000
_DRAWN_BITS = 53  # as many as a float holds
_RANGE = float(1 << _DRAWN_BITS)


def assign(unit: str, salt: str, weights: Sequence[tuple[str, int]]) -> str:
    """The name of the arm of this unit (a tenant, a user). `weights` are whole numbers of 0 or more, in relation to
    each other; an arm of weight 0 gets nobody. Raises ValueError when no arm has a weight, or a weight is none."""
    best: tuple[float, str] | None = None
    drawn_from = _framed(salt) + _framed(unit)
    for name, weight in weights:
        if not 0 <= weight <= MAX_WEIGHT:
            raise ValueError(f"a weight is a whole number from 0 to {MAX_WEIGHT}, not {weight}")
        if weight == 0:
            continue
        cost = -log(_draw(drawn_from + name.encode("utf-8", "surrogatepass"))) / weight, name
        if best is None or cost < best:
            best = cost
    if best is None:
        raise ValueError("no arm has a weight")
    return best[1]


def _framed(text: str) -> bytes:
    """With its length in front: ("a", "bc") and ("ab", "c") are different draws."""
    part = text.encode("utf-8", "surrogatepass")
    return len(part).to_bytes(4, "big") + part


def _draw(data: bytes) -> float:
    """Uniform in (0, 1)."""
    drawn = int.from_bytes(blake2b(data, digest_size=8).digest(), "big") >> (64 - _DRAWN_BITS)
    return (drawn or 0.5) / _RANGE  # 0 has no logarithm
