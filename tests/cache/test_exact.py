"""The exact cache: what was put comes back to its tenant, within its time and within its bytes."""

from typing import Literal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

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


# -- stale answers ---------------------------------------------------------------------------


def staling(clock: FakeClock, max_bytes: int = 100_000) -> ExactCache:
    """Answers are good for 60 s and kept for 100 s more."""
    return ExactCache(max_bytes=max_bytes, max_entry_bytes=10_000, ttl_s=60, stale_s=100, clock=clock.monotonic_s)


def test_an_answer_past_its_time_is_kept_for_who_asks_for_a_stale_one() -> None:
    clock = FakeClock()
    kept = staling(clock)
    kept.put(ALICE, "k", answer(kept))
    clock.advance(90)
    assert kept.get(ALICE, "k") is None
    found = kept.get_stale(ALICE, "k", 120)
    assert found is not None
    assert found[1] == 90
    assert kept.get_stale(ALICE, "k", 80) is None
    assert kept.get_stale(BOB, "k", 120) is None
    assert kept.hits == 0


def test_a_stale_answer_has_an_end_too() -> None:
    for look in ("get", "get_stale"):
        clock = FakeClock()
        kept = staling(clock)
        kept.put(ALICE, "k", answer(kept))
        clock.advance(161)
        assert (kept.get(ALICE, "k") if look == "get" else kept.get_stale(ALICE, "k", 1e9)) is None
        assert (len(kept), kept.bytes) == (0, 0)


def test_without_a_time_to_be_stale_nothing_is_kept_longer() -> None:
    clock = FakeClock()
    kept = cache(clock)
    kept.put(ALICE, "k", answer(kept))
    clock.advance(61)
    assert kept.get_stale(ALICE, "k", 1e9) is None
    assert kept.bytes == 0


def test_a_new_answer_takes_the_place_of_a_stale_one() -> None:
    clock = FakeClock()
    kept = staling(clock)
    kept.put(ALICE, "k", answer(kept, b"old"))
    clock.advance(90)
    kept.put(ALICE, "k", answer(kept, b"new"))
    found = kept.get(ALICE, "k")
    assert found is not None
    assert (found[0].body, len(kept)) == (b"new", 1)


def test_an_answer_kept_for_being_stale_alone_is_never_got_otherwise() -> None:
    kept = staling(FakeClock())
    kept.put(ALICE, "k", structs.replace(answer(kept), stale_only=True))
    assert kept.get(ALICE, "k") is None
    assert kept.get_stale(ALICE, "k", 60) is not None


def test_an_answer_kept_for_being_stale_alone_does_not_displace_a_good_one() -> None:
    clock = FakeClock()
    kept = staling(clock)
    kept.put(ALICE, "k", answer(kept, b"good"))
    other = structs.replace(answer(kept, b"other"), stale_only=True)
    kept.put(ALICE, "k", other)
    found = kept.get(ALICE, "k")
    assert found is not None
    assert found[0].body == b"good"
    clock.advance(61)
    kept.put(ALICE, "k", structs.replace(other, stored_s=kept.now()))
    stale = kept.get_stale(ALICE, "k", 60)
    assert stale is not None
    assert stale[0].body == b"other"


Step = tuple[Literal["put", "put stale", "get", "get stale", "wait"], int, int]
_steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put stale", "get", "get stale", "wait"]), st.integers(0, 5), st.integers(0, 150)
    ),
    max_size=60,
)


@given(_steps)
def test_keeping_stale_answers_changes_nothing_for_who_wants_good_ones(steps: list[Step]) -> None:
    clock = FakeClock()
    plain, kept = cache(clock), staling(clock)
    for what, key, amount in steps:
        body = b"%d" % amount
        if what == "put":
            plain.put(ALICE, key, answer(plain, body))
            kept.put(ALICE, key, answer(kept, body))
        elif what == "put stale":
            kept.put(ALICE, key, structs.replace(answer(kept, body), stale_only=True))
        elif what == "get stale":
            found = kept.get_stale(ALICE, key, amount)
            assert found is None or found[1] <= min(amount, 160)
        elif what == "wait":
            clock.advance(amount)
        assert kept.get(ALICE, key) == plain.get(ALICE, key)
    assert kept.hits == plain.hits


@given(_steps)
def test_its_bytes_are_those_of_its_entries_whatever_is_kept_and_why(steps: list[Step]) -> None:
    clock = FakeClock()
    kept = staling(clock, max_bytes=2_000)
    for what, key, amount in steps:
        if what == "get":
            kept.get(ALICE, key)
        elif what == "get stale":
            kept.get_stale(ALICE, key, amount)
        elif what == "wait":
            clock.advance(amount)
        else:
            stale_only = what == "put stale"
            kept.put(ALICE, key, structs.replace(answer(kept, b"x" * amount), stale_only=stale_only), key_bytes=amount)
        assert 512 * len(kept) <= kept.bytes <= 2_000
    kept.forget(ALICE)
    assert kept.bytes == 0
