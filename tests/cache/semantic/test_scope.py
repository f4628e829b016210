"""A scope learns before it answers, answers within its bound, and stops when the bound breaks."""

from uuid import UUID

from tenfold.cache.semantic.scope import Scope
from tenfold.cache.semantic.types import Decision, Entry, Learned, Observation, Verdict

_A, _B = UUID(int=1001), UUID(int=1002)
_NEAR_A, _NEAR_B = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def _entry(key: int, answer: UUID = _A, question: str = "How do I reset my password?", **more: object) -> Entry:
    vector = _NEAR_A if answer == _A else _NEAR_B
    return Entry(id=UUID(int=key), question=question, vector=vector, answer_id=answer, **more)  # type: ignore[arg-type]


def _scope(entries: int = 10, **settings: float) -> Scope:
    scope = Scope(**settings)  # type: ignore[arg-type]
    for key in range(1, entries + 1):
        scope.add(_entry(key))
    return scope


def _ask(scope: Scope, question: str = "how can I reset my password", dice: float = 0.5) -> Decision:
    return scope.decide(question, _NEAR_A, None, dice)


def _teach(scope: Scope, right: int, wrong: int = 0) -> None:
    score = _ask(scope).score
    for at in range(right + wrong):
        verdict: Verdict = "different" if at < wrong else "same"
        scope.observe(Observation(kind="miss", score=score, verdict=verdict))


def test_an_empty_scope_has_nothing() -> None:
    decision = _ask(_scope(0))
    assert (decision.kind, decision.why, decision.entry) == ("miss", "empty", None)


def test_it_does_not_answer_before_it_knows_its_bound() -> None:
    scope = _scope()
    assert (_ask(scope).kind, _ask(scope).why) == ("miss", "bound")
    assert _ask(scope).entry == UUID(int=1)
    assert scope.status().bound == 1.0


def test_it_answers_when_enough_would_have_been_right() -> None:
    scope = _scope()
    _teach(scope, 1000)
    decision = _ask(scope)
    assert (decision.kind, decision.why) == ("hit", "ok")
    assert decision.bound <= 0.01
    assert decision.probability > 0.99
    assert scope.status().hits == 1


def test_a_share_of_the_hits_is_checked() -> None:
    scope = _scope(check_share=0.1)
    _teach(scope, 1000)
    assert [_ask(scope, dice=dice).kind for dice in (0.05, 0.15)] == ["check", "hit"]


def test_a_request_may_ask_for_a_bound_of_its_own() -> None:
    scope = _scope(max_false_hits=0.01)
    _teach(scope, 300)
    assert _ask(scope).kind == "miss"
    loose = scope.decide("how can I reset my password", _NEAR_A, None, 0.5, max_false_hits=0.05)
    assert loose.kind == "hit"


def test_it_switches_itself_off_when_its_bound_breaks() -> None:
    scope = _scope()
    _teach(scope, 1000)
    score = _ask(scope).score
    for _ in range(40):
        scope.observe(Observation(kind="check", score=score, verdict="different"))
    assert (_ask(scope).kind, _ask(scope).why) == ("miss", "off")
    assert scope.status().is_off
    assert "would have been false" in scope.status().why_off


def test_the_order_of_observations_does_not_matter() -> None:
    one, other = _scope(), _scope()
    _teach(one, 900, 3)
    score = _ask(other).score
    for verdict, count in (("same", 500), ("different", 3), ("same", 400)):
        for _ in range(count):
            other.observe(Observation(kind="check", score=score, verdict=verdict))  # type: ignore[arg-type]
    assert one.status().bound == other.status().bound


def test_verdicts_that_say_nothing_are_no_evidence() -> None:
    scope = _scope()
    for _ in range(5000):
        scope.observe(Observation(kind="miss", score=_ask(scope).score, verdict="unsure"))
    assert scope.status().bound == 1.0
    assert _ask(scope).kind == "miss"


def test_a_fresh_answer_gets_the_id_of_the_rival_it_is_the_same_as() -> None:
    scope = Scope(warm_up=0)
    scope.add(Entry(id=UUID(int=1), question="reset my password", vector=(1.0, 0.0), answer_id=_A))
    scope.add(Entry(id=UUID(int=2), question="reset my device", vector=(0.9, 0.43589), answer_id=_B))
    decision = scope.decide("how can I reset my password", (1.0, 0.0), None, 0.5)
    assert decision.rivals == (UUID(int=1), UUID(int=2))
    assert scope.learn(decision, ("different", "same")).answer_id == _B
    assert scope.learn(decision, ("same", "unsure")).answer_id == _A
    assert scope.learn(decision, ("different", "different")) == Learned(
        observation=Observation(kind="miss", score=decision.score, verdict="different")
    )


def test_a_fresh_answer_that_may_be_one_of_those_known_is_not_kept() -> None:
    scope = _scope(1)
    learned = scope.learn(_ask(scope), ("unsure",))
    assert (learned.answer_id, learned.keep) == (None, False)


def test_a_verdict_that_says_nothing_is_made_up_for_by_others_of_the_same_answer() -> None:
    scope = _scope(3, warm_up=0)
    learned = scope.learn(_ask(scope), ("unsure", "same", "unsure"))
    assert learned.observation is not None
    assert learned.observation.verdict == "same"
    assert learned.answer_id == _A


def test_what_a_scope_of_few_entries_sees_is_no_evidence() -> None:
    scope = _scope(3, warm_up=5)
    assert scope.learn(_ask(scope), ("same", "same", "same")) == Learned(answer_id=_A)
    scope.add(_entry(4))
    scope.add(_entry(5))
    assert scope.learn(_ask(scope), ("same", "same", "same")).observation is not None


def test_near_entries_with_other_answers_make_it_doubt() -> None:
    scope = _scope(5)
    alone = _ask(scope).score
    for key in range(20, 25):
        scope.add(Entry(id=UUID(int=key), question="reset my phone", vector=_NEAR_A, answer_id=_B))
    assert _ask(scope).score < alone


def test_what_states_something_else_is_no_candidate() -> None:
    scope = _scope()
    decision = _ask(scope, "how can I not reset my password")
    assert (decision.kind, decision.why, decision.entry) == ("miss", "guard", None)
    assert scope.learn(decision, ("same",)).observation is None


def test_what_rests_on_other_documents_is_none() -> None:
    scope = Scope()
    scope.add(_entry(1, documents=frozenset({"kb/a@1"})))
    assert scope.decide("How do I reset my password?", _NEAR_A, frozenset({"kb/a@2"}), 0.5).why == "documents"
    assert scope.decide("How do I reset my password?", _NEAR_A, frozenset({"kb/a@1"}), 0.5).entry == UUID(int=1)


def test_another_version_of_one_of_many_documents_is_enough_to_refuse() -> None:
    scope = Scope()
    scope.add(_entry(1, documents=frozenset({"kb/a@1", "kb/b@1", "kb/c@1"})))
    now = frozenset({"kb/a@1", "kb/b@1", "kb/c@2"})
    assert scope.decide("How do I reset my password?", _NEAR_A, now, 0.5).why == "documents"
    assert scope.decide("How do I reset my password?", _NEAR_A, frozenset({"kb/a@1", "kb/b@1"}), 0.5).entry is not None


def test_what_was_dropped_is_gone() -> None:
    scope = _scope(3)
    scope.drop([UUID(int=1), UUID(int=3), UUID(int=99)])
    assert len(scope) == 1
    assert _ask(scope).entry == UUID(int=2)
    scope.drop([UUID(int=2)])
    assert _ask(scope).why == "empty"
