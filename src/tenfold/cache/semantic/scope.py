"""One scope of the semantic cache in one process: which kept answer, if any, serves a question. Pure and synchronous.

The question's near entries vote for their answers. Of the answer that wins, the nearest entry that states nothing else
(`guard`) is the candidate; how far it has won is the score. The scope answers from the score on from which its own
comparisons say, with confidence, that the share of false hits keeps the bound (`evidence`). It knows neither the model
nor where rows are kept.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import exp, log, log1p
from uuid import UUID

from msgspec import Struct

from tenfold.cache.semantic.comparator import MISSED
from tenfold.cache.semantic.evidence import Evidence
from tenfold.cache.semantic.facts import read
from tenfold.cache.semantic.guard import objection
from tenfold.cache.semantic.nearest import Nearest
from tenfold.cache.semantic.types import Decision, Entry, Learned, Observation, ScopeStatus, Verdict, Why

# Of the offline embedder's cosines. A few values were tried by hand on BANKING77 and Bitext, looking at the same
# streams that bench.semantic reports: nothing was fitted, and nothing was held out either.
_VOTERS = 30
_UNRELATED = 0.80  # a neighbour at this cosine weighs as much as the chance that the question is a new one
_WIDTH = 0.025
_FLOOR = 0.6
_OF_WINNER, _OF_OTHERS, _ANSWERS = 3, 2, 3  # rivals: entries of the winning answer, of each other one, answers in all

_read = lru_cache(maxsize=4096)(read)


class _Kept(Struct, frozen=True):
    question: str
    answer_id: UUID
    documents: frozenset[str]


class Scope:
    """Not thread-safe: one event loop owns it."""

    def __init__(
        self,
        *,
        max_false_hits: float = 0.01,
        check_share: float = 0.05,
        confidence: float = 0.95,
        missed: float = MISSED,
        warm_up: int = 500,
    ) -> None:
        """`max_false_hits`: of the hits, at most so many false, 0 to 1. `check_share`: of what would be hits, so many
        are looked at. `missed`: see Evidence. `warm_up`: with fewer entries than these, comparisons are no evidence: a
        scope that is nearly empty errs four times as often as it will, and would be held to it for long."""
        self._max_false_hits = max_false_hits
        self._check_share = check_share
        self._warm_up = warm_up
        self._near = Nearest()
        self._kept: dict[UUID, _Kept] = {}
        self._evidence = Evidence(confidence=confidence, missed=missed, check_share=check_share)
        self._hits = 0
        self._checks = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, entry: Entry) -> None:
        """Raises ValueError for a vector of another length than those of the others."""
        self._near.add(entry.id, entry.vector)
        self._kept[entry.id] = _Kept(entry.question, entry.answer_id, entry.documents)

    def drop(self, ids: Iterable[UUID]) -> None:
        """Ids that are not there are passed over."""
        for key in ids:
            if self._kept.pop(key, None) is not None:
                self._near.drop(key)

    def decide(
        self,
        question: str,
        vector: Sequence[float],
        documents: frozenset[str] | None,
        dice: float,
        *,
        max_false_hits: float | None = None,
    ) -> Decision:
        """`documents`: what the question rests on now, None where that is not known before it is answered; `dice`:
        uniform in [0, 1), of the caller; `max_false_hits`: of this question, in place of the scope's."""
        wanted = self._max_false_hits if max_false_hits is None else max_false_hits
        lowest, bound = self._evidence.rule(wanted)
        if not self._kept:
            return Decision(kind="miss", why="empty", bound=bound)
        near = self._near.near(vector, _VOTERS, _FLOOR)
        if not near:
            return Decision(kind="miss", why="far", bound=bound)
        usable = [(cosine, key) for cosine, key in near if self._rests_alike(key, documents)]
        if not usable:
            return Decision(kind="miss", why="documents", bound=bound)
        votes = self._votes(usable)
        winner = max(votes, key=lambda answer: votes[answer])
        of_winner = (key for _, key in usable if self._kept[key].answer_id == winner)
        asked = _read(question)
        entry = next((key for key in of_winner if not objection(asked, _read(self._kept[key].question))), None)
        score = _score(votes[winner], sum(votes.values()))
        rivals = self._rivals([key for _, key in usable], entry, winner)
        off = bool(self._evidence.why_off(wanted))
        why: Why
        if entry is None:
            why = "guard"
        elif off:
            why = "off"
        elif lowest == float("inf"):
            why = "bound"
        elif score < lowest:
            why = "neighbours" if len(votes) > 1 and votes[winner] < 0.9 * sum(votes.values()) else "uncertain"
        elif dice < self._check_share:
            why = "sampled"
        else:
            why = "ok"
        kind = {"ok": "hit", "sampled": "check"}.get(why, "miss")
        self._hits += why == "ok"
        self._checks += why == "sampled"
        return Decision(
            kind=kind,  # type: ignore[arg-type]
            why=why,
            entry=entry,
            probability=self._evidence.probability(score),
            bound=bound,
            score=score,
            rivals=rivals,
            rival_answers=tuple(self._kept[key].answer_id for key in rivals),
        )

    def learn(self, decision: Decision, verdicts: Sequence[Verdict]) -> Learned:
        """What came of a question that was not answered from the cache: `verdicts` on the fresh answer beside those of
        `decision.rivals`, in their order."""
        tally: dict[UUID, int] = {}
        for answer, verdict in zip(decision.rival_answers, verdicts, strict=False):
            tally[answer] = tally.get(answer, 0) + (verdict == "same") - (verdict == "different")
        observation = None
        if decision.entry is not None and verdicts and len(self._kept) >= self._warm_up:
            verdict = verdicts[0]
            if verdict == "unsure" and tally[decision.rival_answers[0]] > 0:
                verdict = "same"  # as others of the same answer
            observation = Observation(
                kind="check" if decision.kind == "check" else "miss", score=decision.score, verdict=verdict
            )
            self.observe(observation)
        known = max(tally, key=lambda answer: tally[answer], default=None)
        if known is not None and tally[known] > 0:
            return Learned(observation=observation, answer_id=known)
        # An answer that may be one of those known and gets an id of its own would split their votes for good.
        return Learned(observation=observation, keep=all(count < 0 for count in tally.values()))

    def observe(self, observation: Observation) -> None:
        """What was learnt here or in another process."""
        self._evidence.count(observation)

    def status(self) -> ScopeStatus:
        _, bound = self._evidence.rule(self._max_false_hits)
        why_off = self._evidence.why_off(self._max_false_hits)
        return ScopeStatus(
            entries=len(self._kept),
            hits=self._hits,
            checks=self._checks,
            bound=bound,
            max_false_hits=self._max_false_hits,
            is_off=bool(why_off),
            why_off=why_off,
        )

    def _rests_alike(self, key: UUID, documents: frozenset[str] | None) -> bool:
        """Half of what the entry rests on is what the question finds, and nothing of it in another version."""
        mine = self._kept[key].documents
        if documents is None or not mine:
            return True
        others = {_unversioned(document) for document in documents - mine}
        return 2 * len(mine & documents) >= len(mine) and not any(
            _unversioned(document) in others for document in mine - documents
        )

    def _votes(self, near: list[tuple[float, UUID]]) -> dict[UUID, float]:
        votes: dict[UUID, float] = {}
        for cosine, key in near:
            answer = self._kept[key].answer_id
            votes[answer] = votes.get(answer, 0.0) + exp((cosine - _UNRELATED) / _WIDTH)
        return votes

    def _rivals(self, near: list[UUID], first: UUID | None, winner: UUID) -> tuple[UUID, ...]:
        rivals = [] if first is None else [first]
        taken = {winner: len(rivals)}
        for key in near:
            answer = self._kept[key].answer_id
            if key == first or (answer not in taken and len(taken) == _ANSWERS):
                continue
            if taken.get(answer, 0) < (_OF_WINNER if answer == winner else _OF_OTHERS):
                taken[answer] = taken.get(answer, 0) + 1
                rivals.append(key)
        return tuple(rivals)


def _unversioned(document: str) -> str:
    return document.rpartition("@")[0]


def _score(won: float, all_votes: float) -> float:
    """-ln of the share of the votes that the winner did not get, one vote being that the question is new."""
    return log1p(all_votes) - log(1.0 + all_votes - won)
