"""What the scripted provider does with a request: how much it generates and bills, and how it goes wrong. Seeded: the
same request of the same run meets the same fate."""

import random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tenfold.app.chaos.bill import Mark, Outcome
from tenfold.core.usage import Usage

# Out of a hundred requests.
_FATES: tuple[tuple[Outcome, int], ...] = (
    ("ok", 60),
    ("slow", 10),
    ("cut", 10),
    ("error", 8),
    ("dead", 4),
    ("stall", 2),
    ("malformed", 3),
    ("no_usage", 3),
)
_STATUSES = (429, 500, 503, 529)
_MOST_TOKENS = 90


class Asked(Struct, frozen=True, kw_only=True):
    """What the provider reads of a request."""

    model: str
    stream: bool
    include_usage: bool
    max_tokens: int
    text_bytes: int  # of everything that was said
    mark: Mark | None


class Plan(Struct, frozen=True, kw_only=True):
    """`usage` is billed before a byte is sent. `cut_at`: the share of the reply's bytes that go out, head included."""

    outcome: Outcome
    usage: Usage
    status: int = 200
    shown_tokens: int = 0  # of the output: what the reply holds when it is whole
    cut_at: float = 1.0
    ends: Literal["closed", "reset"] = "closed"  # how the connection ends when the reply is cut
    before_s: float = 0.0  # until the first byte
    during_s: float = 0.0  # from the first byte to the last
    stall_s: float = 0.0  # silence after the cut, then the end


def plan(seed: int, asked: Asked, nth: int, stall_s: float) -> Plan:
    """`nth`: how often the mark (without one: anything) was served before."""
    where = asked.mark.text if asked.mark is not None else "unmarked"
    chance = random.Random(f"{seed} {where} {nth}")  # noqa: S311 - chance that can be repeated, not a secret
    outcome = chance.choices([name for name, _ in _FATES], [weight for _, weight in _FATES])[0]
    if outcome == "error":
        return Plan(outcome="error", usage=Usage(), status=chance.choice(_STATUSES), before_s=chance.uniform(0, 0.05))
    usage = _usage(chance, asked)
    plain = Plan(
        outcome=outcome,
        usage=usage,
        shown_tokens=usage.output_tokens,
        before_s=chance.uniform(0.005, 0.15),
        during_s=chance.uniform(0.0, 0.4),
    )
    if outcome == "slow":
        return replace(plain, before_s=chance.uniform(0.1, 0.6), during_s=chance.uniform(0.3, 1.2))
    if outcome in ("cut", "stall"):
        cut = replace(plain, cut_at=chance.random(), ends=chance.choice(("closed", "reset")))
        return replace(cut, stall_s=stall_s) if outcome == "stall" else cut
    if outcome == "dead":  # half of them before anything was generated
        generated = chance.random() < 0.5
        return replace(plain, cut_at=0.0, ends="reset", usage=usage if generated else Usage())
    return plain


def _usage(chance: random.Random, asked: Asked) -> Usage:
    """Never more than was asked for, and no more input than there are bytes."""
    tokens = max(1, asked.text_bytes // 4)
    cached = chance.randint(0, tokens) if chance.random() < 0.3 else 0
    output = chance.randint(1, max(1, min(asked.max_tokens, _MOST_TOKENS)))
    if chance.random() < 0.05:
        output = max(1, min(asked.max_tokens, 4 * _MOST_TOKENS))  # all that was allowed
    return Usage(input_tokens=tokens, output_tokens=output, cache_read_tokens=cached)
