"""The semantic cache put together, and what keeps cached answers from outliving the documents they rest on."""

import logging
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from functools import partial
from typing import Any

from tenfold.cache.exact import ExactCache
from tenfold.cache.grounds import DOCUMENTS_TOPIC
from tenfold.cache.semantic.comparator import compare
from tenfold.cache.semantic.handlers import CacheAdmin
from tenfold.cache.semantic.keeping import Scopes
from tenfold.cache.semantic.postgres import PostgresSemanticRows
from tenfold.cache.semantic.scope import Scope
from tenfold.console.cache_services import CacheServices
from tenfold.core.clock import Clock
from tenfold.inference.grounded import Grounded
from tenfold.inference.ports import Switches
from tenfold.inference.semantic.said import CanonicalReader, ResponsesReader, WireReader
from tenfold.inference.semantic.stage import Embedder, Semantic, SemanticPolicy
from tenfold.inference.semantic.tidying import Tidying
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.openai import OpenAIWire
from tenfold.store import Changes, Store

logger = logging.getLogger(__name__)

_KEEP_UNUSED_S = 30 * 86_400.0  # a scope that nobody asked in, and what was evicted


class SemanticCache:
    """`stage` None: it is off, and answers are evicted by document all the same. Run each of `tasks`; `aclose` after
    the last call."""

    def __init__(
        self,
        store: Store,
        exact: ExactCache,
        embedder: Embedder,
        changes: Changes,
        switches: Switches,
        clock: Clock,
        *,
        policy: SemanticPolicy,
        max_false_hits: float,
        check_share: float,
        ttl_s: float,
        max_entries: int,
        max_bytes: int,
    ) -> None:
        self._rows = rows = PostgresSemanticRows(store)
        self.grounded = Grounded(exact, rows)
        self._tidying = Tidying(rows, clock, keep_unused=timedelta(seconds=_KEEP_UNUSED_S))
        changes.follow(DOCUMENTS_TOPIC, self.grounded.forget)
        changes.follow(DOCUMENTS_TOPIC, self._tidying.forget)
        make: Callable[[], Scope] = partial(Scope, max_false_hits=max_false_hits, check_share=check_share)
        self.stage: Semantic | None = None
        if policy != "off" and max_entries and max_bytes:
            self.stage = Semantic(
                Scopes(rows, make, max_bytes=max_bytes, max_entries=max_entries),
                embedder,
                {
                    "openai": WireReader(OpenAIWire()),
                    "anthropic": WireReader(AnthropicWire()),
                    "openai_responses": ResponsesReader(),
                    "canonical": CanonicalReader(),
                },
                compare,
                policy=policy,
                max_false_hits=max_false_hits,
                ttl_s=ttl_s,
                switches=switches,
                max_answer_bytes=exact.max_entry_bytes,
            )

    @property
    def services(self) -> CacheServices:
        """For the console."""
        return CacheServices(admin=CacheAdmin(self._rows))

    def tasks(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "app.cache_tidying", self._tidying.run()
        if self.stage is not None:
            yield "app.semantic_cache", self.stage.scopes.follow()

    def figures(self) -> Iterable[tuple[str, tuple[tuple[str, str], ...], float]]:
        yield "tenfold_cache_evicted_total", (), self.grounded.evicted
        if self.stage is not None:
            yield from self.stage.figures()

    async def aclose(self) -> None:
        if self.stage is not None:
            await self.stage.aclose()
        await self.grounded.aclose()
