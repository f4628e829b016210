"""The book of all objectives: what every process of the machine has counted, and what follows from it.

Each process adds what it counted every few seconds, under the lock of the shelf; so all see the same burn rates, an
alert begins and ends once, and counts outlive the process that made them. A process that is killed takes the last
seconds with it. What other machines count is not in it.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import DecodeError, Struct, field, msgpack

from tenfold.app.slo import burn
from tenfold.app.slo.burn import RULES, Share
from tenfold.app.slo.counts import BUDGET, CALLS, FAILED, SLOW, WINDOWS_S, Counts, Track, add, empty, quantile_s
from tenfold.app.slo.meter import Meter
from tenfold.app.slo.shelf import Busy, Shelf
from tenfold.app.slo.types import Change, Kind, Slo
from tenfold.app.telemetry.metrics import Figure, Labels
from tenfold.console.services import SloIndicator, SloStanding
from tenfold.core.clock import Clock

logger = logging.getLogger(__name__)

SHOWN = "1h"  # the window of the durations that are told
SEVERITIES = ("page", "ticket")


class State(Struct):
    """All of it. Monotonic times are those of one boot of the machine."""

    boot: str
    tracks: dict[str, Track] = field(default_factory=dict)
    firing: list[str] = field(default_factory=list)


class SloBook:
    """`tick` every few seconds; `standings` and `figures` are as of the last one."""

    def __init__(self, slos: Iterable[Slo], meter: Meter, shelf: Shelf, clock: Clock, *, boot: str) -> None:
        self._slos = list(slos)
        self._meter = meter
        self._shelf = shelf
        self._clock = clock
        self._state = State(boot=boot)
        self._pending: dict[str, Counts] = {}
        self._alone = False
        self._standings: list[SloStanding] = []

    async def tick(self) -> list[Change]:
        """Adds what this process has counted. The alerts that begin or end by it are this process's to tell."""
        for name, more in self._meter.fetch().items():
            self._pending[name] = add(self._pending[name], more) if name in self._pending else more
        try:
            changes = await asyncio.to_thread(self._exchange)
        except Busy:
            return []
        self._pending = {}
        return changes

    def standings(self) -> list[SloStanding]:
        """One for each objective; none before the first `tick`."""
        return self._standings

    def figures(self) -> Iterable[Figure]:
        """Counters of this process, and gauges that are the same in every process of the machine."""
        for slo, kind, calls, good in self._meter.figures():
            labels = (("slo", slo.name), ("pathway", slo.pathway), ("objective", kind))
            yield "tenfold_slo_calls_total", labels, calls
            yield "tenfold_slo_good_total", labels, good
        for standing in self._standings:
            whose = (("slo", standing.name), ("pathway", standing.pathway))
            if standing.p95_ms is not None:
                yield "tenfold_slo_p95_seconds", whose, standing.p95_ms / 1000
            yield from _indicator_figures((*whose, ("objective", "latency")), standing.latency, standing.alerts)
            if standing.availability is not None:
                available = (*whose, ("objective", "availability"))
                yield from _indicator_figures(available, standing.availability, standing.alerts)

    def _exchange(self) -> list[Change]:
        """In a thread: nobody else touches the state meanwhile."""
        mine = self._state
        changes: list[Change] = []

        def step(kept: bytes) -> bytes:
            changes.extend(self._advance(_decoded(kept, mine.boot)))
            return msgpack.encode(self._state)

        try:
            self._shelf.change(step)
        except OSError as error:
            if not self._alone:
                logger.warning("each process watches its own objectives, the disk refuses: %s", error)
            self._alone = True
            return self._advance(mine)
        self._alone = False
        return changes

    def _advance(self, state: State) -> list[Change]:
        """What was counted goes in; what is not configured any more goes out."""
        now_s = self._clock.monotonic_s()
        advanced = State(boot=state.boot)
        changes: list[Change] = []
        standings = []
        for slo in self._slos:
            track = _track_of(state, slo)
            lengths_s = {**WINDOWS_S, BUDGET: slo.window_days * 86_400.0}
            track.put(self._pending.get(slo.name) or empty(), now_s, lengths_s)
            advanced.tracks[slo.name] = track
            totals = {window: track.total(window) for window in lengths_s}
            firing = [*_firing(slo, totals)] if slo.alerts else []
            advanced.firing += [_key(each) for each in firing]
            changes += _changes(slo, totals, firing, state.firing)
            standings.append(_standing(slo, totals, firing))
        self._state, self._standings = advanced, standings
        return changes


def boot_of_machine() -> str:
    """Tells one boot of the machine from another: monotonic clocks begin anew with each."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _decoded(kept: bytes, boot: str) -> State:
    """What is of another boot, or of another version, is no help."""
    try:
        state = msgpack.decode(kept, type=State) if kept else State(boot=boot)
    except DecodeError:
        logger.warning("what was counted for the objectives cannot be read; it begins anew")
        return State(boot=boot)
    return state if state.boot == boot else State(boot=boot)


def _track_of(state: State, slo: Slo) -> Track:
    about = f"{slo.pathway} {slo.budget_s:g} {slo.window_days} {slo.feature!r} {slo.model!r}"
    track = state.tracks.get(slo.name)
    return track if track is not None and track.about == about else Track(about=about)


def _share(totals: Mapping[str, Counts], window: str, kind: Kind) -> Share:
    counts = totals[window]
    if kind == "availability":
        return Share(counts[FAILED], counts[CALLS])
    return Share(counts[SLOW], counts[CALLS] - counts[FAILED])


def _alert(slo: Slo, totals: Mapping[str, Counts], kind: Kind, rule: burn.Rule, firing: bool) -> Change:
    allowed = slo.allowed[kind]
    return Change(
        slo=slo,
        kind=kind,
        severity=rule.severity,
        firing=firing,
        burn_rate=burn.burn_rate(_share(totals, rule.long, kind), allowed),
        window=rule.long,
        budget_left=burn.budget_left(_share(totals, BUDGET, kind), allowed),
    )


def _firing(slo: Slo, totals: Mapping[str, Counts]) -> Iterable[Change]:
    for kind, allowed in slo.allowed.items():
        shares = {window: _share(totals, window, kind) for window in WINDOWS_S}
        for rule in burn.alerts(shares, allowed).values():
            yield _alert(slo, totals, kind, rule, True)


def _changes(slo: Slo, totals: Mapping[str, Counts], firing: list[Change], before: list[str]) -> Iterable[Change]:
    """What begins, and what has ended: nothing when it stays as it is."""
    yield from (each for each in firing if _key(each) not in before)
    now = {_key(each) for each in firing}
    if slo.alerts:
        for kind in slo.allowed:
            for rule in {rule.severity: rule for rule in reversed(RULES)}.values():
                ended = _alert(slo, totals, kind, rule, False)
                if _key(ended) in before and _key(ended) not in now:
                    yield ended


def _key(change: Change) -> str:
    return f"{change.slo.name} {change.kind} {change.severity}"


def _standing(slo: Slo, totals: Mapping[str, Counts], firing: list[Change]) -> SloStanding:
    shown = totals[SHOWN]
    return SloStanding(
        name=slo.name,
        pathway=slo.pathway,
        feature=slo.feature,
        model=slo.model,
        window_days=slo.window_days,
        alerts=slo.alerts,
        p95_budget_ms=slo.budget_s * 1000,
        p50_ms=_ms(quantile_s(shown, 0.5)),
        p95_ms=_ms(quantile_s(shown, 0.95)),
        p99_ms=_ms(quantile_s(shown, 0.99)),
        latency=_indicator(slo, totals, firing, "latency"),
        availability=None if slo.availability is None else _indicator(slo, totals, firing, "availability"),
    )


def _indicator(slo: Slo, totals: Mapping[str, Counts], firing: list[Change], kind: Kind) -> SloIndicator:
    allowed = slo.allowed[kind]
    return SloIndicator(
        objective=slo.objective if kind == "latency" or slo.availability is None else slo.availability,
        burn_rates={window: burn.burn_rate(_share(totals, window, kind), allowed) for window in WINDOWS_S},
        budget_left=burn.budget_left(_share(totals, BUDGET, kind), allowed),
        firing=tuple(each.severity for each in firing if each.kind == kind),
    )


def _indicator_figures(labels: Labels, indicator: SloIndicator, alerts: bool) -> Iterable[Figure]:
    yield "tenfold_slo_budget_left", labels, indicator.budget_left
    for window, rate in indicator.burn_rates.items():
        yield "tenfold_slo_burn_rate", (*labels, ("window", window)), rate
    for severity in SEVERITIES if alerts else ():
        yield "tenfold_slo_alert", (*labels, ("severity", severity)), severity in indicator.firing


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
