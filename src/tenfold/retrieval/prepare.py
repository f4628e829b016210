"""From a source document to what is stored of it: its hash and its chunks. Pure."""

import hashlib
from collections.abc import Sequence

from msgspec import Struct, json

from tenfold.core.errors import InvalidRequest
from tenfold.retrieval import analyzer, chunker
from tenfold.retrieval.chunker import Chunk, chunk
from tenfold.retrieval.types import SourceDocument

MAX_DOCUMENT_CHARS = 4_000_000
MAX_ID_BYTES = 1024
MAX_METADATA_BYTES = 65_536


class Prepared(Struct, frozen=True, kw_only=True):
    document: SourceDocument
    hash: str
    chunks: list[Chunk]


def cleaned(document: SourceDocument) -> SourceDocument:
    """What Postgres can store: no NUL, no lone surrogate; titled by its first heading when it has no title.
    Raises InvalidRequest: no id, too large, or metadata that is no JSON."""
    if not 1 <= len(document.id.encode("utf-8", "replace")) <= MAX_ID_BYTES:
        raise InvalidRequest(f"A document's id has 1 to {MAX_ID_BYTES} bytes.", param="id")
    if len(document.text) > MAX_DOCUMENT_CHARS:
        raise InvalidRequest(f"A document has at most {MAX_DOCUMENT_CHARS:,} characters.", param="text")
    _check_metadata(document)
    return SourceDocument(
        id=_storable(document.id),
        text=_storable(document.text),
        title=_storable(document.title.strip() or chunker.leading_title(document.text)),
        url=_storable(document.url),
        metadata=document.metadata,
        chunking=document.chunking,
    )


def _check_metadata(document: SourceDocument) -> None:
    try:
        encoded = json.encode(document.metadata, order="deterministic")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"The metadata of {document.id!r} is no JSON: {error}.", param="metadata") from None
    if b"\\u0000" in encoded:
        raise InvalidRequest(f"The metadata of {document.id!r} holds a NUL character.", param="metadata")
    if len(encoded) > MAX_METADATA_BYTES:
        raise InvalidRequest(f"Metadata has at most {MAX_METADATA_BYTES:,} bytes.", param="metadata")


def content_hash(document: SourceDocument) -> str:
    """Of all that is stored, and of how it is cut: what hashes the same needs no work."""
    facts = [chunker.VERSION, document.title, document.url, document.metadata, document.text]
    if document.chunking is not None:
        facts.append(document.chunking)
    return hashlib.sha256(json.encode(facts, order="deterministic")).hexdigest()


def prepare(documents: Sequence[SourceDocument], hashes: Sequence[str]) -> list[Prepared]:
    return [
        Prepared(document=document, hash=content, chunks=chunk(document.text, document.chunking))
        for document, content in zip(documents, hashes, strict=True)
    ]


def indexed_words(title: str, heading: str, text: str) -> str:
    """A chunk is found by its title and headings as well."""
    return analyzer.words(f"{_above(title, heading)}\n{text}")


def embedded_text(title: str, heading: str, text: str) -> str:
    """What a chunk's vector is made of: the chunk under its title and headings."""
    above = _above(title, heading)
    return f"{above}\n{text}" if above else text


def _above(title: str, heading: str) -> str:
    """Title and headings; most documents begin with their title as the first heading, and it is said once."""
    if heading == title or heading.startswith(f"{title} > "):
        return heading
    return " > ".join(part for part in (title, heading) if part)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "")
