"""What a success costs: the cost of all calls of the reported tasks, failed tasks and retries included, for each task
that succeeded. Pure sums; nothing that was spent is left out of sight."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tenfold.ledger.reports.types import LooseCost, Outcome, OutcomeLine, OutcomeReport, Range, TaskCost


class _Line(Struct, kw_only=True):
    successes: int = 0
    failures: int = 0
    calls: int = 0
    unpriced: int = 0
    total_nano: int = 0
    value_nano: int = 0
    untasked_calls: int = 0
    untasked_nano: int = 0
    open_tasks: int = 0
    open_calls: int = 0
    open_nano: int = 0

    def told(self, feature: str | None) -> OutcomeLine:
        facts = {name: getattr(self, name) for name in self.__struct_fields__}
        return OutcomeLine(feature=feature, nano_per_success=_per_success(self.total_nano, self.successes), **facts)


class OutcomeSums:
    """`add` each page of outcomes with the costs of its tasks, `add_loose` the rest, then `report`."""

    def __init__(self) -> None:
        self._total = _Line()
        self._features: dict[str, _Line] = {}
        self._uncalled = 0

    def add(self, outcomes: Sequence[Outcome], costs: Iterable[TaskCost]) -> None:
        by_task = {outcome.task: outcome for outcome in outcomes}
        called = set()
        for cost in costs:
            called.add(cost.task)
            line = self._feature(cost.feature)
            _count_task(line, by_task[cost.task])
            for each in (line, self._total):
                each.calls += cost.calls
                each.unpriced += cost.unpriced
                each.total_nano += cost.total_nano
        for outcome in outcomes:
            _count_task(self._total, outcome)
        self._uncalled += len(by_task.keys() - called)

    def add_loose(self, costs: Iterable[LooseCost]) -> None:
        for cost in costs:
            line = self._total if cost.feature is None else self._feature(cost.feature)
            if cost.tasks:
                line.open_calls += cost.calls
                line.open_nano += cost.total_nano
                line.open_tasks += cost.tasks
            else:
                line.untasked_calls += cost.calls
                line.untasked_nano += cost.total_nano

    def report(self, range_: Range) -> OutcomeReport:
        """The dearest feature first."""
        dearest = sorted(self._features.items(), key=lambda item: (-item[1].total_nano, item[0]))
        return OutcomeReport(
            range=range_,
            total=self._total.told(None),
            uncalled=self._uncalled,
            features=[line.told(feature or None) for feature, line in dearest],
        )

    def _feature(self, feature: str) -> _Line:
        return self._features.setdefault(feature, _Line())


def _count_task(line: _Line, outcome: Outcome) -> None:
    if outcome.outcome == "success":
        line.successes += 1
    else:
        line.failures += 1
    line.value_nano += outcome.value_nano or 0


def _per_success(total_nano: int, successes: int) -> int | None:
    """Rounded half to even; None without a success."""
    if not successes:
        return None
    whole, rest = divmod(total_nano, successes)
    return whole + (2 * rest > successes or (2 * rest == successes and whole & 1))
