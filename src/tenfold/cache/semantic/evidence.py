"""What a scope has seen of its own mistakes, and from which score on it may answer. Counts only: processes add theirs.

A score is counted in the step it falls in. "Answers from this score on" is a rule; its trials are those of its scores
that were compared, and it is certified when the upper bound on its share of false hits keeps the wanted one. Rules are
tried from a strict one to laxer ones, and the first that is not certified ends it, so that trying many costs nothing
(fixed-sequence testing: Angelopoulos et al., "Learn then Test", arXiv:2110.01052). Three begin at once, and share
alpha.

Once a rule answers, of its hits only the checked share is compared, and all of what lies below it: trials taken alike
would speak for the scores below. So a laxer rule is also bounded in two parts, from the beginning on and below, each by
its share of the questions.

A comparator that errs: of two answers that differ it finds so in a share `found` at least, so the share of trials found
false is at least `found` times the share that is false, whatever else it takes for different (Rogan and Gladen, 1978,
with no credit for false alarms). "unsure" leaves a trial out, of right ones as of false ones; the fewer trials are left
the larger is the share found, so the bound stays one.
"""

from collections import deque
from math import log

from tenfold.cache.semantic.bound import Stratum, is_below, log_evidence_above, upper_bound
from tenfold.cache.semantic.types import Observation

STEP = 0.5
STEPS = 20  # scores from 9.5 up are alike
_BEGINNINGS = {
    9: 0.6,
    6: 0.25,
    4: 0.15,
}  # steps, and the share of alpha each has: a low bound is first kept by the strict
_STRICTEST = max(_BEGINNINGS)
_LAXEST = 1
_RECENT = 200
_ALARM = log(100.0)


class Evidence:
    def __init__(self, *, confidence: float, missed: float, check_share: float) -> None:
        """`missed`: how often, at most, two answers that differ are not found to. `check_share`: of the hits, so many
        are compared."""
        self._alpha = 1 - confidence
        self._found = 1 - missed
        self._hits_per_check = 1 / max(check_share, 0.001)
        self._questions = [0.0] * STEPS
        self._trials = [0] * STEPS
        self._false = [0] * STEPS
        self._recent: deque[tuple[float, bool]] = deque(maxlen=_RECENT)
        self._rules: dict[float, tuple[float, float]] = {}

    def count(self, observation: Observation) -> None:
        step = step_of(observation.score)
        self._questions[step] += self._hits_per_check if observation.kind == "check" else 1
        self._rules.clear()
        if observation.verdict == "unsure":
            return
        self._trials[step] += 1
        self._false[step] += observation.verdict == "different"
        self._recent.append((observation.score, observation.verdict == "different"))

    def rule(self, max_false_hits: float) -> tuple[float, float]:
        """The score from which on to answer, and the bound on the share of false hits with it; infinity and 1.0 or the
        lowest bound of any rule where none is certified."""
        known = self._rules.get(max_false_hits)
        if known is None:
            known = self._rules[max_false_hits] = self._rule(max_false_hits)
        return known

    def _rule(self, max_false_hits: float) -> tuple[float, float]:
        best: tuple[int, int] | None = None
        for beginning, share in _BEGINNINGS.items():
            for step in range(beginning, _LAXEST - 1, -1):
                if not is_below(max_false_hits * self._found, self._strata(step, beginning), self._alpha * share):
                    break
                if best is None or step < best[0]:
                    best = step, beginning
        if best is None:
            return float("inf"), min(self._bound(beginning, beginning) for beginning in _BEGINNINGS)
        return best[0] * STEP, self._bound(*best)

    def _bound(self, step: int, beginning: int) -> float:
        return min(1.0, upper_bound(self._strata(step, beginning), self._alpha * _BEGINNINGS[beginning]) / self._found)

    def _strata(self, step: int, beginning: int) -> list[Stratum]:
        above, below = sum(self._questions[beginning:]), sum(self._questions[step:beginning])
        if not below:
            return [self._stratum(beginning, STEPS, 1.0)]
        parts = [(beginning, STEPS, above / (above + below)), (step, beginning, below / (above + below))]
        return [self._stratum(*part) for part in parts if part[2]]

    def _stratum(self, first: int, end: int, weight: float) -> Stratum:
        return Stratum(weight, sum(self._false[first:end]), sum(self._trials[first:end]))

    def probability(self, score: float) -> float:
        """That an answer of this score serves: of the trials about it, those that did."""
        step = step_of(score)
        near = range(max(0, step - 1), min(STEPS, step + 2))
        return 1 - (sum(self._false[at] for at in near) + 0.5) / (sum(self._trials[at] for at in near) + 1)

    def why_off(self, max_false_hits: float) -> str:
        """Empty as long as nothing says that the bound is broken even where the scope is most certain."""
        false, trials = (sum(counts[_STRICTEST:]) for counts in (self._false, self._trials))
        if log_evidence_above(max_false_hits, false, trials) > _ALARM:
            return f"{false} of the {trials} surest hits that were compared would have been false"
        lowest, _ = self.rule(max_false_hits)
        recent = [wrong for score, wrong in self._recent if score >= lowest]
        if log_evidence_above(max_false_hits, sum(recent), len(recent)) > _ALARM:
            return f"{sum(recent)} of the last {len(recent)} hits that were compared would have been false"
        return ""


def step_of(score: float) -> int:
    return max(0, min(STEPS - 1, int(score / STEP)))
