"""The index is a cache: made again it is the same, and where it is not, that is told and can be put right."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from tenfold.core.errors import Conflict, NotFound
from tenfold.core.ids import TenantId, uuid7
from tenfold.retrieval.embedders import OneEmbedder
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.index.keeping import statuses
from tenfold.retrieval.index.progress import Part
from tenfold.retrieval.index.rebuild import rebuild
from tenfold.retrieval.lease import Lease
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import Chunking, SourceDocument
from tenfold.store import Store
from tests.retrieval.index.conftest import documents, sets

LONG = "\n\n".join(f"## Part {n}\n\n" + f"Zebras of herd {n} graze. " * 30 for n in range(5))


async def filled(library: Library, tenant: TenantId) -> None:
    """With a history: changed, deleted, cut in two ways."""
    await library.ingest(tenant, "kb", documents(12))
    await library.ingest(tenant, "kb", documents(6, "giraffe"))
    await library.delete(tenant, "kb", ["d001", "d008"])
    cut = Chunking(max_tokens=100, overlap_tokens=20)
    await library.ingest(
        tenant, "kb", [SourceDocument(id="long", text=LONG), SourceDocument(id="cut", text=LONG, chunking=cut)]
    )
    await library.embed(tenant, "kb")


async def everything(store: Store, tenant: TenantId) -> list[Any]:
    found: list[Any] = []
    async with store.tenant(tenant) as tx:
        for table in ("documents", "chunks", "postings", "chunk_vectors"):
            rows = await tx.fetch(f"SELECT t::text FROM {table} t WHERE tenant_id = $1 ORDER BY 1", tenant)
            found += [row[0] for row in rows]
    return found


async def test_it_is_equal_and_nothing_changes(library: Library, store: Store, tenant: TenantId) -> None:
    await filled(library, tenant)
    before = await everything(store, tenant)
    seen: list[tuple[Part, int, int]] = []
    found = await rebuild(store, tenant, "kb", OneEmbedder(FakeEmbedder(64)), progress=lambda *told: seen.append(told))
    assert found.equal and [part.part for part in found.parts] == ["documents", "words", "vectors"]
    assert found.parts[0].checked == 12 and all(part.checked for part in found.parts)
    assert found.parts[2].lowest_cosine == pytest.approx(1)
    assert not any(part.switched for part in found.parts)
    assert await everything(store, tenant) == before
    assert {part for part, _, _ in seen} == {"documents", "words", "vectors"}
    assert all(done <= of for _, done, of in seen)


async def test_switched_it_finds_the_same(library: Library, store: Store, tenant: TenantId) -> None:
    await filled(library, tenant)
    questions = ("zebra number 7", "giraffe", "herd 3 graze")
    before = [await library.search(tenant, "kb", question) for question in questions]
    old = await sets(store, tenant, "postings"), await sets(store, tenant, "chunk_vectors")
    found = await library.rebuild(tenant, "kb", switch=True)
    assert found.equal and [part.switched for part in found.parts] == [False, True, True]
    assert [await library.search(tenant, "kb", question) for question in questions] == before
    new = await sets(store, tenant, "postings"), await sets(store, tenant, "chunk_vectors")
    for one, other in zip(old, new, strict=True):
        assert len(other) == 1 and not one.keys() & other.keys()
    assert old[1].total() == new[1].total()
    # And it goes on from there.
    await library.ingest(tenant, "kb", [SourceDocument(id="late", text="An okapi.")])
    await library.embed(tenant, "kb")
    await library.delete(tenant, "kb", ["long", "d002"])
    assert [passage.document_id for passage in await library.search(tenant, "kb", "okapi", 1)] == ["late"]
    assert (await library.rebuild(tenant, "kb")).equal


Damage = Callable[[asyncpg.Connection], Awaitable[Any]]

DAMAGES: dict[str, tuple[str, Part, str]] = {
    "a word is gone": ("DELETE FROM postings WHERE term = 'zebra'", "words", "zebra in chunks 0-127"),
    "a word too many": (
        "INSERT INTO postings SELECT tenant_id, kb_id, 'okapi', 0, '{131841}' FROM postings LIMIT 1",
        "words",
        "okapi in chunks 0-127",
    ),
    "an entry is wrong": ("UPDATE postings SET entries[1] = entries[1] + 1 WHERE term = 'giraff'", "words", "giraff"),
    "words are miscounted": ("UPDATE knowledge_bases SET term_total = 7", "words", "7 words are noted"),
    "a chunk has another text": (
        "UPDATE chunks SET text = 'Nothing.' WHERE document_id = 'd003'",
        "documents",
        "d003: 1 chunks are cut from its text, 1 others are stored",
    ),
    "a chunk is missing": (
        "DELETE FROM chunks WHERE document_id = 'long' AND ordinal = 2",
        "documents",
        "chunks are cut from its text",
    ),
    "a text is another": ("UPDATE documents SET text = text || '!' WHERE id = 'd004'", "documents", "d004: its hash"),
    "documents are miscounted": ("UPDATE knowledge_bases SET document_count = 3", "documents", "3 documents and"),
    "a vector is another": (
        "UPDATE chunk_vectors v SET embedding = (SELECT embedding FROM chunk_vectors w WHERE w.number <> v.number"
        " AND w.embedding <> v.embedding LIMIT 1) WHERE number = (SELECT max(number) FROM chunk_vectors)",
        "vectors",
        "cosine",
    ),
    "a vector is of no chunk": (
        "INSERT INTO chunk_vectors SELECT tenant_id, kb_id, 9999, embedding FROM chunk_vectors LIMIT 1",
        "vectors",
        "1 vectors are of chunks that are gone",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_what_differs_is_told_and_put_right(
    name: str, library: Library, store: Store, tenant: TenantId, database: str
) -> None:
    statement, part, words = DAMAGES[name]
    await filled(library, tenant)
    owner = await asyncpg.connect(database)
    await owner.execute("SET search_path = tenfold, public")
    await owner.execute(statement)
    await owner.close()
    found = await library.rebuild(tenant, "kb")
    [differing] = [each for each in found.parts if each.part == part]
    assert not differing.equal and any(words in example for example in differing.examples)
    await library.rebuild(tenant, "kb", switch=True)
    await library.embed(tenant, "kb")
    assert (await library.rebuild(tenant, "kb")).equal


async def test_a_document_without_its_text_is_told_and_may_come_again(
    library: Library, store: Store, tenant: TenantId
) -> None:
    """One that was read in before texts were kept."""
    await library.ingest(tenant, "kb", documents(2))
    async with store.tenant(tenant) as tx:
        await tx.execute("UPDATE documents SET text = NULL WHERE tenant_id = $1 AND id = 'd001'", tenant)
    found = await library.rebuild(tenant, "kb", switch=True)
    assert found.parts[0].examples == ["d001: its text was not kept; read it in again"]
    assert (await library.ingest(tenant, "kb", documents(2))).changed == 1
    assert (await library.rebuild(tenant, "kb")).equal


async def test_what_a_process_that_died_was_making_goes(library: Library, store: Store, tenant: TenantId) -> None:
    await filled(library, tenant)
    before = await everything(store, tenant)
    made = uuid7()
    async with store.tenant(tenant) as tx:
        await tx.execute("UPDATE knowledge_bases SET next_words_set = $2 WHERE tenant_id = $1", tenant, made)
        await tx.execute(
            "INSERT INTO postings SELECT tenant_id, $2, term, bucket, entries FROM postings WHERE tenant_id = $1",
            tenant,
            made,
        )
    await library.ingest(tenant, "kb", [])
    assert await everything(store, tenant) == before


async def test_the_vectors_of_a_rebuild_that_died_go(
    library: Library, store: Store, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(library, tenant)
    before = await sets(store, tenant, "chunk_vectors")

    async def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("tenfold.retrieval.index.rebuild._pairs", dies)
        patched.setattr(Lease, "release", lambda _self: asyncio.sleep(0))
        with pytest.raises(KeyboardInterrupt):
            await library.rebuild(tenant, "kb", parts=["vectors"])
    assert len(await sets(store, tenant, "chunk_vectors")) == 2
    [status] = await statuses(store, tenant, OneEmbedder(FakeEmbedder(64)))
    assert status.state == "ready"
    await library.embed(tenant, "kb")  # its lease is waited for
    assert len(await sets(store, tenant, "chunk_vectors")) == 2
    async with store.tenant(tenant) as tx:
        await tx.execute(
            "UPDATE knowledge_bases SET reembed_until = now() - interval '1 s' WHERE tenant_id = $1", tenant
        )
    await library.embed(tenant, "kb")
    await library.ingest(tenant, "kb", [])
    assert await sets(store, tenant, "chunk_vectors") == before


async def test_nobody_else_writes_meanwhile(library: Library, store: Store, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", documents(2))
    lease = Lease(store, tenant, "kb", "write")
    async with store.tenant(tenant) as tx:
        await lease.hold(tx)
    with pytest.raises(Conflict):
        await library.rebuild(tenant, "kb")
    await lease.release()


async def test_another_tenants_is_not_there(
    library: Library, store: Store, tenant: TenantId, other_tenant: TenantId
) -> None:
    await library.ingest(tenant, "kb", documents(2))
    with pytest.raises(NotFound):
        await library.rebuild(other_tenant, "kb")
    assert await library.drop(other_tenant, "kb") is False


async def test_dropped_nothing_is_left(library: Library, store: Store, tenant: TenantId) -> None:
    await filled(library, tenant)
    assert await library.drop(tenant, "kb")
    assert await everything(store, tenant) == []
    async with store.tenant(tenant) as tx:
        assert await tx.fetchval("SELECT count(*) FROM knowledge_bases WHERE tenant_id = $1", tenant) == 0
    assert not await library.drop(tenant, "kb")
