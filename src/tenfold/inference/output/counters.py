"""How often replies keep what was promised, by model: the valid rate is that of `valid` to all."""

from collections.abc import Iterator
from typing import Literal

Outcome = Literal["valid", "repaired_locally", "repaired_by_model", "escalated", "failed"]

_MOST_MODELS = 500


class OutputCounters:
    """Of one process. Each reply that was held to a promise is counted once, under what came of it at last."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, Outcome], int] = {}
        self._models: set[str] = set()

    def count(self, model: str, outcome: Outcome) -> None:
        """`model`: the configured name whose reply was checked first, not a client's word."""
        if model not in self._models:
            if len(self._models) >= _MOST_MODELS:
                model = "other"
            self._models.add(model)
        key = model, outcome
        self._counts[key] = self._counts.get(key, 0) + 1

    def checked(self, model: str) -> int:
        return sum(count for (name, _), count in self._counts.items() if name == model)

    def figures(self) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
        """For Metrics.add_source."""
        for (model, outcome), count in list(self._counts.items()):
            yield "tenfold_output_checks_total", (("model", model), ("outcome", outcome)), float(count)
