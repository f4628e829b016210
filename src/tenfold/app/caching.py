"""The caches put together, and what keeps cached answers from outliving the documents they rest on."""

from collections.abc import Iterable
from datetime import timedelta
from functools import partial

from tenfold.app.cache_pages import LiveLayers
from tenfold.app.host import Host
from tenfold.app.setting_tables import CacheSettings
from tenfold.app.telemetry.metrics import Figure
from tenfold.cache.exact import ExactCache
from tenfold.cache.grounds import DOCUMENTS_TOPIC
from tenfold.cache.semantic.comparator import compare
from tenfold.cache.semantic.handlers import CacheAdmin
from tenfold.cache.semantic.keeping import Scopes
from tenfold.cache.semantic.postgres import PostgresSemanticRows
from tenfold.cache.semantic.scope import Scope
from tenfold.cache.valkey import ValkeyAnswers
from tenfold.console.cache_services import CacheServices
from tenfold.core.clock import Clock
from tenfold.inference.grounded import Grounded
from tenfold.inference.lookup import Lookup
from tenfold.inference.ports import Switches
from tenfold.inference.semantic.said import CanonicalReader, ResponsesReader, WireReader
from tenfold.inference.semantic.stage import Embedder, Semantic
from tenfold.inference.semantic.tidying import Tidying
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.openai import OpenAIWire
from tenfold.store import Changes, Store

_KEEP_UNUSED_S = 30 * 86_400.0  # a scope that nobody asked in, and what was evicted


class Caches:
    """The layers, the nearest first: `lookup` asks memory and Valkey, `semantic` by meaning; None: that one is off, and
    answers are evicted by document all the same."""

    def __init__(
        self,
        settings: CacheSettings,
        host: Host,
        store: Store,
        embedder: Embedder,
        changes: Changes,
        switches: Switches,
        clock: Clock,
        *,
        stale_s: float,
    ) -> None:
        self._memory = ExactCache(
            max_bytes=settings.max_bytes,
            max_entry_bytes=settings.max_entry_bytes,
            ttl_s=settings.ttl_s,
            stale_s=stale_s,
        )
        self._shared: ValkeyAnswers | None = None
        if settings.valkey_url is not None:
            self._shared = ValkeyAnswers.at(settings.valkey_url, ttl_s=settings.ttl_s)
            host.finish(self._shared.aclose)
        self._rows = rows = PostgresSemanticRows(store)
        self._grounded = Grounded(self._memory, rows)
        host.finish(self._grounded.aclose)
        tidying = Tidying(rows, clock, keep_unused=timedelta(seconds=_KEEP_UNUSED_S))
        host.keep("app.cache_tidying", tidying.run())
        changes.follow(DOCUMENTS_TOPIC, self._grounded.forget)
        changes.follow(DOCUMENTS_TOPIC, tidying.forget)
        self.lookup = Lookup(self._memory, settings.exact, switches, self._shared, self._grounded)
        self.semantic: Semantic | None = None
        if settings.semantic != "off" and settings.semantic_max_entries and settings.semantic_max_bytes:
            self.semantic = _semantic(settings, rows, embedder, switches)
            host.finish(self.semantic.aclose)
            host.keep("app.semantic_cache", self.semantic.scopes.follow())

    @property
    def services(self) -> CacheServices:
        """For the console."""
        return CacheServices(admin=CacheAdmin(self._rows), layers=LiveLayers([self.figures]))

    def figures(self) -> Iterable[Figure]:
        layer = (("layer", "memory"),)
        yield "tenfold_cache_hits_total", layer, self._memory.hits
        yield "tenfold_cache_misses_total", layer, self._memory.misses
        yield "tenfold_cache_bytes", layer, self._memory.bytes
        if self._shared is not None:
            layer = (("layer", "valkey"),)
            yield "tenfold_cache_hits_total", layer, self._shared.hits
            yield "tenfold_cache_misses_total", layer, self._shared.misses
            yield "tenfold_cache_faults_total", layer, self._shared.faults
        yield "tenfold_cache_evicted_total", (), self._grounded.evicted
        if self.semantic is not None:
            yield from self.semantic.figures()


def _semantic(settings: CacheSettings, rows: PostgresSemanticRows, embedder: Embedder, switches: Switches) -> Semantic:
    make = partial(Scope, max_false_hits=settings.max_false_hits, check_share=settings.check_share)
    return Semantic(
        Scopes(rows, make, max_bytes=settings.semantic_max_bytes, max_entries=settings.semantic_max_entries),
        embedder,
        {
            "openai": WireReader(OpenAIWire()),
            "anthropic": WireReader(AnthropicWire()),
            "openai_responses": ResponsesReader(),
            "canonical": CanonicalReader(),
        },
        compare,
        policy=settings.semantic,
        max_false_hits=settings.max_false_hits,
        ttl_s=settings.semantic_ttl_s,
        switches=switches,
        max_answer_bytes=settings.max_entry_bytes,
    )
