"""Vector stores in memory with a worker that reads files into them: the whole part without a database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tenfold.core.clock import FakeClock
from tenfold.core.principal import Principal
from tenfold.inference.files.fake import FakeFileRows
from tenfold.inference.files.handlers import Files
from tenfold.inference.files.types import File
from tenfold.retrieval.vector_stores.fake import FakeVectorStoreRows
from tenfold.retrieval.vector_stores.fake_shelf import FakeReader, FakeShelf
from tenfold.retrieval.vector_stores.file_handlers import StoreFiles
from tenfold.retrieval.vector_stores.handlers import VectorStores
from tenfold.retrieval.vector_stores.ports import Reader
from tenfold.retrieval.vector_stores.reading import BuryFiles, ReadFiles
from tenfold.retrieval.vector_stores.searching import StoreSearch
from tenfold.retrieval.vector_stores.types import KIND, KIND_DEAD, StoreLimits
from tests.support.jobs import Work


class House:
    """`working` does what was asked for; `done` waits until no file is on its way."""

    def __init__(self, *, limits: StoreLimits | None = None, reader: Reader | None = None, at_once: int = 25) -> None:
        self.clock = FakeClock()
        self.work = Work({KIND, KIND_DEAD}, self.clock)
        self.file_rows = FakeFileRows(self.clock)
        self.uploads = Files(self.file_rows)
        self.rows = FakeVectorStoreRows(self.clock)
        self.shelf = FakeShelf()
        self.files = StoreFiles(self.rows, self.uploads, self.work.jobs, self.shelf, limits=limits)
        self.stores = VectorStores(self.rows, self.files, self.shelf, limits=limits)
        self.search = StoreSearch(self.rows, self.shelf)
        self.reading = ReadFiles(
            self.rows, self.uploads, self.shelf, reader or FakeReader(), limits=limits, at_once=at_once
        )
        self.burying = BuryFiles(self.rows, self.work.jobs)

    async def upload(self, who: Principal, content: bytes, filename: str = "manual.txt") -> File:
        async with self.uploads.draft(who.tenant_id) as draft:
            await draft.write(content)
            return await draft.finish(filename, "assistants", None)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with self.work.working([self.reading, self.burying]):
            yield

    async def done(self, who: Principal, store: str) -> None:
        """Fails after a while."""
        async with asyncio.timeout(20):
            while (await self.stores.find(who.tenant_id, store)).status == "in_progress":
                await asyncio.sleep(0.005)
