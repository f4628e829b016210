"""Questions that look alike and want different answers are never let through, whatever their vectors; most that mean
the same are.
"""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.cache.semantic.facts import read
from tenfold.cache.semantic.guard import objection
from tenfold.cache.semantic.scope import Scope
from tenfold.cache.semantic.types import Entry, Observation
from tests.cache.semantic.pairs import DIFFERENT, PARAPHRASES

_SAME_VECTOR = (1.0, 0.0)
_LET_THROUGH = 55  # of the paraphrases


@pytest.mark.parametrize("kind", DIFFERENT)
def test_no_pair_that_differs_is_let_through(kind: str) -> None:
    through = [pair for pair in DIFFERENT[kind] if not objection(read(pair[0]), read(pair[1]))]
    assert through == []


def test_there_are_enough_pairs() -> None:
    assert sum(map(len, DIFFERENT.values())) >= 300
    assert len({frozenset(pair) for pairs in DIFFERENT.values() for pair in pairs}) >= 300


def test_most_paraphrases_are_let_through() -> None:
    stopped = [pair for pair in PARAPHRASES if objection(read(pair[0]), read(pair[1]))]
    assert len(PARAPHRASES) - len(stopped) >= _LET_THROUGH, stopped


def test_it_objects_to_both_orders_alike() -> None:
    for one, other in [pair for pairs in DIFFERENT.values() for pair in pairs] + PARAPHRASES:
        assert bool(objection(read(one), read(other))) == bool(objection(read(other), read(one)))


def test_a_scope_that_is_sure_of_itself_answers_none_of_them() -> None:
    for pairs in DIFFERENT.values():
        for one, other in pairs:
            scope = _sure_scope()
            for key in range(1, 6):
                scope.add(Entry(id=UUID(int=key), question=one, vector=_SAME_VECTOR, answer_id=UUID(int=99)))
            assert scope.decide(other, _SAME_VECTOR, None, 0.5).kind != "hit", (one, other)


def test_the_same_scope_answers_a_paraphrase() -> None:
    scope = _sure_scope()
    scope.add(Entry(id=UUID(int=1), question="Where is my order?", vector=_SAME_VECTOR, answer_id=UUID(int=99)))
    assert scope.decide("where's my order", _SAME_VECTOR, None, 0.5).kind == "hit"


@given(st.text(max_size=200))
def test_any_text_can_be_read_and_is_like_itself(text: str) -> None:
    assert objection(read(text), read(text)) == ""


def _sure_scope() -> Scope:
    scope = Scope()
    for _ in range(1000):
        scope.observe(Observation(kind="miss", score=9.0, verdict="same"))
    return scope
