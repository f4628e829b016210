"""Search: real BM25, vectors only when they are all there, and never another tenant's text."""

import math
from collections import Counter

import asyncpg
import pytest

from tenfold.core.errors import UpstreamUnavailable
from tenfold.core.ids import TenantId
from tenfold.retrieval import queries
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.library import Library
from tenfold.retrieval.search import K1, B
from tenfold.retrieval.select import tokens
from tenfold.retrieval.types import SourceDocument
from tenfold.store import Store

TEXTS = {
    "zebra": "Zebra zebra lion.",
    "lion": "Lion goat goat goat horse.",
    "goat": "Goat.",
    "horse": "Horse horse lion zebra cow.",
    "cow": "Cow cow cow cow cow cow cow horse.",
}


async def fill(library: Library, tenant: TenantId, texts: dict[str, str] = TEXTS, kb: str = "kb") -> None:
    await library.ingest(tenant, kb, [SourceDocument(id=name, text=text) for name, text in texts.items()])


def bm25(query: str) -> dict[str, float]:
    """The formula, over whole documents held in memory."""
    documents = {name: Counter(text.lower().replace(".", "").split()) for name, text in TEXTS.items()}
    average = sum(counts.total() for counts in documents.values()) / len(documents)
    scores = {}
    for name, counts in documents.items():
        score = 0.0
        for term, asked in Counter(query.split()).items():
            holding = sum(term in other for other in documents.values())
            weight = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            norm = K1 * (1 - B + B * counts.total() / average)
            score += asked * weight * counts[term] * (K1 + 1) / (counts[term] + norm)
        if score:
            scores[name] = score
    return scores


@pytest.mark.parametrize("query", ["zebra", "lion goat", "horse cow zebra", "goat goat goat", "cow unknown"])
async def test_scores_are_those_of_the_formula(library: Library, store: Store, tenant: TenantId, query: str) -> None:
    await fill(library, tenant)
    async with store.tenant(tenant, readonly=True) as tx:
        kb = await tx.fetchrow(queries.FIND_KB, tenant, "kb")
        assert kb is not None
        average = kb["term_total"] / kb["chunk_count"]
        figures = (float(kb["chunk_count"]), average, K1, B, 10)
        statement = queries.SEARCH_WORDS.format(allowed="", among="true")
        rows = await tx.fetch(statement, tenant, kb["id"], query, *figures)
        names = {
            row["number"]: row["document_id"]
            for row in await tx.fetch("SELECT number, document_id FROM chunks WHERE tenant_id = $1", tenant)
        }
    assert {names[row["number"]]: row["score"] for row in rows} == pytest.approx(bm25(query))
    assert all(0 < row["share"] <= 1 for row in rows)


async def test_passages_say_where_they_come_from(library: Library, tenant: TenantId) -> None:
    text = "# Guide\n\n## Install\n\nRun the installer.\n"
    source = SourceDocument(id="g", text=text, title="The guide", url="https://example.org/g", metadata={"a": 1})
    await library.ingest(tenant, "kb", [source])
    [passage] = await library.search(tenant, "kb", "installer")
    assert text[slice(*passage.span)] == passage.text
    assert (passage.document_id, passage.title, passage.url) == ("g", "The guide", "https://example.org/g")
    assert passage.heading.startswith("Guide")
    assert len(passage.document_hash) == 64
    assert 0 < passage.relevance <= 1


async def test_titles_and_headings_are_found(library: Library, tenant: TenantId) -> None:
    await library.ingest(tenant, "kb", [SourceDocument(id="a", title="Zebra", text="# Giraffe\n\nBody.")])
    for query in ("zebra", "giraffe", "body"):
        assert len(await library.search(tenant, "kb", query)) == 1


@pytest.mark.parametrize("query", ["", " ", "the", "?!", "\x00", "\ud800", "x" * 50_000, "' OR 1=1 --", "a & b | !c"])
async def test_any_question_may_be_asked(library: Library, tenant: TenantId, query: str) -> None:
    await fill(library, tenant)
    await library.search(tenant, "kb", query)
    await library.embed(tenant, "kb")
    await library.search(tenant, "kb", query)


async def test_an_unknown_knowledge_base_is_empty(library: Library, tenant: TenantId) -> None:
    assert await library.search(tenant, "absent", "zebra") == []
    assert (await library.status(tenant, "absent")).documents == 0


async def test_the_number_of_passages_is_bounded(library: Library, tenant: TenantId) -> None:
    await fill(library, tenant, {f"d{n}": f"zebra {n}" for n in range(30)})
    assert len(await library.search(tenant, "kb", "zebra", 7)) == 7
    assert len(await library.search(tenant, "kb", "zebra", 1000)) == 30


async def test_what_says_the_same_is_given_once_and_its_place_is_filled(library: Library, tenant: TenantId) -> None:
    same = "The zebra is striped, " + "and walks over the plain with its herd " * 5
    await fill(
        library, tenant, {"a": same, "b": same, "c": same, "lion": "The lion looks at the zebra.", "cow": "Cow."}
    )
    found = await library.search(tenant, "kb", "zebra", 2)
    assert sorted(passage.document_id for passage in found) in (["a", "lion"], ["b", "lion"], ["c", "lion"])


async def test_passages_fit_the_room_there_is(library: Library, tenant: TenantId) -> None:
    await fill(library, tenant, {f"d{n}": f"zebra {n} " + "word " * n for n in range(30)})
    everything = await library.search(tenant, "kb", "zebra", 30)
    capped = await library.search(tenant, "kb", "zebra", 30, max_tokens=100)
    assert 0 < len(capped) < len(everything)
    assert sum(map(tokens, capped)) <= 100
    assert await library.search(tenant, "kb", "zebra", max_tokens=0) == []


# -- vectors ------------------------------------------------------------------------


async def test_vectors_find_what_shares_no_counted_word(library: Library, tenant: TenantId) -> None:
    await fill(library, tenant, {"a": "the and of", "b": "zebra"})
    assert await library.search(tenant, "kb", "the and of") == []  # stop words only
    await library.embed(tenant, "kb")
    found = await library.search(tenant, "kb", "the and of")
    assert found[0].document_id == "a"
    assert found[0].relevance == pytest.approx(1, abs=0.01)


async def test_the_vector_leg_waits_until_all_vectors_are_there(
    library: Library, tenant: TenantId, embedder: FakeEmbedder
) -> None:
    await fill(library, tenant)
    await library.embed(tenant, "kb")
    assert (await library.status(tenant, "kb")).vectors_in_use
    await fill(library, tenant, {"new": "the and of"})
    assert not (await library.status(tenant, "kb")).vectors_in_use
    embedder.embedded.clear()
    await library.search(tenant, "kb", "zebra")
    assert embedder.embedded == []
    assert await library.embed(tenant, "kb") == 1
    await library.search(tenant, "kb", "zebra")
    assert embedder.embedded[-1] == "zebra"


async def test_when_the_embedder_is_away_words_answer(
    library: Library, tenant: TenantId, embedder: FakeEmbedder
) -> None:
    await fill(library, tenant)
    await library.embed(tenant, "kb")
    embedder.away = True
    assert [passage.document_id for passage in await library.search(tenant, "kb", "cow", 1)] == ["cow"]
    await fill(library, tenant, {"new": "text"})
    with pytest.raises(UpstreamUnavailable):
        await library.embed(tenant, "kb")
    embedder.away = False
    assert await library.embed(tenant, "kb") == 1  # the failure left the lease free


async def test_another_model_starts_over(library: Library, store: Store, tenant: TenantId) -> None:
    await fill(library, tenant)
    await library.embed(tenant, "kb")
    other = Library(store, FakeEmbedder(dimensions=32, fingerprint="fake:2"))
    assert not (await other.status(tenant, "kb")).vectors_in_use
    assert len(await other.search(tenant, "kb", "zebra")) == 2  # by words
    assert await other.embed(tenant, "kb") == len(TEXTS)
    assert (await other.status(tenant, "kb")).vectors_in_use
    assert not (await library.status(tenant, "kb")).vectors_in_use


async def test_without_pgvector_vectors_rerank_what_words_found(
    library: Library, store: Store, tenant: TenantId, database: str
) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute("ALTER TABLE tenfold.chunk_vectors ALTER COLUMN embedding TYPE real[] USING NULL")
    await owner.close()
    await fill(library, tenant, {"a": "zebra lion lion lion", "b": "zebra", "c": "the and"})
    await library.embed(tenant, "kb")
    found = await library.search(tenant, "kb", "zebra")
    assert [passage.document_id for passage in found] == ["b", "a"]
    assert found[0].relevance == pytest.approx(1, abs=0.01)
    assert found[1].relevance < 0.9


# -- tenants ------------------------------------------------------------------------


async def test_tenants_do_not_see_each_other(
    library: Library, store: Store, tenant: TenantId, other_tenant: TenantId
) -> None:
    await fill(library, tenant)
    await fill(library, other_tenant, {"secret": "zebra secret", **{f"d{n}": "zebra" for n in range(50)}})
    await library.embed(tenant, "kb")
    await library.embed(other_tenant, "kb")
    mine = await library.search(tenant, "kb", "zebra secret", 100)
    assert {passage.document_id for passage in mine} == set(TEXTS)
    alone = [passage.score for passage in mine]
    await library.delete(other_tenant, "kb", ["secret"])
    assert [passage.score for passage in await library.search(tenant, "kb", "zebra secret", 100)] == alone
    assert await library.delete(tenant, "kb", ["d1"]) == 0
    assert (await library.status(other_tenant, "kb")).documents == 50


async def test_row_level_security_holds_without_the_filter(
    library: Library, store: Store, tenant: TenantId, other_tenant: TenantId
) -> None:
    """Even a query that forgets its tenant sees and changes only the transaction's."""
    await fill(library, tenant)
    await library.embed(tenant, "kb")
    async with store.tenant(other_tenant) as tx:
        for table in ("knowledge_bases", "documents", "chunks", "postings", "chunk_vectors"):
            assert await tx.fetchval(f"SELECT count(*) FROM {table}") == 0
            assert await tx.execute(f"DELETE FROM {table}") == "DELETE 0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with store.tenant(other_tenant) as tx:
            await tx.execute(queries.CREATE_KB, tenant, "mine now", tenant, 1)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with store.tenant(other_tenant) as tx:
            await tx.execute("SELECT FROM chunk_vectors_0")


async def test_knowledge_bases_of_a_tenant_are_apart(library: Library, tenant: TenantId) -> None:
    await fill(library, tenant)
    await fill(library, tenant, {"only": "zebra"}, kb="second")
    assert [passage.document_id for passage in await library.search(tenant, "second", "zebra")] == ["only"]


class Recorder:
    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def took(self, pathway: str, seconds: float) -> None:
        self.told.append((pathway, seconds))


async def test_the_parts_of_a_search_are_timed(store: Store, tenant: TenantId, embedder: FakeEmbedder) -> None:
    recorder = Recorder()
    library = Library(store, embedder, recorder)
    await library.search(tenant, "kb", "zebra")
    assert recorder.told == [], "there was nothing to search"
    await fill(library, tenant)
    assert await library.search(tenant, "kb", "zebra")
    assert [pathway for pathway, _ in recorder.told] == ["search", "retrieve"]
    assert all(seconds > 0 for _, seconds in recorder.told)
