"""Turns as numbers: the bound that is promised, for whatever tenants, weights and claims."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.rules import Turn, aged_among, allot, ended_event, eta_s, fitting, kept_s, order_digest
from tenfold.jobs.types import AGED_EVERY, KEEP_DEAD_S, NewJob, Progress

TENANTS = [TenantId(uuid7()) for _ in range(4)]


class Queue:
    """Tenants with nothing but numbers of jobs."""

    def __init__(self, weights: list[int]) -> None:
        self.weights = dict(zip(TENANTS, weights, strict=True))
        self.turns = dict.fromkeys(TENANTS, 0.0)
        self.waiting: Counter[TenantId] = Counter()
        self.clock = 0.0

    def claim(self, limit: int) -> list[dict[TenantId, int]]:
        """What came next, one job at a time."""
        got = []
        for _ in range(limit):
            turns = [
                Turn(tenant_id=of, turn=self.turns[of], weight=self.weights[of], ready=count)
                for of, count in self.waiting.items()
                if count
            ]
            before = self.clock
            allotted, self.clock = allot(turns, clock=before, limit=1)
            for of, count in allotted.items():
                self.turns[of] = max(self.turns[of], before) + count / self.weights[of]
                self.waiting[of] -= count
            got.append(allotted)
        return got


steps = st.lists(
    st.one_of(st.tuples(st.sampled_from(range(4)), st.integers(1, 30)), st.integers(1, 20)), min_size=1, max_size=40
)
weights = st.lists(st.integers(1, 12), min_size=4, max_size=4)


@given(weights, steps)
def test_while_a_tenant_waits_each_other_has_only_so_many(
    weights: list[int], steps: list[tuple[int, int] | int]
) -> None:
    queue = Queue(weights)
    since: dict[TenantId, Counter[TenantId]] = {}
    for step in steps:
        if isinstance(step, tuple):
            of = TENANTS[step[0]]
            if not queue.waiting[of]:
                since[of] = Counter()
            queue.waiting[of] += step[1]
            continue
        for one in queue.claim(step):
            for got in one:
                since[got] = Counter()
                for of, others in since.items():
                    if of != got and queue.waiting[of]:
                        others[got] += 1
                        assert others[got] <= queue.weights[got] // queue.weights[of] + 1


@given(weights, st.lists(st.integers(0, 40), min_size=4, max_size=4), st.integers(1, 60))
def test_one_claim_of_many_is_as_many_of_one(weights: list[int], waiting: list[int], limit: int) -> None:
    one, many = Queue(weights), Queue(weights)
    one.waiting.update(dict(zip(TENANTS, waiting, strict=True)))
    many.waiting.update(one.waiting)
    turns = [Turn(tenant_id=of, turn=0.0, weight=one.weights[of], ready=n) for of, n in one.waiting.items() if n]
    allotted, clock = allot(turns, clock=0.0, limit=limit)
    apart: Counter[TenantId] = Counter()
    for got in many.claim(limit):
        apart.update(got)
    assert allotted == {of: count for of, count in apart.items() if count}
    assert clock == pytest.approx(many.clock)


@given(weights, st.integers(50, 200))
def test_the_shares_are_the_weights(weights: list[int], limit: int) -> None:
    queue = Queue(weights)
    queue.waiting.update(dict.fromkeys(TENANTS, 1000))
    got: Counter[TenantId] = Counter()
    for one in queue.claim(limit):
        got.update(one)
    for of, weight in queue.weights.items():
        fair = limit * weight / sum(weights)
        # Each has at most one round more or less than its share: a round is one turn of the clock.
        assert abs(got[of] - fair) <= weight + 1


@given(st.integers(0, 1000), st.lists(st.integers(0, 20), max_size=20))
def test_every_fourth_is_an_old_one_however_they_are_claimed(claimed: int, claims: list[int]) -> None:
    at, old = claimed, 0
    for count in claims:
        old += aged_among(at, count)
        at += count
    assert old == at // AGED_EVERY - claimed // AGED_EVERY


def new_job(size: int) -> NewJob:
    return NewJob(kind="k", principal=Principal(tenant_id=TENANTS[0], tenant_slug="a"), input=b"x" * size)


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 10), st.integers(0, 300))
def test_what_fits_is_within_the_bounds_and_no_more_would(sizes: list[int], most: int, most_bytes: int) -> None:
    jobs = [new_job(size) for size in sizes]
    found = fitting(jobs, waiting=2, waiting_bytes=10, most=most, most_bytes=most_bytes)
    total = 10 + sum(len(new.input) for new in found)
    if found:
        assert len(found) + 2 <= most
        assert total <= most_bytes
    for new in jobs:
        if new not in found:
            assert len(found) + 2 >= most or total + len(new.input) > most_bytes


def test_when_it_will_be_ready() -> None:
    assert eta_s(Progress(done=3, total=4), 30) == 10
    assert eta_s(Progress(done=4, total=4), 30) == 0
    assert eta_s(Progress(done=5, total=4), 30) == 0
    assert eta_s(Progress(done=0, total=4), 30) is None
    assert eta_s(Progress(done=3), 30) is None


def test_how_long_it_is_kept() -> None:
    new = NewJob(kind="k", principal=Principal(tenant_id=TENANTS[0], tenant_slug="a"), keep_s=5)
    assert kept_s(new, "done") == kept_s(new, "cancelled") == 5
    assert kept_s(new, "failed") == KEEP_DEAD_S


def test_an_order_key_is_not_written_where_no_tenant_is() -> None:
    assert order_digest(None) is None
    digest = order_digest("customer-17")
    assert digest is not None
    assert len(digest) == 16
    assert digest != order_digest("customer-18")


def test_the_last_event() -> None:
    assert ended_event("done") == b'{"state":"done","error":null}'
    assert ended_event("failed", "c", "m") == b'{"state":"failed","error":{"code":"c","message":"m"}}'
