"""What vector stores need of a knowledge base: the contract, on the fake and on a Library with Postgres."""

from collections.abc import AsyncIterator

import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import Chunking, Compare, SourceDocument
from tenfold.retrieval.vector_stores.fake_shelf import FakeShelf
from tenfold.retrieval.vector_stores.ports import Shelf
from tenfold.store import Store
from tests.ledger.samples import add_tenant

PUMP = SourceDocument(id="pump", text="The pump starts at 40 bar.", title="Pump", metadata={"of": "pump", "year": 2023})
FAN = SourceDocument(id="fan", text="The fan starts with the pump.", title="Fan", metadata={"of": "fan", "year": 2020})


@pytest.fixture(params=["fake", "library"])
def made_shelf(request: pytest.FixtureRequest) -> Shelf:
    if request.param == "fake":
        return FakeShelf()
    return Library(request.getfixturevalue("shared_store"), FakeEmbedder(dimensions=64))


@pytest.fixture
async def shelf(request: pytest.FixtureRequest, made_shelf: Shelf) -> AsyncIterator[tuple[Shelf, TenantId, TenantId]]:
    tenants = TenantId(uuid7()), TenantId(uuid7())
    if isinstance(made_shelf, Library):
        store: Store = request.getfixturevalue("shared_store")
        for tenant_id in tenants:
            await add_tenant(store, tenant_id)
    for document in (PUMP, FAN):
        await made_shelf.ingest(tenants[0], "kb", [document])
    await made_shelf.embed(tenants[0], "kb")
    yield (made_shelf, *tenants)


async def found(shelf: Shelf, tenant_id: TenantId, query: str, filters: Compare | None = None) -> list[str]:
    return [passage.document_id for passage in await shelf.search(tenant_id, "kb", query, filters=filters)]


async def test_documents_are_found(shelf: tuple[Shelf, TenantId, TenantId]) -> None:
    kept, mine, other = shelf
    assert (await found(kept, mine, "40 bar"))[0] == "pump"
    assert await found(kept, other, "40 bar") == []
    only = Compare(key="of", type="eq", value="fan")
    assert await found(kept, mine, "pump", only) == ["fan"]
    (best, *_) = await kept.search(mine, "kb", "40 bar", 1)
    assert best.metadata == PUMP.metadata
    assert 0 <= best.relevance <= 1


async def test_what_is_said_of_a_document_changes(shelf: tuple[Shelf, TenantId, TenantId]) -> None:
    kept, mine, other = shelf
    before = await kept.document(mine, "kb", "pump")
    assert before is not None
    assert (before.text, before.title, before.metadata) == (PUMP.text, PUMP.title, PUMP.metadata)
    assert not await kept.describe(other, "kb", "pump", {"of": "theirs"})
    assert not await kept.describe(mine, "kb", "none", {})
    assert await kept.describe(mine, "kb", "pump", {"of": "fan"})
    after = await kept.document(mine, "kb", "pump")
    assert after is not None
    assert after.metadata == {"of": "fan"}
    assert after.hash != before.hash
    only = Compare(key="of", type="eq", value="fan")
    assert sorted(await found(kept, mine, "pump", only)) == ["fan", "pump"]
    passage = (await kept.search(mine, "kb", "40 bar", 1))[0]
    assert passage.document_hash == after.hash
    same = SourceDocument(id="pump", text=PUMP.text, title=PUMP.title, metadata={"of": "fan"})
    assert (await kept.ingest(mine, "kb", [same])).unchanged == 1


async def test_documents_go(shelf: tuple[Shelf, TenantId, TenantId]) -> None:
    kept, mine, other = shelf
    assert await kept.document_ids(mine, "kb", limit=1) == ["fan"]
    assert await kept.document_ids(mine, "kb", limit=9) == ["fan", "pump"]
    assert await kept.document_ids(other, "kb", limit=9) == []
    assert await kept.delete(mine, "kb", ["pump", "none"]) == 1
    assert await kept.document(mine, "kb", "pump") is None
    assert await found(kept, mine, "pump") == ["fan"]


async def test_a_library_cuts_as_it_is_asked_to(shared_store: Store) -> None:
    tenant_id = TenantId(uuid7())
    await add_tenant(shared_store, tenant_id)
    library = Library(shared_store, None)
    text = "\n\n".join(f"Paragraph {at} says that the machine has {at} wheels." for at in range(60))
    cut = SourceDocument(id="a", text=text, chunking=Chunking(max_tokens=100, overlap_tokens=40))
    await library.ingest(tenant_id, "kb", [cut])
    passages = await library.search(tenant_id, "kb", "wheels", 100)
    assert passages
    assert all(len(passage.text) <= 400 and passage.text == text[slice(*passage.span)] for passage in passages)
    assert await library.describe(tenant_id, "kb", "a", {"k": "v"})
    again = SourceDocument(id="a", text=text, chunking=cut.chunking, metadata={"k": "v"})
    assert (await library.ingest(tenant_id, "kb", [again])).unchanged == 1
    recut = SourceDocument(id="a", text=text, metadata={"k": "v"})
    assert (await library.ingest(tenant_id, "kb", [recut])).changed == 1
