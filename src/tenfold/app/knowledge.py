"""The first knowledge base: Tenfold's own documentation, one for all tenants, read in at start; and what reads the
files of the others.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from importlib.resources import files
from importlib.resources.abc import Traversable

from tenfold.access.handlers import Tenants
from tenfold.app.settings import Settings
from tenfold.assistant.types import Hit
from tenfold.console.documentation import MarkdownDocumentation
from tenfold.core.errors import Conflict, TenfoldError
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.retrieval.extract.extractor import Extractor
from tenfold.retrieval.extract.types import Limits
from tenfold.retrieval.library import Library
from tenfold.retrieval.prepare import MAX_DOCUMENT_CHARS
from tenfold.retrieval.types import SourceDocument

logger = logging.getLogger(__name__)

# Not a tenant that anybody signs in to: the owner of what everybody may read.
OWNER = "tenfold-documentation"
KNOWLEDGE_BASE = "documentation"

_FOLDER = files("tenfold") / "docs"
_RETRY_S = 5.0
_READ_IN_S = 6.0  # that a question waits on a machine that has just been started


class Documentation:
    """The packaged pages in the library, and the assistant's Searcher over them."""

    def __init__(self, library: Library, tenants: Tenants) -> None:
        self.pages = MarkdownDocumentation(_FOLDER)
        self._library = library
        self._tenants = tenants
        self._asked = asyncio.Event()
        self._is_read = asyncio.Event()

    async def keep(self) -> None:
        """Bring the knowledge base up to the packaged pages; unchanged ones cost nothing. Runs until cancelled.

        Vectors are made once somebody has asked: until then searches go by words, and a process that only serves
        calls never starts the embedding model.
        """
        pages = list(_documents(_FOLDER, ""))
        await self._until_done(lambda owner: self._library.ingest(owner, KNOWLEDGE_BASE, pages, prune=True))
        self._is_read.set()
        await self._asked.wait()
        await self._until_done(lambda owner: self._library.embed(owner, KNOWLEDGE_BASE))

    async def _until_done(self, work: Callable[[TenantId], Awaitable[object]]) -> None:
        while True:
            try:
                await work(await self._owner())
                return
            except Conflict:  # another process is at it
                await asyncio.sleep(_RETRY_S)
            except TenfoldError as error:
                logger.warning("the documentation could not be read in: %s", error.message)
                await asyncio.sleep(_RETRY_S)

    async def search(self, principal: Principal, question: str, *, limit: int) -> list[Hit]:
        """The same for every principal. What finds nothing before all is read in looks once more."""
        self._asked.set()
        owner = await self._owner()
        found = await self._library.search(owner, KNOWLEDGE_BASE, question, limit)
        if not found and not self._is_read.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_read.wait(), _READ_IN_S)
            found = await self._library.search(owner, KNOWLEDGE_BASE, question, limit)
        return [
            Hit(
                title=passage.title,
                url=self.pages.url(passage.document_id, passage.span[0]),
                text=passage.text,
                relevance=passage.relevance,
                heading=passage.heading,
                span=passage.span,
            )
            for passage in found
        ]

    async def _owner(self) -> TenantId:
        return (await self._tenants.tenant_or_new(OWNER, "Tenfold's documentation")).id


def open_extractor(settings: Settings) -> Extractor:
    """Starts nothing until the first file."""
    limits = settings.vector_stores
    return Extractor(
        limits=Limits(
            max_bytes=limits.max_file_bytes,
            max_chars=MAX_DOCUMENT_CHARS,
            memory_bytes=limits.read_memory_bytes,
            cpu_s=limits.read_seconds,
            wall_s=2.0 * limits.read_seconds,
        )
    )


def _documents(folder: Traversable, prefix: str) -> Iterator[SourceDocument]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _documents(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".md"):
            slug = prefix + entry.name.removesuffix(".md")
            yield SourceDocument(id=slug, text=entry.read_text(encoding="utf-8"), url=f"/docs/{slug}")
