"""The exact cache: what was put comes back to its tenant, within its time and within its bytes."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tenfold.cache.exact import Answer, ExactCache
from tenfold.core.clock import FakeClock

ALICE, BOB = UUID(int=1), UUID(int=2)


def cache(clock: FakeClock | None = None, **bounds: int) -> ExactCache:
    clock = clock or FakeClock()
    return ExactCache(
        max_bytes=bounds.get("max_bytes", 100_000),
        max_entry_bytes=bounds.get("max_entry_bytes", 10_000),
        ttl_s=60,
        clock=clock.monotonic_s,
    )


def answer(owner: ExactCache, body: bytes = b"{}") -> Answer:
    return Answer(
        body=body,
        stream=False,
        usage=None,
        provider="p",
        model="m",
        upstream_model="m",
        served_by="",
        on_request=False,
        stored_s=owner.now(),
    )


def test_an_answer_comes_back_with_its_age() -> None:
    clock = FakeClock()
    kept = cache(clock)
    kept.put(ALICE, "k", answer(kept))
    clock.advance(5)
    found = kept.get(ALICE, "k")
    assert found is not None
    assert found[0].body == b"{}"
    assert found[1] == 5
    assert kept.hits == 1


def test_another_tenant_never_sees_it() -> None:
    kept = cache()
    kept.put(ALICE, "k", answer(kept))
    assert kept.get(BOB, "k") is None
    assert kept.hits == 0


def test_an_answer_older_than_its_time_is_gone() -> None:
    clock = FakeClock()
    kept = cache(clock)
    kept.put(ALICE, "k", answer(kept))
    clock.advance(61)
    assert kept.get(ALICE, "k") is None
    assert len(kept) == 0
    assert kept.bytes == 0


def test_a_request_may_want_a_younger_answer() -> None:
    clock = FakeClock()
    kept = cache(clock)
    kept.put(ALICE, "k", answer(kept))
    clock.advance(10)
    assert kept.get(ALICE, "k", max_age_s=5) is None
    assert kept.get(ALICE, "k", max_age_s=15) is not None


def test_a_large_answer_is_not_kept() -> None:
    kept = cache(max_entry_bytes=10)
    kept.put(ALICE, "k", answer(kept, b"x" * 11))
    assert len(kept) == 0


def test_a_tenant_is_forgotten_whole_and_alone() -> None:
    kept = cache()
    kept.put(ALICE, "a", answer(kept))
    kept.put(ALICE, "b", answer(kept))
    kept.put(BOB, "a", answer(kept))
    assert kept.forget(ALICE) == 2
    assert kept.get(ALICE, "a") is None
    assert kept.get(BOB, "a") is not None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3000)), max_size=200))
def test_it_stays_within_its_bytes_and_keeps_the_last_used(puts: list[tuple[int, int]]) -> None:
    kept = cache(max_bytes=8_000)
    for key, size in puts:
        kept.put(ALICE, key, answer(kept, b"x" * size))
        assert kept.bytes <= 8_000
        found = kept.get(ALICE, key)
        assert found is not None
        assert len(found[0].body) == size
    kept.forget(ALICE)
    assert kept.bytes == 0
