"""What the semantic cache knows of a scope, and what it decides of a question. Pure values."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from msgspec import Struct

Verdict = Literal["same", "different", "unsure"]
"""Of two answers, by a comparator that errs: see `comparator`."""

Kind = Literal["hit", "check", "miss"]
"""`check`: it would have been a hit, and the model is asked all the same, to see whether it would have been right."""

Why = Literal["empty", "far", "guard", "neighbours", "uncertain", "bound", "off", "documents", "sampled", "ok"]
"""Why a question was not answered from the cache; `ok`: it was. `empty`: there is no entry. `far`: none is near.
`documents`: those near rest on other documents. `guard`: those near state something else. `neighbours`: those near have
different answers. `uncertain`: less certain than the bound asks for. `bound`: not yet known to keep the bound. `off`:
known to break it. `sampled`: it would have been a hit."""


class Entry(Struct, frozen=True, kw_only=True):
    """A question that was answered. Entries whose answers were found to be the same share an `answer_id`."""

    id: UUID
    question: str
    vector: Sequence[float]  # of length 1
    answer_id: UUID
    answer: str = ""  # its text, for comparing
    documents: frozenset[str] = frozenset()


class Decision(Struct, frozen=True, kw_only=True):
    """`entry` is the candidate where there was one; `probability` that its answer serves, as the scope guesses it;
    `bound` on the share of false hits of the scope, as it stands. `rivals` are the entries with whose answers a fresh
    one is to be compared, the candidate first; some are of the same answer."""

    kind: Kind
    why: Why
    entry: UUID | None = None
    probability: float = 0.0
    bound: float = 1.0
    score: float = 0.0
    rivals: tuple[UUID, ...] = ()
    rival_answers: tuple[UUID, ...] = ()  # their answer ids


class Observation(Struct, frozen=True, kw_only=True):
    """A question with a candidate, whose fresh answer was compared with the candidate's: what the scope learns from.
    Kept as rows, and learnt by every process, in any order."""

    kind: Literal["check", "miss"]
    score: float  # what the decision went by
    verdict: Verdict


class Learned(Struct, frozen=True, kw_only=True):
    """`observation` is None where there was no candidate; `answer_id` is the one that a fresh answer was found to be,
    None when it is none of those known. `keep`: whether the answer is worth an entry: one that may be one of those
    known, and may not, is not."""

    observation: Observation | None = None
    answer_id: UUID | None = None
    keep: bool = True


class ScopeStatus(Struct, frozen=True, kw_only=True):
    entries: int
    hits: int
    checks: int
    bound: float  # anytime-valid upper bound on the share of false hits; 1.0 as long as nothing is known
    max_false_hits: float
    is_off: bool  # it answers nothing, since its bound is broken
    why_off: str = ""
