"""Knowledge bases in memory that find by shared words, and a reader of plain text: for tests of what stands on them."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import json, structs

from tenfold.core.errors import Conflict, UpstreamUnavailable
from tenfold.core.ids import TenantId
from tenfold.retrieval.extract.types import Extracted, UnreadableFile
from tenfold.retrieval.filters import matches
from tenfold.retrieval.types import Filter, IngestReport, Passage, SourceDocument, StoredDocument

_WORD = re.compile(r"\w+")


class FakeShelf:
    """Implements `ports.Shelf`; a paragraph is a passage. `busy`: so many writes more find that somebody else writes;
    `deaf`: the embedder is away."""

    def __init__(self) -> None:
        self.busy = 0
        self.deaf = False
        self.ingested: list[str] = []
        self._bases: dict[tuple[TenantId, str], dict[str, SourceDocument]] = {}

    async def ingest(
        self, tenant_id: TenantId, kb: str, documents: Iterable[SourceDocument], *, prune: bool = False
    ) -> IngestReport:
        self._write()
        base = self._bases.setdefault((tenant_id, kb), {})
        given = {document.id: document for document in documents}
        self.ingested += given
        added, unchanged = len(given.keys() - base.keys()), sum(base.get(at) == each for at, each in given.items())
        gone = base.keys() - given.keys() if prune else set[str]()
        for each in gone:
            del base[each]
        base |= given
        return IngestReport(added=added, changed=len(given) - added - unchanged, unchanged=unchanged, deleted=len(gone))

    async def embed(self, tenant_id: TenantId, kb: str) -> int:
        if self.deaf:
            raise UpstreamUnavailable("The embedder is away.")
        return 0

    async def delete(self, tenant_id: TenantId, kb: str, document_ids: Sequence[str]) -> int:
        self._write()
        base = self._bases.get((tenant_id, kb), {})
        return sum(base.pop(each, None) is not None for each in document_ids)

    async def describe(self, tenant_id: TenantId, kb: str, document_id: str, metadata: dict[str, Any]) -> bool:
        self._write()
        base = self._bases.get((tenant_id, kb), {})
        if document_id not in base:
            return False
        base[document_id] = structs.replace(base[document_id], metadata=metadata)
        return True

    async def document(self, tenant_id: TenantId, kb: str, document_id: str) -> StoredDocument | None:
        found = self._bases.get((tenant_id, kb), {}).get(document_id)
        if found is None:
            return None
        return StoredDocument(
            id=found.id,
            hash=_hash(found),
            title=found.title,
            url=found.url,
            metadata=found.metadata,
            text=found.text,
        )

    async def document_ids(self, tenant_id: TenantId, kb: str, *, limit: int) -> list[str]:
        return sorted(self._bases.get((tenant_id, kb), {}))[:limit]

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
        asked = set(_WORD.findall(query.lower()))
        found: list[Passage] = []
        for document in self._bases.get((tenant_id, kb), {}).values():
            if matches(filters, document.metadata):
                found += _passages(document, asked)
        return sorted(found, key=lambda passage: -passage.score)[:k]

    def _write(self) -> None:
        if self.busy:
            self.busy -= 1
            raise Conflict("Another process changes the knowledge base at the moment.")


class FakeReader:
    """Implements `ports.Reader`: UTF-8 text is text, with pages where it has form feeds; all else cannot be read."""

    async def extract(self, data: bytes, *, filename: str, content_type: str = "") -> Extracted:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise UnreadableFile(f"{filename} is no text.", "unsupported_file") from None
        pages = tuple(at + 1 for at, sign in enumerate(text) if sign == "\f")
        return Extracted(text=text.replace("\f", "\n"), title="", pages=(0, *pages) if pages else ())


def _passages(document: SourceDocument, asked: set[str]) -> Iterable[Passage]:
    at = 0
    for paragraph in document.text.split("\n\n"):
        share = len(asked & set(_WORD.findall(paragraph.lower()))) / max(1, len(asked))
        if share:
            yield Passage(
                document_id=document.id,
                document_hash=_hash(document),
                title=document.title,
                url=document.url,
                heading="",
                text=paragraph,
                span=(at, at + len(paragraph)),
                score=share,
                relevance=share,
                metadata=document.metadata,
            )
        at += len(paragraph) + 2


def _hash(document: SourceDocument) -> str:
    return hashlib.sha256(json.encode(document, order="deterministic")).hexdigest()
