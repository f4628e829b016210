"""Documents come in, change and go, and nothing of them stays behind."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.cache.grounds import DOCUMENTS_TOPIC
from tenfold.core.errors import Conflict, InvalidRequest
from tenfold.core.ids import TenantId, uuid7
from tenfold.retrieval import analyzer
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.lease import Lease
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import IngestReport, SourceDocument
from tenfold.store import Store
from tests.retrieval.conftest import new_tenant
from tests.support.naughty import naughty_strings

TABLES = ("documents", "chunks", "postings", "chunk_vectors")


def document(name: str, text: str, **members: Any) -> SourceDocument:
    return SourceDocument(id=name, text=text, **members)


async def counts(store: Store, tenant: TenantId) -> dict[str, int]:
    async with store.tenant(tenant) as tx:
        return {
            table: await tx.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant) for table in TABLES
        }


async def index_of(store: Store, tenant: TenantId) -> list[tuple[str, list[tuple[int, int, int]]]]:
    """Words with (place among the living chunks, length, frequency): what does not depend on history."""
    async with store.tenant(tenant) as tx:
        numbers = await tx.fetch("SELECT number FROM chunks WHERE tenant_id = $1 ORDER BY document_id, ordinal", tenant)
        rows = await tx.fetch("SELECT term, entries FROM postings WHERE tenant_id = $1 ORDER BY term, bucket", tenant)
    places = {row["number"]: place for place, row in enumerate(numbers)}
    index: dict[str, list[tuple[int, int, int]]] = {}
    for row in rows:
        for entry in row["entries"]:
            index.setdefault(row["term"], []).append((places[entry >> 24], entry >> 8 & 65535, entry & 255))
    return sorted((term, sorted(entries)) for term, entries in index.items())


async def found(library: Library, tenant: TenantId, query: str) -> list[str]:
    return [passage.document_id for passage in await library.search(tenant, "kb", query)]


async def test_new_text_is_found_at_once(library: Library, tenant: TenantId) -> None:
    report = await library.ingest(
        tenant, "kb", [document("a", "Invoices are sent monthly."), document("b", "Keys expire.")]
    )
    assert report == IngestReport(added=2)
    assert await found(library, tenant, "when is the invoice sent?") == ["a"]
    status = await library.status(tenant, "kb")
    assert (status.documents, status.chunks, status.embedded, status.vectors_in_use) == (2, 2, 0, False)


async def test_unchanged_documents_cost_nothing(library: Library, store: Store, tenant: TenantId) -> None:
    documents = [document(f"d{number}", f"Text number {number}.") for number in range(30)]
    await library.ingest(tenant, "kb", documents)
    before = await counts(store, tenant)
    queries = store.queries_run
    assert await library.ingest(tenant, "kb", documents) == IngestReport(unchanged=30)
    assert store.queries_run - queries <= 16  # the lease, one comparison for the batch, no matter how many documents
    assert await counts(store, tenant) == before


async def test_a_changed_document_is_replaced_whole(library: Library, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", [document("a", "The old word is zebra."), document("b", "A zebra too.")])
    report = await library.ingest(
        tenant, "kb", [document("a", "The new word is giraffe.", title="T", url="https://e.org/a")]
    )
    assert report == IngestReport(changed=1)
    assert await found(library, tenant, "zebra") == ["b"]
    [passage] = await library.search(tenant, "kb", "giraffe")
    assert (passage.title, passage.url, passage.text) == ("T", "https://e.org/a", "The new word is giraffe.")


async def test_what_changes_is_told_and_what_does_not_is_not(library: Library, store: Store, tenant: TenantId) -> None:
    async def told() -> Any:
        async with store.tenant(tenant) as tx:
            return await tx.fetchval(
                "SELECT changed_xid::text FROM tenant_changes WHERE topic = $1 AND tenant_id = $2",
                DOCUMENTS_TOPIC,
                tenant,
            )

    assert await told() is None
    await library.ingest(tenant, "kb", [document("a", "One."), document("b", "Two.")])
    came = await told()
    await library.ingest(tenant, "kb", [document("a", "One.")])
    await library.delete(tenant, "kb", ["absent"])
    assert came is not None and await told() == came
    await library.ingest(tenant, "kb", [document("a", "Another.")])
    changed = await told()
    await library.delete(tenant, "kb", ["b"])
    assert len({came, changed, await told()}) == 3


async def test_a_change_of_title_alone_is_a_change(library: Library, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", [document("a", "Text.", title="Zebra")])
    report = await library.ingest(tenant, "kb", [document("a", "Text.", title="Giraffe")])
    assert report == IngestReport(changed=1)
    assert await found(library, tenant, "zebra") == []
    assert await found(library, tenant, "giraffe") == ["a"]


async def test_deleting_leaves_nothing_behind(library: Library, store: Store, tenant: TenantId) -> None:
    names = [f"d{number}" for number in range(40)]
    await library.ingest(tenant, "kb", [document(name, f"# {name}\n\nShared words and {name}.") for name in names])
    await library.embed(tenant, "kb")
    assert await library.delete(tenant, "kb", [*names, "absent"]) == 40
    assert await counts(store, tenant) == dict.fromkeys(TABLES, 0)
    status = await library.status(tenant, "kb")
    assert (status.documents, status.chunks) == (0, 0)
    assert await library.search(tenant, "kb", "shared words") == []


async def test_pruning_deletes_what_was_not_given(library: Library, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", [document(name, f"About {name}.") for name in ("zebra", "lion", "goat")])
    report = await library.ingest(tenant, "kb", [document("lion", "About lion.")], prune=True)
    assert report == IngestReport(unchanged=1, deleted=2)
    assert await found(library, tenant, "about zebra goat lion") == ["lion"]


async def test_an_id_given_twice_counts_as_its_last(library: Library, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", [document("a", "First zebra."), document("a", "Second giraffe.")])
    assert await found(library, tenant, "zebra giraffe") == ["a"]
    assert (await library.status(tenant, "kb")).documents == 1


async def test_an_empty_document_has_no_chunks(library: Library, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", [document("a", " \n "), document("b", "word")])
    status = await library.status(tenant, "kb")
    assert (status.documents, status.chunks) == (2, 1)


@pytest.mark.parametrize("name", ["", "x" * 2000])
async def test_a_document_without_a_usable_id_is_refused(library: Library, tenant: TenantId, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await library.ingest(tenant, "kb", [document(name, "text")])
    assert await library.ingest(tenant, "kb", [document("a", "text")]) == IngestReport(added=1)  # the lease is free


@pytest.mark.parametrize("metadata", [{"a": object()}, {"a": "x" * 70_000}, {"a": "\x00"}, {"a": "\ud800"}, {1.5: "a"}])
async def test_metadata_that_cannot_be_stored_is_refused(
    library: Library, tenant: TenantId, metadata: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await library.ingest(tenant, "kb", [document("a", "text", metadata=metadata)])
    assert raised.value.param == "metadata"


async def test_any_string_is_stored_and_searched(library: Library, store: Store, tenant: TenantId) -> None:
    texts = naughty_strings()
    documents = [document(f"n{place}", text, title=text, url=text) for place, text in enumerate(texts)]
    assert (await library.ingest(tenant, "kb", documents)).added == len(texts)
    for text in texts[::10]:
        await library.search(tenant, "kb", text)
    assert await library.delete(tenant, "kb", [item.id for item in documents]) == len(texts)
    assert await counts(store, tenant) == dict.fromkeys(TABLES, 0)


async def test_one_process_at_a_time_changes_a_knowledge_base(library: Library, store: Store, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", [document("a", "text")])
    other = Lease(store, tenant, "kb", "write")
    async with store.tenant(tenant) as tx:
        await other.hold(tx)
    with pytest.raises(Conflict) as raised:
        await library.ingest(tenant, "kb", [document("b", "text")])
    assert raised.value.retry_after_s
    assert (await library.ingest(tenant, "another", [document("b", "text")])).added == 1
    assert await library.embed(tenant, "kb") == 1  # embedding is another lease
    await other.release()
    assert (await library.ingest(tenant, "kb", [document("b", "text")])).added == 1


async def test_the_lease_of_a_dead_process_runs_out(library: Library, store: Store, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", [document("a", "text")])
    dead = Lease(store, tenant, "kb", "write")
    async with store.tenant(tenant) as tx:
        await dead.hold(tx)
        await tx.execute("UPDATE knowledge_bases SET write_until = now() - interval '1 s' WHERE tenant_id = $1", tenant)
    assert (await library.ingest(tenant, "kb", [document("b", "text")])).added == 1
    async with store.tenant(tenant) as tx:
        await dead.hold(tx)  # free again, so the process that came back may take it


async def test_ingest_and_embedding_at_the_same_time(library: Library, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", [document(f"a{n}", f"first {n}") for n in range(100)])
    await asyncio.gather(
        library.embed(tenant, "kb"),
        library.ingest(tenant, "kb", [document(f"a{n}", f"second {n}") for n in range(100)]),
    )
    await library.embed(tenant, "kb")
    status = await library.status(tenant, "kb")
    assert (status.documents, status.chunks, status.embedded, status.vectors_in_use) == (100, 100, 100, True)


async def test_another_analyzer_means_a_new_index(
    library: Library, store: Store, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [document(f"d{n}", f"Word {n} zebra.") for n in range(5)]
    await library.ingest(tenant, "kb", documents)
    before = await index_of(store, tenant)
    async with store.tenant(tenant) as tx:
        await tx.execute("UPDATE postings SET term = term || '-of-old' WHERE tenant_id = $1", tenant)
    monkeypatch.setattr(analyzer, "VERSION", analyzer.VERSION + 1)
    assert await found(library, tenant, "zebra") == []
    await library.ingest(tenant, "kb", documents)
    assert len(await found(library, tenant, "zebra")) == 5
    assert await index_of(store, tenant) == before


word = st.sampled_from(["zebra", "giraffe", "lion", "max_tokens", "the", "keys", "3.5"])
texts = st.lists(word, max_size=8).map(" ".join)
states = st.lists(st.dictionaries(st.sampled_from("abcde"), texts, max_size=5), min_size=2, max_size=4)


@settings(max_examples=25, deadline=None)
@given(history=states)
def test_the_index_depends_on_the_documents_and_not_on_how_they_came(
    module_database: str, history: list[dict[str, str]]
) -> None:
    asyncio.run(_same_index(module_database, history))


async def _same_index(dsn: str, history: list[dict[str, str]]) -> None:
    store = await Store.open(dsn)
    try:
        library = Library(store, FakeEmbedder())
        moved, direct = await new_tenant(store, uuid7().hex), await new_tenant(store, uuid7().hex)
        for state in history:
            await library.ingest(moved, "kb", [document(name, text) for name, text in state.items()], prune=True)
        await library.ingest(direct, "kb", [document(name, text) for name, text in history[-1].items()])
        assert await index_of(store, moved) == await index_of(store, direct)
        async with store.tenant(moved) as tx:
            row = await tx.fetchrow("SELECT chunk_count, term_total FROM knowledge_bases WHERE tenant_id = $1", moved)
        async with store.tenant(direct) as tx:
            assert row == await tx.fetchrow(
                "SELECT chunk_count, term_total FROM knowledge_bases WHERE tenant_id = $1", direct
            )
    finally:
        await store.aclose()
