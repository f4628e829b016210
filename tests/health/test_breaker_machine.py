"""A breaker as a state machine: whatever ends in whatever order, what is promised of it holds after every step, and
once the provider is well it closes.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tenfold.health import BreakerPolicy, TargetHealth

POLICIES = st.builds(
    BreakerPolicy,
    min_failures=st.integers(1, 5),
    failure_rate=st.sampled_from([0.1, 0.5, 1.0]),
    slow_s=st.sampled_from([0.0, 0.0, 1.0]),
    cooldown_s=st.sampled_from([0.5, 2.0]),
    max_cooldown_s=st.sampled_from([2.0, 4.0]),
    probes=st.integers(1, 3),
    successes=st.integers(1, 3),
)
picks = st.integers(0, 1_000)
ROUNDING_S = 1e-6


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 50.0
        self.running: list[float] = []  # when each began
        self.probing: dict[int, float] = {}  # of them, those that were let in half open and said nothing yet
        self.numbers = 0
        self.opened_at = 0.0
        self.adopted = False  # an opening of others, whose time is their own
        self.told: list[str] = []

    @initialize(policy=POLICIES, dice=st.floats(0, 0.99))
    def start(self, policy: BreakerPolicy, dice: float) -> None:
        self.policy = policy
        self.health = TargetHealth(policy, changed=self.changed, dice=lambda: dice)

    def changed(self, health: TargetHealth) -> None:
        assert health.state in ("open", "closed")
        self.told.append(health.state)
        if health.state == "open":
            self.opened_at = self.now

    # -- what may happen ---------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.1, 0.5, 1.0, 3.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def call(self) -> None:
        health, was = self.health, self.health.state
        if not health.may_call(self.now):
            assert health.retry_after_s(self.now) > 0
            return
        if was == "open":
            shortest_s = self.policy.cooldown_s * 0.75 - ROUNDING_S
            assert self.now >= self.opened_at + shortest_s or self.adopted
            self.probing.clear()
        health.begin(self.now)
        assert health.state == ("closed" if was == "closed" else "half_open")
        if health.state == "half_open":
            patience = self.now - self.policy.max_cooldown_s
            self.probing = {number: began for number, began in self.probing.items() if began > patience}
            self.probing[self.numbers] = self.now
            assert len(self.probing) <= self.policy.probes
        self.numbers += 1
        self.running.append(self.now)

    def end(self, pick: int) -> float:
        return self.running.pop(pick % len(self.running))

    @precondition(lambda self: self.running)
    @rule(pick=picks)
    def succeed(self, pick: int) -> None:
        began = self.end(pick)
        self.health.succeeded(self.now, first_s=self.now - began, total_s=self.now - began)
        self.forget(began)

    @precondition(lambda self: self.running)
    @rule(pick=picks, known=st.booleans())
    def fail(self, pick: int, known: bool) -> None:
        began = self.end(pick)
        self.health.failed(self.now, "status", began=began if known else None)
        self.forget(began)

    @precondition(lambda self: self.running)
    @rule(pick=picks)
    def leave(self, pick: int) -> None:
        began = self.end(pick)
        self.health.neutral(self.now, began=began)
        self.forget(began)

    @precondition(lambda self: self.running)
    @rule(pick=picks, seconds=st.sampled_from([None, 0.0, 2.0]))
    def limit(self, pick: int, seconds: float | None) -> None:
        began = self.end(pick)
        self.health.limited(self.now, seconds, began=began)
        self.forget(began)

    @rule(left_s=st.sampled_from([-1.0, 0.5, 3.0]))
    def opened_elsewhere(self, left_s: float) -> None:
        self.health.adopt_open(self.now, left_s)
        self.adopted = True

    @rule()
    def closed_elsewhere(self) -> None:
        self.health.adopt_closed(self.now)
        assert self.health.state == "closed"

    def forget(self, began: float) -> None:
        """One of the probes that began then has ended. An attempt of the same moment that is none cannot be told apart:
        then the oldest is taken, which is what the breaker does."""
        for number, at in self.probing.items():
            if at == began:
                del self.probing[number]
                return

    # -- what holds --------------------------------------------------------------------------

    @invariant()
    def counts_are_right(self) -> None:
        if hasattr(self, "health"):
            assert self.health.in_flight == len(self.running)
            assert self.health.latency_s >= 0
            assert self.health.load(self.now) >= 0
            view = self.health.view(self.now)
            assert 0 <= view.failures <= view.calls

    @invariant()
    def nobody_waits_long(self) -> None:
        if hasattr(self, "health") and self.health.state == "open":
            assert self.health.open_left_s(self.now) <= self.policy.max_cooldown_s + ROUNDING_S

    def teardown(self) -> None:
        """The provider is well from here on: whatever was running hangs, and yet it closes."""
        if not hasattr(self, "health"):
            return
        deadline = self.now + 60 + 2 * self.policy.max_cooldown_s
        while self.health.state != "closed":
            self.now += 0.25
            assert self.now < deadline, "it never closed"
            if self.health.may_call(self.now):
                self.health.begin(self.now)
                self.health.succeeded(self.now, first_s=0.0, total_s=0.0)


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestBreakerMachine = Machine.TestCase
