"""The index of knowledge bases put together: which embedder they have, that they follow it, and the operator's desk."""

from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from tenfold.access.handlers import Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.app.database import open_database
from tenfold.app.settings import Settings
from tenfold.app.telemetry.metrics import Figure
from tenfold.core.clock import SystemClock
from tenfold.inference.ports import ClientDialect
from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.retrieval.calling import Models, Serves
from tenfold.retrieval.embedders import ConfiguredEmbedders, OneEmbedder
from tenfold.retrieval.index.keeping import EVERY_S, reembed_all
from tenfold.retrieval.ports import Embedder
from tenfold.store import Store, keep

OFFLINE: Final = "offline"


class Indexing:
    """`embedders` are the library's; run each of `tasks` where jobs are done."""

    def __init__(
        self,
        store: Store,
        tenants: Tenants,
        pipeline: Serves,
        dialect: ClientDialect,
        *,
        offline: Embedder,
        embedder: str = OFFLINE,
    ) -> None:
        """`dialect`: OpenAI's. `embedder`: `offline`, or the name of a model that calls can be made to."""
        models = Models(pipeline, dialect, tenants.calling_for)
        self.embedders = ConfiguredEmbedders(offline, models, None if embedder == OFFLINE else embedder)
        self._store = store
        self._made = 0

    def tasks(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "app.reembed", keep(self._follow, every_s=EVERY_S, otherwise="knowledge bases do not follow the embedder")

    def figures(self) -> Iterable[Figure]:
        """For /metrics."""
        yield "tenfold_vectors_made_anew_total", (), self._made

    async def _follow(self) -> None:
        await reembed_all(self._store, self.embedders, self.embedders.fingerprint, self._count)

    def _count(self, vectors: int) -> None:
        self._made += vectors


@dataclass(frozen=True, kw_only=True)
class IndexDesk:
    """The index from the command line, with the bundled model alone: what other models embed is charged to tenants,
    which serving processes do."""

    store: Store
    tenants: Tenants
    embedders: OneEmbedder
    fingerprint: str


@asynccontextmanager
async def open_index_desk(settings: Settings) -> AsyncIterator[IndexDesk]:
    """For a command. Raises StoreUnavailable."""
    async with open_database(settings) as (_, store):
        offline = OfflineEmbedder()
        try:
            yield IndexDesk(
                store=store,
                tenants=Tenants(PostgresAccessRows(store), SystemClock()),
                embedders=OneEmbedder(offline),
                fingerprint=offline.fingerprint,
            )
        finally:
            await offline.aclose()
