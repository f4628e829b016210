"""The Cache page on the figures that the process has anyway."""

from collections.abc import Callable, Iterable, Sequence

from tenfold.console.cache_services import LayerCount

Figures = Callable[[], Iterable[tuple[str, tuple[tuple[str, str], ...], float]]]
_HITS, _MISSES = "tenfold_cache_hits_total", "tenfold_cache_misses_total"


class LiveLayers:
    """Implements `console.cache_services.LayerService`. `sources` are those of the metrics, the first layer first."""

    def __init__(self, sources: Sequence[Figures]) -> None:
        self._sources = sources

    def layers(self) -> list[LayerCount]:
        counted: dict[str, dict[str, int]] = {}
        for source in self._sources:
            for name, labels, value in source():
                if name in (_HITS, _MISSES):
                    of_layer = counted.setdefault(dict(labels).get("layer", ""), {_HITS: 0, _MISSES: 0})
                    of_layer[name] += int(value)
        return [LayerCount(layer=layer, hits=each[_HITS], misses=each[_MISSES]) for layer, each in counted.items()]
