"""Another embedder takes over: searched throughout, switched at once, gone on with after a kill."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tenfold.core.errors import Conflict, UpstreamUnavailable
from tenfold.core.ids import TenantId
from tenfold.retrieval import embedding
from tenfold.retrieval.fake import FakeEmbedder, SeveralEmbedders
from tenfold.retrieval.index import sets as index_sets
from tenfold.retrieval.index.keeping import reembed_all, statuses, to_make
from tenfold.retrieval.lease import Lease
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import SourceDocument
from tenfold.store import Store
from tests.retrieval.index.conftest import documents, sets

KILLED = """
import asyncio, sys
from uuid import UUID
from tenfold.core.ids import TenantId
from tenfold.retrieval import embedding
from tenfold.retrieval.fake import FakeEmbedder, SeveralEmbedders
from tenfold.retrieval.library import Library
from tenfold.store import Store

embedding._CHUNKS_PER_BATCH = 4

class Slow(FakeEmbedder):
    async def embed(self, texts):
        if len(self.embedded) >= 8:
            print("half", flush=True)
            await asyncio.sleep(600)
        return await super().embed(texts)

async def main():
    store = await Store.open(sys.argv[1])
    new = Slow(dimensions=32, fingerprint="fake:2")
    await Library(store, SeveralEmbedders(new, FakeEmbedder(64))).reembed(TenantId(UUID(sys.argv[2])), "kb")

asyncio.run(main())
"""


class Watched(FakeEmbedder):
    """Does something before each batch."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__(dimensions=32, fingerprint=fingerprint)
        self.before: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        await self.before()
        return await super().embed(texts)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "_CHUNKS_PER_BATCH", 4)
    monkeypatch.setattr(index_sets, "_ROWS_PER_BATCH", 5)


@pytest.fixture
def new() -> Watched:
    return Watched("fake:2")


@pytest.fixture
def both(store: Store, new: Watched, embedder: FakeEmbedder) -> Library:
    return Library(store, SeveralEmbedders(new, embedder))


async def test_searches_go_by_the_old_vectors_until_the_new_ones_are_all_there(
    both: Library, library: Library, store: Store, tenant: TenantId, new: Watched, embedder: FakeEmbedder
) -> None:
    await library.ingest(tenant, "kb", documents(18))
    await library.embed(tenant, "kb")
    seen: list[tuple[str | None, int]] = []

    async def look() -> None:
        embedder.embedded.clear()
        found = await both.search(tenant, "kb", "zebra number 7", 1)
        assert [passage.document_id for passage in found] == ["d007"]
        assert embedder.embedded == ["zebra number 7"]  # the old one was asked
        [status] = await statuses(store, tenant, SeveralEmbedders(new, embedder))
        seen.append((status.embedder, status.next_embedded))
        assert status.state == "switching"

    new.before = look
    assert await both.reembed(tenant, "kb") == 18
    assert seen == [("fake:1", made) for made in (0, 4, 8, 12, 16)]
    new.before = lambda: asyncio.sleep(0)
    new.embedded.clear()
    assert [passage.document_id for passage in await both.search(tenant, "kb", "zebra number 7", 1)] == ["d007"]
    assert new.embedded == ["zebra number 7"]
    assert list((await sets(store, tenant, "chunk_vectors")).values()) == [18]  # nothing is left of the old ones
    [status] = await statuses(store, tenant, SeveralEmbedders(new))
    assert (status.embedder, status.state, status.discarded, status.embedded) == ("fake:2", "ready", 0, 18)
    assert await both.reembed(tenant, "kb") == 0


async def test_what_comes_and_goes_meanwhile_is_in_both_sets(
    both: Library, library: Library, store: Store, tenant: TenantId, new: Watched
) -> None:
    await library.ingest(tenant, "kb", documents(10))
    await library.embed(tenant, "kb")
    rounds = 0

    async def change() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            await both.ingest(tenant, "kb", [SourceDocument(id="late", text="About a giraffe.")])
            assert await both.embed(tenant, "kb") == 1  # by the old one, which is searched
            assert (await both.status(tenant, "kb")).vectors_in_use
            await both.delete(tenant, "kb", ["d000", "d009"])

    new.before = change
    await both.reembed(tenant, "kb")
    status = await both.status(tenant, "kb")
    assert (status.documents, status.chunks, status.embedded) == (9, 9, 9)
    assert list((await sets(store, tenant, "chunk_vectors")).values()) == [9]
    assert [passage.document_id for passage in await both.search(tenant, "kb", "giraffe", 1)] == ["late"]


async def test_killed_in_the_middle_it_goes_on(
    both: Library, library: Library, store: Store, tenant: TenantId, new: Watched, database: str
) -> None:
    await library.ingest(tenant, "kb", documents(20))
    await library.embed(tenant, "kb")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, database, str(tenant), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert (await child.stdout.readline()).strip() == b"half"
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    assert [passage.document_id for passage in await library.search(tenant, "kb", "zebra number 7", 1)] == ["d007"]
    with pytest.raises(Conflict):  # its lease is waited for
        await both.reembed(tenant, "kb")
    async with store.tenant(tenant) as tx:
        await tx.execute("UPDATE knowledge_bases SET reembed_until = now() WHERE tenant_id = $1", tenant)
    assert await both.reembed(tenant, "kb") == 12  # 8 were there
    assert list((await sets(store, tenant, "chunk_vectors")).values()) == [20]


async def test_an_embedder_that_fails_costs_the_batch_and_no_more(
    both: Library, library: Library, store: Store, tenant: TenantId, new: Watched
) -> None:
    await library.ingest(tenant, "kb", documents(12))
    await library.embed(tenant, "kb")

    async def fail_once() -> None:
        if len(new.embedded) == 4:
            new.before = lambda: asyncio.sleep(0)
            raise UpstreamUnavailable("away")

    new.before = fail_once
    with pytest.raises(UpstreamUnavailable):
        await both.reembed(tenant, "kb")
    assert (await library.status(tenant, "kb")).vectors_in_use
    assert await both.reembed(tenant, "kb") == 8
    assert len(new.embedded) == 12


async def test_a_third_embedder_discards_what_was_begun_for_the_second(
    both: Library, library: Library, store: Store, tenant: TenantId, new: Watched, embedder: FakeEmbedder
) -> None:
    await library.ingest(tenant, "kb", documents(12))
    await library.embed(tenant, "kb")

    async def fail() -> None:
        if new.embedded:
            raise UpstreamUnavailable("away")

    new.before = fail
    with pytest.raises(UpstreamUnavailable):
        await both.reembed(tenant, "kb")
    third = Library(store, SeveralEmbedders(FakeEmbedder(16, "fake:3"), embedder))
    assert await third.reembed(tenant, "kb") == 12
    assert list((await sets(store, tenant, "chunk_vectors")).values()) == [12]


async def test_wanted_back_the_old_one_stays_and_what_was_begun_goes(
    both: Library, library: Library, store: Store, tenant: TenantId, new: Watched
) -> None:
    await library.ingest(tenant, "kb", documents(12))
    await library.embed(tenant, "kb")

    async def fail() -> None:
        if new.embedded:
            raise UpstreamUnavailable("away")

    new.before = fail
    with pytest.raises(UpstreamUnavailable):
        await both.reembed(tenant, "kb")
    assert (await sets(store, tenant, "chunk_vectors")).total() == 16
    assert await library.reembed(tenant, "kb") == 0
    assert (await sets(store, tenant, "chunk_vectors")).total() == 12
    assert (await library.status(tenant, "kb")).vectors_in_use


async def test_a_search_in_whose_middle_it_switches_is_done_again(
    library: Library, store: Store, tenant: TenantId, new: Watched, embedder: FakeEmbedder
) -> None:
    await library.ingest(tenant, "kb", documents(12))
    await library.embed(tenant, "kb")
    switching = Library(store, SeveralEmbedders(new, embedder))

    class Late(FakeEmbedder):
        """The switch is over, and the old vectors are gone, before it answers."""

        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            await switching.reembed(tenant, "kb")
            return await super().embed(texts)

    found = await Library(store, SeveralEmbedders(new, Late(64))).search(tenant, "kb", "zebra number 7", 1)
    assert [passage.document_id for passage in found] == ["d007"]
    assert new.embedded[-1] == "zebra number 7"


async def test_all_tenants_follow_in_the_background(
    both: Library, library: Library, store: Store, tenant: TenantId, other_tenant: TenantId, new: Watched
) -> None:
    embedders = SeveralEmbedders(new, FakeEmbedder(64))
    for owner, kb in ((tenant, "kb"), (tenant, "words only"), (other_tenant, "kb")):
        await library.ingest(owner, kb, documents(3))
        if kb == "kb":
            await library.embed(owner, kb)
    assert await to_make(store, tenant, "fake:2") == ["kb"]
    busy = Lease(store, other_tenant, "kb", "reembed")
    async with store.tenant(other_tenant) as tx:
        await busy.hold(tx)
    made: list[int] = []
    await reembed_all(store, embedders, "fake:2", made.append)
    assert made == [3]  # what another process is at is left to it
    await busy.release()
    await reembed_all(store, embedders, "fake:2", made.append)
    await reembed_all(store, embedders, "fake:2", made.append)
    assert made == [3, 3]
    for owner in (tenant, other_tenant):
        assert await to_make(store, owner, "fake:2") == []
        assert (await both.status(owner, "kb")).vectors_in_use


async def test_an_embedder_that_is_gone_leaves_the_words(library: Library, store: Store, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", documents(3))
    await library.embed(tenant, "kb")
    other = Library(store, FakeEmbedder(32, "fake:2"))
    assert len(await other.search(tenant, "kb", "zebra")) == 3
    assert await other.embed(tenant, "kb") == 3  # beside: nothing can be added to what nobody can search
    assert (await other.status(tenant, "kb")).vectors_in_use
