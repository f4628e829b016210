"""What the Cache page and the JSON API of the semantic cache stand on."""

from dataclasses import dataclass
from typing import Protocol

from tenfold.cache.semantic.handlers import CacheAdmin


@dataclass(frozen=True, kw_only=True)
class LayerCount:
    """What a layer of the cache (memory, valkey, semantic) was asked for since the process began, by all tenants."""

    layer: str
    hits: int
    misses: int


class LayerService(Protocol):
    """See tenfold.app.cache_pages.LiveLayers."""

    def layers(self) -> list[LayerCount]:
        """In the order in which they are asked."""
        ...


@dataclass(frozen=True, kw_only=True)
class CacheServices:
    admin: CacheAdmin
    layers: LayerService | None = None
