"""A stream of questions through one scope: random order, only what was not answered from the cache is stored, wrong
entries stay. There are no fresh answers, only their labels: the comparator's verdicts are drawn at its measured rates.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from bench.semantic.sets import Questions
from tenfold.cache.semantic.scope import Scope
from tenfold.cache.semantic.types import Entry, Verdict


@dataclass(frozen=True, kw_only=True)
class Errs:
    """Chances of a verdict, of answers that are the same and of those that are not."""

    same_is_different: float = 0.0
    same_is_unsure: float = 0.0
    different_is_same: float = 0.0
    different_is_unsure: float = 0.0

    def verdict(self, same: bool, dice: float) -> Verdict:
        if same:
            wrong, unsure = self.same_is_different, self.same_is_unsure
        else:
            wrong, unsure = self.different_is_same, self.different_is_unsure
        if dice < wrong:
            return "different" if same else "same"
        if dice < wrong + unsure:
            return "unsure"
        return "same" if same else "different"


@dataclass(kw_only=True)
class Run:
    questions: int
    hits: list[int] = field(default_factory=list)  # positions in the stream
    false: int = 0
    calls: int = 0  # of the model
    whys: Counter[str] = field(default_factory=Counter)
    bound: float = 1.0
    why_off: str = ""

    @property
    def hit_rate(self) -> float:
        return len(self.hits) / self.questions

    @property
    def second_half(self) -> float:
        middle = self.questions // 2
        return sum(at >= middle for at in self.hits) / (self.questions - middle)

    @property
    def last_quarter(self) -> float:
        start = self.questions * 3 // 4
        return sum(at >= start for at in self.hits) / (self.questions - start)


def play(questions: Questions, *, max_false_hits: float, seed: int, errs: Errs, check_share: float) -> Run:
    dice = np.random.default_rng(seed)
    order: Iterable[int] = dice.permutation(len(questions.texts)).tolist()
    scope = Scope(max_false_hits=max_false_hits, check_share=check_share)
    labels: dict[UUID, str] = {}
    run = Run(questions=len(questions.texts))
    for at, which in enumerate(order):
        label, vector = questions.labels[which], questions.vectors[which]
        decision = scope.decide(questions.texts[which], vector, None, dice.random())
        run.whys[decision.why] += 1
        if decision.kind == "hit":
            assert decision.entry is not None
            run.hits.append(at)
            run.false += labels[decision.entry] != label
            continue
        verdicts = [errs.verdict(labels[rival] == label, dice.random()) for rival in decision.rivals]
        learned = scope.learn(decision, verdicts)
        if learned.keep:
            key = UUID(int=at + 1)
            labels[key] = label
            scope.add(
                Entry(
                    id=key,
                    question=questions.texts[which],
                    vector=vector,
                    answer_id=learned.answer_id or key,
                )
            )
    status = scope.status()
    run.bound, run.why_off = status.bound, status.why_off
    return run
