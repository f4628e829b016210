"""A store on Postgres, with jobs, a worker and a library: what is read is found, and of what goes nothing is left."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tenfold.core.clock import SystemClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.inference.files.handlers import Files
from tenfold.inference.files.queries import PostgresFileRows
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.queries import PostgresJobRows
from tenfold.jobs.worker import JobWorker
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import SourceDocument
from tenfold.retrieval.vector_stores.fake_shelf import FakeReader
from tenfold.retrieval.vector_stores.file_handlers import StoreFiles
from tenfold.retrieval.vector_stores.handlers import VectorStores
from tenfold.retrieval.vector_stores.queries import PostgresVectorStoreRows
from tenfold.retrieval.vector_stores.reading import BuryFiles, ReadFiles
from tenfold.retrieval.vector_stores.searching import StoreSearch
from tenfold.retrieval.vector_stores.types import KIND, KIND_DEAD, Question
from tenfold.store import Store
from tests.ledger.samples import add_tenant
from tests.retrieval.vector_stores.samples import principal_of

_LEFT = """
SELECT (SELECT count(*) FROM tenfold.vector_stores WHERE tenant_id = $1)
     + (SELECT count(*) FROM tenfold.vector_store_files WHERE tenant_id = $1)
     + (SELECT count(*) FROM tenfold.vector_store_batches WHERE tenant_id = $1)
     + (SELECT count(*) FROM tenfold.vector_store_batch_files WHERE tenant_id = $1)
     + (SELECT count(*) FROM tenfold.knowledge_bases WHERE tenant_id = $1)
     + (SELECT count(*) FROM tenfold.documents WHERE tenant_id = $1)
     + (SELECT count(*) FROM tenfold.chunks WHERE tenant_id = $1)
     + (SELECT count(*) FROM tenfold.postings WHERE tenant_id = $1)
     + (SELECT count(*) FROM tenfold.chunk_vectors WHERE tenant_id = $1)
"""


class Place:
    def __init__(self, store: Store, database: str) -> None:
        rows = PostgresVectorStoreRows(store)
        self.job_rows = PostgresJobRows(store)
        self.jobs = JobService(
            self.job_rows, {KIND, KIND_DEAD}, followers=Followers(self.job_rows), clock=SystemClock()
        )
        self.uploads = Files(PostgresFileRows(store))
        self.library = Library(store, FakeEmbedder(dimensions=64))
        self.files = StoreFiles(rows, self.uploads, self.jobs, self.library)
        self.stores = VectorStores(rows, self.files, self.library)
        self.search = StoreSearch(rows, self.library)
        reading = ReadFiles(rows, self.uploads, self.library, FakeReader(), at_once=2)
        self.worker = JobWorker(
            self.job_rows, [reading, BuryFiles(rows, self.jobs)], clock=SystemClock(), hints=store, poll_s=0.05
        )
        self._database = database

    async def upload(self, who: Principal, text: str) -> str:
        async with self.uploads.draft(who.tenant_id) as draft:
            await draft.write(text.encode())
            return (await draft.finish("manual.txt", "assistants", None)).public_id

    async def done(self, who: Principal, store: str) -> None:
        async with asyncio.timeout(60):
            while (await self.stores.find(who.tenant_id, store)).status == "in_progress":
                await asyncio.sleep(0.02)

    async def left(self, who: Principal) -> int:
        owner = await asyncpg.connect(self._database)
        try:
            count: int = await owner.fetchval(_LEFT, who.tenant_id)
        finally:
            await owner.close()
        return count


@pytest.fixture
async def place(shared_store: Store, module_database: str) -> AsyncIterator[Place]:
    made = Place(shared_store, module_database)
    running = asyncio.create_task(made.worker.run())
    yield made
    await made.worker.stop(5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await made.jobs.aclose()
    await made.job_rows.aclose()


async def newcomer(store: Store) -> Principal:
    tenant_id = TenantId(uuid7())
    await add_tenant(store, tenant_id)
    return principal_of(tenant_id)


async def test_what_is_read_is_found_until_it_goes(place: Place, shared_store: Store) -> None:
    who, stranger = await newcomer(shared_store), await newcomer(shared_store)
    store = (await place.stores.create(who)).public_id
    texts = ["The pump starts at 40 bar.", "The fan has a belt.", "The press weighs a ton."]
    uploads = [await place.upload(who, text) for text in texts]
    batch = await place.files.add_batch(who, store, await place.files.asked(who.tenant_id, uploads))
    await place.done(who, store)
    ended = await place.files.find_batch(who.tenant_id, store, batch.public_id)
    assert (ended.status, ended.counts.completed) == ("completed", 3)
    question = Question(queries=("when does the pump start", "belt"), limit=2)
    found = await place.search.ask(who.tenant_id, [store], question)
    assert [one.file.public_id for one in found] == uploads[:2]
    assert [one.text for one in found] == texts[:2]
    assert found[0].document.startswith(f"{store}/{uploads[0]}@")
    for passage in await place.search.search(who, [store], ["pump"], max_results=1):
        assert (passage.file_id, passage.filename) == (uploads[0], "manual.txt")
    theirs = (await place.stores.create(stranger)).public_id
    assert await place.search.ask(stranger.tenant_id, [theirs], question) == []
    await place.files.remove(who.tenant_id, store, uploads[0])
    assert uploads[0] not in {one.file.public_id for one in await place.search.ask(who.tenant_id, [store], question)}
    await place.stores.remove(who.tenant_id, store)
    assert await place.library.search(who.tenant_id, store, "belt") == []
    while await place.left(who):
        assert await place.stores.tidy()
    assert await place.left(stranger) == 2


async def test_a_knowledge_base_that_was_begun_again_goes_too(place: Place, shared_store: Store) -> None:
    who = await newcomer(shared_store)
    store = await place.stores.create(who)
    await place.stores.remove(who.tenant_id, store.public_id)
    # As the job of a file does that was being read at that time.
    await place.library.ingest(who.tenant_id, store.kb, [SourceDocument(id="file-1", text="Too late.")])
    while await place.left(who):
        assert await place.stores.tidy()
