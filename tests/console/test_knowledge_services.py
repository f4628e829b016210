"""The contract of documents to answer from, in memory and on vector stores."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from tenfold.app.support_pages import StoreKnowledge
from tenfold.console.fake_knowledge import FakeKnowledge
from tenfold.console.knowledge_services import KnowledgeCounts, KnowledgeService
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, TooLarge
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import ALL_SCOPES, Principal
from tenfold.inference.files.fake import FakeFileRows
from tenfold.inference.files.handlers import Files
from tenfold.retrieval.vector_stores.fake import FakeVectorStoreRows
from tenfold.retrieval.vector_stores.fake_shelf import FakeReader, FakeShelf
from tenfold.retrieval.vector_stores.file_handlers import StoreFiles
from tenfold.retrieval.vector_stores.handlers import VectorStores
from tenfold.retrieval.vector_stores.reading import ReadFiles
from tenfold.retrieval.vector_stores.types import KIND, KIND_DEAD
from tests.support.jobs import Work

MOST = 100_000


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """`read` ends when what was added has been read; `left` is how many files are kept."""

    knowledge: KnowledgeService
    read: Callable[[], Awaitable[None]]
    left: Callable[[], int]


@pytest.fixture(params=["fake", "stores"])
def shelf(request: pytest.FixtureRequest) -> Shelf:
    return _fake() if request.param == "fake" else _on_stores()


def _fake() -> Shelf:
    knowledge = FakeKnowledge(MOST)

    async def read() -> None:
        knowledge.read(pages=(0, 6))

    return Shelf(knowledge=knowledge, read=read, left=lambda: len(knowledge.kept))


def _on_stores() -> Shelf:
    work = Work({KIND, KIND_DEAD})
    file_rows, rows, shelf = FakeFileRows(work.clock), FakeVectorStoreRows(work.clock), FakeShelf()
    files = Files(file_rows, max_bytes=MOST)
    store_files = StoreFiles(rows, files, work.jobs, shelf)
    knowledge = StoreKnowledge(VectorStores(rows, store_files, shelf), store_files, files, max_upload_bytes=MOST)

    async def read() -> None:
        async with work.working([ReadFiles(rows, files, shelf, FakeReader())]):
            for job in (await work.jobs.list(ANN.tenant_id)).items:
                await work.jobs.wait(ANN.tenant_id, job.id, 10.0)

    return Shelf(knowledge=knowledge, read=read, left=lambda: len(file_rows))


def _person() -> Principal:
    return Principal(tenant_id=TenantId(uuid7()), tenant_slug="one", scopes=ALL_SCOPES)


ANN, BOB = _person(), _person()


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


async def test_a_document_comes_is_read_and_goes(shelf: Shelf) -> None:
    knowledge = shelf.knowledge
    assert await knowledge.counts(ANN.tenant_id) == KnowledgeCounts()
    await knowledge.add(ANN, "manual.md", pieces(b"# Pump", b"\f## Filter\n\nClean it."))
    (file,) = (await knowledge.files(ANN.tenant_id)).items
    assert (file.name, file.state) == ("manual.md", "in_progress")
    assert (await knowledge.counts(ANN.tenant_id)).in_progress == 1
    with pytest.raises(Conflict):
        await knowledge.text(ANN.tenant_id, file.id)

    await shelf.read()
    found = await knowledge.text(ANN.tenant_id, file.id)
    assert found.text.split() == ["#", "Pump", "##", "Filter", "Clean", "it."]
    assert (found.pages[0], len(found.pages)) == (0, 2)
    assert (found.file.state, found.file.bytes > 0) == ("completed", True)
    assert (await knowledge.counts(ANN.tenant_id)).completed == 1

    await knowledge.remove(ANN, file.id)
    assert (await knowledge.files(ANN.tenant_id)).items == []
    assert shelf.left() == 0
    for gone in (knowledge.text(ANN.tenant_id, file.id), knowledge.remove(ANN, file.id)):
        with pytest.raises(NotFound):
            await gone


async def test_what_cannot_be_read_says_why(shelf: Shelf) -> None:
    await shelf.knowledge.add(ANN, "notes.txt", pieces(b"\xff\xfe\xff"))
    await shelf.read()
    (file,) = (await shelf.knowledge.files(ANN.tenant_id)).items
    assert file.state == "failed"
    assert "text" in file.error
    assert (await shelf.knowledge.counts(ANN.tenant_id)).failed == 1
    await shelf.knowledge.remove(ANN, file.id)
    assert (await shelf.knowledge.counts(ANN.tenant_id)).failed == 0


async def test_what_is_refused_leaves_nothing(shelf: Shelf) -> None:
    with pytest.raises(InvalidRequest):
        await shelf.knowledge.add(ANN, "empty.md", pieces())
    with pytest.raises(TooLarge):
        await shelf.knowledge.add(ANN, "big.md", pieces(b"x" * MOST, b"x"))
    assert shelf.left() == 0
    assert (await shelf.knowledge.files(ANN.tenant_id)).items == []


async def test_another_tenants_documents_are_not_there(shelf: Shelf) -> None:
    knowledge = shelf.knowledge
    for _ in range(2):  # before Bob has any of his own, and after
        await knowledge.add(ANN, "manual.md", pieces(b"# Pump"))
        (file, *_) = (await knowledge.files(ANN.tenant_id)).items
        for foreign in (knowledge.text(BOB.tenant_id, file.id), knowledge.remove(BOB, file.id)):
            with pytest.raises(NotFound):
                await foreign
        await knowledge.add(BOB, "bobs.md", pieces(b"# Bob"))
    assert {each.name for each in (await knowledge.files(BOB.tenant_id)).items} == {"bobs.md"}
    assert (await knowledge.counts(ANN.tenant_id)).in_progress == 2


async def test_documents_are_listed_newest_first_in_pages(shelf: Shelf) -> None:
    for number in range(5):
        await shelf.knowledge.add(ANN, f"{number}.md", pieces(b"# x"))
    first = await shelf.knowledge.files(ANN.tenant_id, limit=3)
    second = await shelf.knowledge.files(ANN.tenant_id, cursor=first.cursor, limit=3)
    assert [each.name for each in first.items + second.items] == ["4.md", "3.md", "2.md", "1.md", "0.md"]
    assert second.cursor is None
    with pytest.raises(InvalidRequest):
        await shelf.knowledge.files(ANN.tenant_id, cursor="nonsense")
