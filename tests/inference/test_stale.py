"""Stale answers: what is kept for the day when no provider answers, and who may have it."""

import pytest

from tenfold.cache.exact import ExactCache
from tenfold.core.call import DEFAULT_OPTIONS, Call, CallOptions, Step
from tenfold.core.clock import FakeClock
from tenfold.core.principal import Principal
from tenfold.core.usage import Usage
from tenfold.inference.admit import Held
from tenfold.inference.bound import Bound
from tenfold.inference.lookup import Lookup
from tenfold.inference.settle import settle
from tests.support.pipeline import DIALECTS, asking, principal

ACME, OTHER = principal("acme"), principal("other")
WARM, ZERO = asking("openai", temperature=1), asking("openai", temperature=0)
STREAMED = asking("openai", temperature=1, stream=True)
EXACT, NO_CACHE, NO_STORE = (CallOptions(cache=frozenset({word})) for word in ("exact", "no-cache", "no-store"))


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cache = ExactCache(
            max_bytes=100_000, max_entry_bytes=10_000, ttl_s=60, stale_s=600, clock=self.clock.monotonic_s
        )
        self.lookup = Lookup(self.cache, "deterministic")

    def answered(
        self,
        body: bytes,
        said: bytes,
        *,
        options: CallOptions = DEFAULT_OPTIONS,
        whose: Principal = ACME,
        degraded: tuple[Step, ...] = (),
    ) -> None:
        """A provider answered a call of a feature that declares the stale step."""
        call = self.peeked(body, options=options, whose=whose)
        call.provider, call.upstream_model, call.degraded = "main", "m-2026", degraded
        key = self.lookup.key(call)
        if key is None:
            key = self.lookup.stale_key(call)
        if key is not None:
            self.lookup.store(call, key, said)

    def stale(self, body: bytes, *, options: CallOptions = DEFAULT_OPTIONS, whose: Principal = ACME) -> bytes | None:
        call = self.peeked(body, options=options, whose=whose)
        found = self.lookup.stale(call, self.lookup.stale_key(call), 300)
        assert (found is not None) == (call.cache_state == "hit")
        return None if found is None else found.body

    def fresh(self, body: bytes, *, options: CallOptions = DEFAULT_OPTIONS) -> Call | None:
        """The call, when the cache answers it as usual."""
        call = self.peeked(body, options=options)
        if self.lookup.by_bytes(call) is not None:
            return call
        key = self.lookup.key(call)
        return call if key is not None and self.lookup.by_meaning(call, key) is not None else None

    def peeked(self, body: bytes, *, options: CallOptions = DEFAULT_OPTIONS, whose: Principal = ACME) -> Call:
        call = Call(principal=whose, operation="chat", dialect="openai", body=body, options=options)
        call.peek = DIALECTS["openai"].peek("chat", body)
        call.model, call.stream = call.peek.model, call.peek.stream
        return call


@pytest.fixture
def world() -> World:
    return World()


def test_an_answer_that_may_not_be_reused_is_kept_for_being_stale_alone(world: World) -> None:
    world.answered(WARM, b"a")
    assert world.stale(WARM) == b"a"
    assert world.fresh(WARM) is None
    assert world.fresh(WARM, options=EXACT) is None
    assert world.peeked(WARM).cache_state == "bypass"


def test_an_answer_past_its_time_is_stale_and_not_fresh(world: World) -> None:
    world.answered(ZERO, b"a")
    world.clock.advance(61)
    assert world.fresh(ZERO) is None
    assert world.stale(ZERO) == b"a"
    world.clock.advance(300)
    assert world.stale(ZERO) is None


def test_the_call_knows_how_old_its_answer_is_and_who_gave_it(world: World) -> None:
    world.answered(WARM, b"a")
    world.clock.advance(61)
    call = world.peeked(WARM)
    assert world.lookup.stale(call, world.lookup.stale_key(call), 300) is not None
    assert (call.cache_state, call.cached_age_s, call.provider, call.upstream_model) == ("hit", 61, "main", "m-2026")


def test_a_stale_answer_never_crosses_tenants(world: World) -> None:
    world.answered(WARM, b"a")
    assert world.stale(WARM, whose=OTHER) is None


def test_a_stale_answer_is_to_the_same_question_in_the_same_form(world: World) -> None:
    world.answered(WARM, b"a")
    assert world.stale(asking("openai", temperature=1, seed=1)) is None
    assert world.stale(STREAMED) is None
    world.answered(STREAMED, b"data: a\n\n")
    assert world.stale(STREAMED) == b"data: a\n\n"
    assert world.stale(WARM) == b"a"


def test_a_request_may_want_no_stale_answer(world: World) -> None:
    world.answered(WARM, b"a")
    assert world.stale(WARM, options=NO_CACHE) is None
    assert world.stale(WARM, options=NO_STORE) is None


def test_a_request_may_want_its_answer_not_kept(world: World) -> None:
    world.answered(WARM, b"a", options=NO_STORE)
    assert len(world.cache) == 0


def test_an_answer_for_being_stale_alone_leaves_the_one_that_was_asked_to_be_kept(world: World) -> None:
    world.answered(WARM, b"kept on request", options=EXACT)
    world.answered(WARM, b"other")
    assert world.fresh(WARM, options=EXACT) is not None
    assert world.stale(WARM) == b"kept on request"


def test_a_stream_that_was_begun_anew_half_way_is_not_kept(world: World) -> None:
    world.answered(asking("openai", temperature=0, stream=True), b"half, whole", degraded=("restart",))
    assert len(world.cache) == 0


def test_who_gets_the_answer_of_a_fallback_from_the_cache_is_told(world: World) -> None:
    world.answered(ZERO, b"a", degraded=("fallback",))
    call = world.fresh(ZERO)
    assert call is not None
    assert call.degraded == ("fallback",)


def test_a_stale_answer_leaves_the_steps_that_were_taken_before_it(world: World) -> None:
    world.answered(WARM, b"a", degraded=("escalate",))
    call = world.peeked(WARM)
    call.degraded = ("fallback",)
    assert world.lookup.stale(call, world.lookup.stale_key(call), 300) is not None
    assert call.degraded == ("fallback",)


# -- what it costs ---------------------------------------------------------------------------


def settled(*, unanswered: bool = False, lost_nano: int = 0) -> Call:
    """A stale answer of 12 tokens, after attempts that may be billed."""
    world = World()
    call = world.peeked(WARM)
    call.cache_state, call.usage, call.degraded = "hit", Usage(input_tokens=12, output_tokens=3), ("stale",)
    call.unanswered, call.lost_nano = unanswered, lost_nano
    held = Held(tell_budget=False)
    held.bound = Bound(input_tokens=900, output_tokens=100, nano=50, input_nano=30, output_nano=20)
    call.admission = held
    settle(call, None)
    return call


def test_a_stale_answer_costs_nothing() -> None:
    call = settled()
    assert (call.cost_nano, call.usage, call.estimated) == (0, Usage(input_tokens=12, output_tokens=3), False)


def test_attempts_before_a_stale_answer_that_may_be_billed_are_charged() -> None:
    lost = settled(lost_nano=70)
    assert (lost.cost_nano, lost.estimated) == (70, True)
    both = settled(lost_nano=70, unanswered=True)
    assert (both.cost_nano, both.usage) == (120, Usage(input_tokens=900, output_tokens=100))
