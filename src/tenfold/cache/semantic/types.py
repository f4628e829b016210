"""What the semantic cache knows of a scope, and what it decides of a question. Pure values."""

from typing import Literal
from uuid import UUID

from msgspec import Struct

Verdict = Literal["same", "different", "unsure"]
"""Of two answers, by a comparator that errs: see `comparator`."""

Kind = Literal["hit", "check", "miss"]
"""`check`: it would have been a hit, and the model is asked all the same, to see whether it would have been right."""

Why = Literal["empty", "far", "guard", "neighbours", "uncertain", "bound", "off", "documents", "sampled", "ok"]
"""Why a question was not answered from the cache; `ok`: it was."""


class Entry(Struct, frozen=True, kw_only=True):
    """A question that was answered. Entries whose answers were found to be the same share an `answer_id`."""

    id: UUID
    question: str
    vector: tuple[float, ...]  # of length 1
    answer_id: UUID
    answer: str  # its text, for comparing
    documents: frozenset[str] = frozenset()


class Decision(Struct, frozen=True, kw_only=True):
    """`entry` is the candidate where there was one; `probability` that its answer serves; `bound` on the share of
    false hits of the scope, as it stands."""

    kind: Kind
    why: Why
    entry: UUID | None = None
    probability: float = 0.0
    bound: float = 1.0


class Observation(Struct, frozen=True, kw_only=True):
    """A question with a candidate, whose fresh answer was compared with the candidate's: what the scope learns from.
    Kept as rows, and learnt by every process in their order."""

    kind: Literal["check", "miss"]
    score: float  # what the decision went by
    verdict: Verdict
    weight: float = 1.0  # one over the probability with which it was looked at


class ScopeStatus(Struct, frozen=True, kw_only=True):
    entries: int
    hits: int
    checks: int
    bound: float  # anytime-valid upper bound on the share of false hits; 1.0 as long as nothing is known
    max_false_hits: float
    is_off: bool  # it answers nothing, since its bound is broken
    why_off: str = ""
