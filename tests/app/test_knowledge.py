"""The packaged documentation: read in as it is, searched by everybody, its vectors made once somebody asks."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from tenfold.access.fake import FakeAccessRows
from tenfold.access.handlers import Tenants
from tenfold.app import knowledge
from tenfold.app.knowledge import KNOWLEDGE_BASE, OWNER, Documentation
from tenfold.core.clock import FakeClock
from tenfold.core.errors import Conflict, StoreUnavailable, TenfoldError
from tenfold.core.ids import TenantId
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import Filter, IngestReport, Passage, SourceDocument
from tests.support.pipeline import principal


class FakeLibrary(Library):
    """Keeps what it is given and finds what it is told to; `refusals` are raised first, one a call."""

    def __init__(self, *refusals: TenfoldError) -> None:
        self.documents: dict[str, SourceDocument] = {}
        self.owners: set[TenantId] = set()
        self.asked: list[tuple[str, int]] = []
        self.ingested, self.embedded = asyncio.Event(), asyncio.Event()
        self.found: list[Passage] = []
        self.attempts = 0
        self._refusals = list(refusals)

    async def ingest(
        self, tenant_id: TenantId, kb: str, documents: Iterable[SourceDocument], *, prune: bool = False
    ) -> IngestReport:
        self._attempt(tenant_id, kb)
        assert prune, "pages that are gone must not be found"
        self.documents = {document.id: document for document in documents}
        self.ingested.set()
        return IngestReport(added=len(self.documents))

    async def embed(self, tenant_id: TenantId, kb: str) -> int:
        self._attempt(tenant_id, kb)
        self.embedded.set()
        return 1

    async def search(
        self,
        tenant_id: TenantId,
        kb: str,
        query: str,
        k: int = 10,
        *,
        filters: Filter | None = None,
        max_tokens: int | None = None,
    ) -> list[Passage]:
        self._attempt(tenant_id, kb)
        self.asked.append((query, k))
        return self.found

    def _attempt(self, tenant_id: TenantId, kb: str) -> None:
        self.attempts += 1
        assert kb == KNOWLEDGE_BASE
        self.owners.add(tenant_id)
        if self._refusals:
            raise self._refusals.pop(0)


@asynccontextmanager
async def kept(library: FakeLibrary) -> AsyncIterator[Documentation]:
    documentation = Documentation(library, Tenants(FakeAccessRows(), FakeClock()))
    task = asyncio.create_task(documentation.keep())
    try:
        async with asyncio.timeout(5):
            await library.ingested.wait()
            yield documentation
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_every_page_is_read_in_under_its_address() -> None:
    library = FakeLibrary()
    async with kept(library) as documentation:
        pages = {entry.slug for entry in documentation.pages.entries()}
        assert library.documents.keys() == pages
        assert "quickstart" in pages
        assert all(document.url == f"/docs/{slug}" for slug, document in library.documents.items())
        assert all(document.text for document in library.documents.values())


async def test_vectors_are_made_once_somebody_has_asked() -> None:
    library = FakeLibrary()
    async with kept(library) as documentation:
        for _ in range(10):
            await asyncio.sleep(0)
        assert not library.embedded.is_set()
        await documentation.search(principal(), "What is a receipt?", limit=3)
        await library.embedded.wait()
    assert library.asked == [("What is a receipt?", 3)]


async def test_everybody_searches_the_same_pages() -> None:
    library = FakeLibrary()
    async with kept(library) as documentation:
        for slug in ("acme", "beta"):
            await documentation.search(principal(slug), "x", limit=1)
    assert len(library.owners) == 1


async def test_a_passage_leads_to_its_heading() -> None:
    library = FakeLibrary()
    async with kept(library) as documentation:
        slug = "quickstart"
        text = library.documents[slug].text
        second = text.index("\n## ") + 1
        library.found = [
            Passage(
                document_id=slug,
                document_hash="h",
                title="Quick start",
                url="",
                heading="Quick start > Then",
                text=text[second : second + 50],
                span=(second, second + 50),
                score=1.0,
                relevance=0.7,
            )
        ]
        [hit] = await documentation.search(principal(), "x", limit=1)
    assert hit.url.startswith("/docs/quickstart#")
    assert (hit.title, hit.heading, hit.relevance) == ("Quick start", "Quick start > Then", 0.7)
    assert hit.text == text[hit.span[0] : hit.span[1]]


@pytest.mark.parametrize("refusal", [Conflict("Another process is at it."), StoreUnavailable("The database is away.")])
async def test_what_stands_in_the_way_is_waited_out(refusal: TenfoldError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "_RETRY_S", 0)
    library = FakeLibrary(refusal, refusal)
    async with kept(library):
        assert library.attempts == 3


async def test_its_owner_is_nobody_that_signs_in() -> None:
    rows = FakeAccessRows()
    documentation = Documentation(FakeLibrary(), Tenants(rows, FakeClock()))
    await documentation.search(principal(), "x", limit=1)
    assert [tenant.slug for tenant in await rows.tenants(after=None, limit=9)] == [OWNER]
