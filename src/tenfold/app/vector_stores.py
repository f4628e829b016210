"""Vector stores in one process: what serves them, what reads files into them, and what tidies up."""

import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from tenfold.core.errors import StoreUnavailable
from tenfold.edge.gateway import Resource
from tenfold.edge.vector_stores.resource import VectorStoresResource
from tenfold.inference.files.handlers import Files
from tenfold.jobs.ports import Handler, Jobs
from tenfold.retrieval.vector_stores.file_handlers import StoreFiles
from tenfold.retrieval.vector_stores.handlers import VectorStores
from tenfold.retrieval.vector_stores.ports import Reader, Shelf
from tenfold.retrieval.vector_stores.queries import PostgresVectorStoreRows
from tenfold.retrieval.vector_stores.reading import BuryFiles, ReadFiles
from tenfold.retrieval.vector_stores.searching import StoreSearch
from tenfold.retrieval.vector_stores.types import KIND, KIND_DEAD, StoreLimits
from tenfold.store import Store

logger = logging.getLogger(__name__)

KINDS = frozenset({KIND, KIND_DEAD})


class VectorStoreParts:
    """`stores`, `files` and `search` are for whoever stands on them; `search` is the FileSearcher of `file_search`.
    `routes` are for the front door, `handlers` for the worker; run each of `tasks`."""

    def __init__(
        self, store: Store, *, files: Files, jobs: Jobs, shelf: Shelf, reader: Reader, limits: StoreLimits
    ) -> None:
        rows = PostgresVectorStoreRows(store)
        self.files = StoreFiles(rows, files, jobs, shelf, limits=limits)
        self.stores = VectorStores(rows, self.files, shelf, limits=limits)
        self.search = StoreSearch(rows, shelf)
        self.routes: list[Resource] = [VectorStoresResource(self.stores, self.files, self.search)]
        self.handlers: list[Handler] = [
            ReadFiles(rows, files, shelf, reader, limits=limits),
            BuryFiles(rows, jobs),
        ]

    def tasks(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "app.vector_stores", self._tidy()

    async def _tidy(self) -> None:
        while True:
            await self.stores.wait_for_work()
            try:
                await self.stores.tidy()
            except StoreUnavailable as error:
                logger.info("vector stores are not tidied up, the database is away: %s", error.message)
