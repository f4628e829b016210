"""What is known of one target (a model of a provider): whether it may be called, how long it takes, how busy it is.

Made of the ends of attempts, in memory, on the path of the call: no I/O and no lock. It calls nobody and
decides nothing but "not now".
"""

import random
from collections.abc import Callable
from math import exp

from tenfold.health.types import BreakerPolicy, Fault, HealthView, State
from tenfold.health.window import Window

LATENCY_DECAY_S = 10.0  # a peak has gone by 63 % after so long
_DURATION_WEIGHT = 0.1  # of the newest sample
_UNKNOWN_LOAD = 1e6  # seconds: a target nobody has an answer from yet gets one call, and then no other until it answers
_RUN_S = 0.5  # failures in a row say something when they go on for so long,
_RUN_RATE = 0.8  # and are so much of what began meanwhile
_MAX_REST_S = 60.0
_FIRST_REST_S = 0.2
_MAX_OWN_REST_S = 10.0  # where the provider does not say how long
_PROBING_S = 1.0  # told to those who ask when a probe will have come back
_ROUNDING_S = 1e-6

DEFAULT_POLICY = BreakerPolicy()


def rest_s(asked_s: float | None, backoffs: int) -> float:
    """How long to leave alone whoever has too much to do: as long as it asked for, or as long as we think, longer each
    time."""
    if asked_s is not None:
        return min(max(asked_s, 0.0), _MAX_REST_S)
    return min(_FIRST_REST_S * (1 << min(backoffs, 10)), _MAX_OWN_REST_S)


class TargetHealth:
    """`begin` an attempt where `may_call` says so, and end it with exactly one of `succeeded`, `failed`, `limited` and
    `neutral`. `now` is of one monotonic clock, and so is `began`: the `now` of the attempt's `begin`. With it, what
    began before the breaker changed says nothing of the state it is in (calls that hung when a provider went down time
    out long after it is back). Without it, an end is taken to be of an attempt that began since.

    Attributes are read, not written, by others. `state` stays "open" until the first call after the cool-down begins.
    """

    __slots__ = (
        "_answered",
        "_backoffs",
        "_changed",
        "_dice",
        "_latency_at",
        "_openings",
        "_overdue",
        "_policy",
        "_probed_at",
        "_probes",
        "_run",
        "_run_begun",
        "_run_since",
        "_since",
        "_successes",
        "_uneasy",
        "_until",
        "_window",
        "begun",
        "duration_s",
        "in_flight",
        "latency_s",
        "model",
        "opened_total",
        "provider",
        "rests_until",
        "state",
    )

    def __init__(
        self,
        policy: BreakerPolicy = DEFAULT_POLICY,
        *,
        provider: str = "",
        model: str = "",
        changed: Callable[["TargetHealth"], None] | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`changed` is called when the breaker opens or closes of its own experience; `dice` gives [0, 1)."""
        self.provider = provider
        self.model = model
        self.state: State = "closed"
        self.rests_until = 0.0
        self.in_flight = 0
        self.begun = 0
        self.latency_s = 0.0  # peak EWMA of the time to the first token, or to the whole reply where it comes as one
        self.duration_s = 0.0  # EWMA
        self.opened_total = 0
        self._policy = policy
        self._changed = changed
        self._dice = dice
        self._window = Window(policy.window_s)
        self._latency_at = 0.0
        self._uneasy = policy.slow_s > 0  # whether a success is more than a count
        self._since = 0.0  # ends of attempts that began before it do not count
        self._until = 0.0  # of the cool-down
        self._openings = 0  # without a closing in between
        self._backoffs = 0
        self._run = 0  # failures in a row
        self._run_since = 0.0
        self._run_begun = 0
        # Probes under way: those that hold one of the places, those that began to answer, those that take too long.
        self._probes = self._answered = self._overdue = 0
        self._probed_at = 0.0
        self._successes = 0  # of probes

    # -- before an attempt -------------------------------------------------------------------

    def may_call(self, now: float) -> bool:
        if self.state == "closed":
            return now >= self.rests_until
        if now < self.rests_until:
            return False
        if self.state == "open":
            return now >= self._until
        # A probe that hangs must not keep the others out: after a while the next one may try.
        return self._probes < self._policy.probes or now - self._probed_at >= self._policy.max_cooldown_s

    def retry_after_s(self, now: float) -> float:
        """When a call may be tried again, from now on; 0 when it may."""
        wait_s = max(0.0, self.rests_until - now)
        if self.state == "open":
            return max(wait_s, self._until - now)
        if self.state == "half_open" and not self.may_call(now):
            return max(wait_s, _PROBING_S)
        return wait_s

    def load(self, now: float, calls: int | None = None) -> float:
        """What a choice between equal targets goes by (as Finagle's peak EWMA): latency, forgotten while nobody asks,
        times the calls it would then have. `calls`: those to count in place of all that are in flight."""
        if calls is None:
            calls = self.in_flight
        if not self.latency_s:
            return _UNKNOWN_LOAD + calls if self.in_flight else 0.0
        idle_s = now - self._latency_at
        latency_s = self.latency_s * exp(-idle_s / LATENCY_DECAY_S) if idle_s > 0 else self.latency_s
        return latency_s * (calls + 1)

    def begin(self, now: float) -> None:
        """An attempt starts."""
        self.in_flight += 1
        self.begun += 1
        if self.state != "closed":
            self._begin_probe(now)

    # -- its end -----------------------------------------------------------------------------

    def answered(self, now: float, *, began: float) -> None:
        """The first token is there; the attempt goes on. Said of streams, so that a long one closes the breaker when it
        begins and not when it ends. Optional."""
        if not self._uneasy or began < self._since or 0 < self._policy.slow_s < now - began:
            return
        if self.state == "half_open" and self._probes:
            self._probes -= 1
            self._answered += 1
            self._probe_succeeded(now)
        elif self._run and began >= self._run_since:
            self._run = 0

    def succeeded(self, now: float, *, first_s: float, total_s: float) -> None:
        """The whole reply is there: `first_s` after `begin` its first token (or the whole of it, where it came as one),
        `total_s` after `begin` its end."""
        self.in_flight -= 1
        above_s = self.latency_s - first_s
        if above_s <= 0:  # peak EWMA: up at once, down slowly
            self.latency_s = first_s
            self._latency_at = now
        elif now > self._latency_at:
            self.latency_s = first_s + above_s * exp((self._latency_at - now) / LATENCY_DECAY_S)
            self._latency_at = now
        before_s = self.duration_s
        self.duration_s = before_s + (total_s - before_s) * _DURATION_WEIGHT if before_s else total_s
        if self._uneasy:
            self._succeeded(now, first_s, now - total_s + _ROUNDING_S)
            return
        window = self._window
        if now < window.ends:
            window.calls += 1
            window.here += 1
        else:
            window.count(now, 1, 0, 0, self.begun)

    def failed(self, now: float, fault: Fault, *, began: float | None = None) -> None:
        self.in_flight -= 1
        if fault == "timeout" and began is not None:
            self.latency_s, self._latency_at = max(self.latency_s, now - began), now
        if self.state == "open" or (began is not None and began < self._since):
            return
        if self.state == "half_open":
            self._open(now)
            return
        policy, window = self._policy, self._window
        window.count(now, 1, 1, 0, self.begun)
        if self._run == 0:
            self._run, self._run_since, self._run_begun = 1, now, self.begun - 1
            self._uneasy = True
        elif began is None or began >= self._run_since:
            self._run += 1
        # Answers end long after failures that began with them: those that may yet succeed count against both rules. And
        # answers begun long before end long after a provider stopped taking calls: a run counts what began since.
        is_rate = window.failures >= policy.min_failures and (
            window.failures >= policy.failure_rate * max(window.calls, window.marked(self.begun))
        )
        is_run = (
            self._run >= policy.min_failures
            and now - self._run_since >= _RUN_S
            and self._run >= _RUN_RATE * (self.begun - self._run_begun)
        )
        if is_rate or is_run:
            self._open(now)

    def limited(self, now: float, retry_after_s: float | None, *, began: float | None = None) -> None:
        """The provider has too much to do, or had too much of us: no failure of it, but it rests as long as it asked
        for (a minute at most), or as long as we think, longer each time."""
        self.neutral(now, began=began)
        backoffs = self._backoffs
        if retry_after_s is None:
            if now < self.rests_until:
                return  # one of many that were on their way together
            self._backoffs += 1
            self._uneasy = True
        self.rests_until = max(self.rests_until, now + rest_s(retry_after_s, backoffs))

    def neutral(self, now: float, *, began: float | None = None) -> None:
        """The client left, or it was the client's mistake: this says nothing of the target."""
        self.in_flight -= 1
        if self.state == "half_open" and (began is None or began >= self._since):
            self._end_probe()

    # -- what other processes found ----------------------------------------------------------

    def adopt_open(self, now: float, left_s: float) -> None:
        """Another process opened it: here it is open for as long as there."""
        if left_s <= 0:
            return
        until = now + min(left_s, self._policy.max_cooldown_s)
        self._until = max(self._until, until) if self.state == "open" else until
        self._enter("open", now)

    def adopt_closed(self, now: float) -> None:
        """Another process found that it is well."""
        if self.state != "closed":
            self._close(now)

    def open_left_s(self, now: float) -> float:
        return max(0.0, self._until - now) if self.state == "open" else 0.0

    def view(self, now: float) -> HealthView:
        self._window.roll(now, self.begun)
        is_over = self.state == "open" and now >= self._until
        return HealthView(
            provider=self.provider,
            model=self.model,
            state="half_open" if is_over else self.state,
            open_s=self.open_left_s(now),
            rests_s=max(0.0, self.rests_until - now),
            in_flight=self.in_flight,
            calls=self._window.calls,
            failures=self._window.failures,
            slow=self._window.slow,
            latency_s=self.latency_s,
            duration_s=self.duration_s,
            opened_total=self.opened_total,
        )

    # -- inside ------------------------------------------------------------------------------

    def _succeeded(self, now: float, first_s: float, began: float) -> None:
        """A success that is more than a count."""
        if self.state == "open" or began < self._since:
            return
        is_slow = 0 < self._policy.slow_s < first_s
        if self.state == "half_open":
            if is_slow:
                self._open(now)
            elif self._answered:
                self._answered -= 1  # counted when it began to answer
            else:
                self._end_probe()
                self._probe_succeeded(now)
            return
        policy, window = self._policy, self._window
        window.count(now, 1, 0, is_slow, self.begun)
        if is_slow and window.slow >= policy.min_failures and window.slow >= policy.slow_rate * window.calls:
            self._open(now)
            return
        self._backoffs = 0
        if self._run and began >= self._run_since:
            self._run = 0
        self._uneasy = self._run > 0 or policy.slow_s > 0

    def _begin_probe(self, now: float) -> None:
        if self.state == "open":
            if now < self._until:
                return  # nobody should have called; how it ends does not matter
            self._enter("half_open", now)
        elif self._probes >= self._policy.probes:
            self._probes -= 1  # it takes long, and holds its place no more
            self._overdue += 1
        self._probes += 1
        self._probed_at = now

    def _end_probe(self) -> None:
        """One that held no place is taken to have ended before one that did, so that none is given up too early."""
        if self._overdue:
            self._overdue -= 1
        elif self._answered:
            self._answered -= 1
        elif self._probes:
            self._probes -= 1

    def _probe_succeeded(self, now: float) -> None:
        self._successes += 1
        if self._successes >= self._policy.successes:
            self._close(now)
            self._tell()

    def _open(self, now: float) -> None:
        policy = self._policy
        longest_s = min(policy.cooldown_s * 2**self._openings, policy.max_cooldown_s)
        self._openings = min(self._openings + 1, 30)
        self._until = now + longest_s * (0.75 + 0.25 * self._dice())  # so that processes do not ask all at once
        self.opened_total += 1
        self._enter("open", now)
        self._tell()

    def _close(self, now: float) -> None:
        self._openings = self._backoffs = 0
        self._enter("closed", now)

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        self._since = now
        self._window.clear(self.begun)
        self._run = self._probes = self._answered = self._overdue = self._successes = 0
        self._uneasy = state != "closed" or self._policy.slow_s > 0

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed(self)
