"""What goes into a knowledge base and what is found in it."""

from typing import Any, Literal

from msgspec import Struct, field

Scalar = str | float | bool
Comparison = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]


class Chunking(Struct, frozen=True, kw_only=True):
    """How a text is cut where its author says so. A token counts as four characters."""

    max_tokens: int  # of a chunk, what it shares with the one before included
    overlap_tokens: int  # that a chunk shares with the one before; at most half of max_tokens


class SourceDocument(Struct, frozen=True, kw_only=True):
    """`id` is the caller's own name for it and stays when the text changes; `url` leads a person to it. `chunking`
    None: cut by its structure alone."""

    id: str
    text: str  # Markdown or plain
    title: str = ""
    url: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    chunking: Chunking | None = None


class StoredDocument(Struct, frozen=True, kw_only=True):
    """A document as it is in a knowledge base. What is blank between two chunks may be told as newlines."""

    id: str
    hash: str
    title: str
    url: str
    metadata: dict[str, Any]
    text: str


class Compare(Struct, frozen=True, kw_only=True):
    """Documents whose metadata say so of `key`; one without the key is only there for `ne` and `nin`."""

    key: str
    type: Comparison
    value: Scalar | tuple[Scalar, ...]


class AllOf(Struct, frozen=True, kw_only=True):
    filters: "tuple[Filter, ...]"


class AnyOf(Struct, frozen=True, kw_only=True):
    filters: "tuple[Filter, ...]"


Filter = Compare | AllOf | AnyOf


class Passage(Struct, frozen=True, kw_only=True):
    """A chunk that was found. `text` is `document[span[0]:span[1]]` of the version named by `document_hash`."""

    document_id: str
    document_hash: str
    title: str
    url: str
    heading: str  # path of headings, "Guide > Install"; empty at the top
    text: str
    span: tuple[int, int]
    score: float  # orders the passages of one search; not comparable between searches
    relevance: float  # 0: nothing in common with the question, 1: says the same; from 0.4 on it is on its subject
    metadata: dict[str, Any] = field(default_factory=dict)  # of its document


class IngestReport(Struct, frozen=True, kw_only=True):
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0


class KnowledgeStatus(Struct, frozen=True, kw_only=True):
    documents: int
    chunks: int
    embedded: int  # chunks that have their vector
    vectors_in_use: bool  # searches use them: all are there and of the current model
