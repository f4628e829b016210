"""What this process measures: the pathways of finished calls, and what others report. It keeps counts and no calls."""

from collections.abc import Iterable

from tenfold.app.slo import counts
from tenfold.app.slo.counts import CALLS, FAILED, SLOW, Counts
from tenfold.app.slo.types import Kind, Slo
from tenfold.app.slo_tables import Pathway
from tenfold.core.call import Call
from tenfold.core.errors import UpstreamError
from tenfold.inference.canonical import CanonicalDialect

_CLIENTS_FAULTS = frozenset((400, 413, 422))  # of a provider's: it refuses what the client wrote


class _Tally:
    """The counts of one objective since they were last fetched, and before."""

    def __init__(self, slo: Slo) -> None:
        self.slo = slo
        self.budget_s = slo.budget_s
        self.of_all = slo.feature is None and slo.model is None
        self.counts = counts.empty()
        self.before = (0, 0, 0)  # calls, failed, slow

    def fits(self, feature: str | None, model: str | None) -> bool:
        slo = self.slo
        return (slo.feature is None or slo.feature == feature) and (slo.model is None or slo.model == model)

    def totals(self) -> tuple[int, int, int]:
        """Calls, failed ones, slow ones since the process began."""
        calls, failed, slow = self.before
        return calls + self.counts[CALLS], failed + self.counts[FAILED], slow + self.counts[SLOW]


class Meter:
    """`take` is a tap of the call feed; `recorder` is for pathways that are no part of a call."""

    def __init__(self, slos: Iterable[Slo]) -> None:
        self._tallies = [_Tally(slo) for slo in slos]
        self._of: dict[Pathway, tuple[_Tally, ...]] = {
            pathway: tuple(tally for tally in self._tallies if tally.slo.pathway == pathway)
            for pathway in {tally.slo.pathway for tally in self._tallies}
        }

    def take(self, calls: list[Call]) -> None:
        """Counted are calls that ended well, and those that failed for no fault of their client."""
        note = self._note
        for call in calls:
            feature, model = call.options.feature, call.model
            auth_s = call.auth_s
            if auth_s is not None:
                note("auth", auth_s, True, feature, model)
            good = call.status == "ok"
            finished = call.finished
            if finished is None or not (good or _failed(call)):
                continue
            asked = call.asked
            if asked is not None:
                note("generate", finished - asked, good, feature, model)
            if call.dialect != CanonicalDialect.name:  # whoever calls from inside has a whole of its own
                note("end_to_end", call.waited_s + finished - call.started, good, feature, model)

    def recorder(self, feature: str) -> "Recorder":
        return Recorder(self, feature)

    def note(self, pathway: Pathway, seconds: float, *, good: bool, feature: str | None = None) -> None:
        self._note(pathway, seconds, good, feature, None)

    def fetch(self) -> dict[str, Counts]:
        """Name of the objective -> what was counted since the last `fetch`."""
        fetched = {}
        for tally in self._tallies:
            tally.before = tally.totals()
            fetched[tally.slo.name] = tally.counts
            tally.counts = counts.empty()
        return fetched

    def figures(self) -> Iterable[tuple[Slo, Kind, int, int]]:
        """Objective, kind, calls and good ones of this process since it began."""
        for tally in self._tallies:
            calls, failed, slow = tally.totals()
            yield tally.slo, "latency", calls - failed, calls - failed - slow
            if tally.slo.availability is not None:
                yield tally.slo, "availability", calls, calls - failed

    def _note(self, pathway: Pathway, seconds: float, good: bool, feature: str | None, model: str | None) -> None:
        for tally in self._of.get(pathway, ()):
            if tally.of_all or tally.fits(feature, model):
                if good:
                    counts.note(tally.counts, seconds, tally.budget_s)
                else:
                    counts.note_failed(tally.counts)


class Recorder:
    """Reports pathways of one feature: the port of `retrieval` and of `assistant`."""

    def __init__(self, meter: Meter, feature: str) -> None:
        self._meter = meter
        self._feature = feature

    def took(self, pathway: Pathway, seconds: float, *, good: bool = True) -> None:
        self._meter.note(pathway, seconds, good=good, feature=self._feature)


def _failed(call: Call) -> bool:
    """Whether it is ours or a provider's fault. A client that left, and what it may not or cannot ask, is neither."""
    if call.status == "cancelled":
        return False
    if call.status == "cut" or call.http_status >= 500:
        return True
    return isinstance(call.error, UpstreamError) and call.error.status not in _CLIENTS_FAULTS
