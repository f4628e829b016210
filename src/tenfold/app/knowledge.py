"""The first knowledge base: Tenfold's own documentation, one for all tenants, read in at start."""

import asyncio
import logging
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from uuid import UUID

from tenfold.assistant.types import Hit
from tenfold.core.errors import TenfoldError
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import SourceDocument

logger = logging.getLogger(__name__)

# Not a tenant that can sign in: the owner of what everybody may read.
DOCUMENTATION_TENANT = TenantId(UUID("00000000-0000-7000-8000-000000000001"))
DOCUMENTATION_SLUG = "tenfold-documentation"
KNOWLEDGE_BASE = "documentation"

_RETRY_S = 5.0


class DocumentationSearch:
    """The assistant's Searcher."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def search(self, principal: Principal, question: str, *, limit: int) -> list[Hit]:
        found = await self._library.search(DOCUMENTATION_TENANT, KNOWLEDGE_BASE, question, limit)
        return [
            Hit(
                title=passage.title,
                url=passage.url,
                text=passage.text,
                relevance=passage.relevance,
                heading=passage.heading,
                span=passage.span,
            )
            for passage in found
        ]


async def keep_documentation(library: Library) -> None:
    """Bring the knowledge base up to the packaged pages; unchanged ones cost nothing. Tries until it is done."""
    while True:
        try:
            await library.ingest(DOCUMENTATION_TENANT, KNOWLEDGE_BASE, list(_pages(files("tenfold") / "docs", "")))
            return
        except TenfoldError as error:
            logger.warning("the documentation could not be read in: %s", error.message)
            await asyncio.sleep(_RETRY_S)


def _pages(folder: Traversable, prefix: str) -> Iterator[SourceDocument]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _pages(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".md"):
            slug = prefix + entry.name.removesuffix(".md")
            yield SourceDocument(id=slug, text=entry.read_text(encoding="utf-8"), url=f"/docs/{slug}")
