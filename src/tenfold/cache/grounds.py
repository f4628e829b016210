"""The documents an answer rests on, by name and version: "<knowledge base>/<document>@<version>". With nothing before
the stroke it is a document of the caller's own, who says when it changes.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

DOCUMENTS_TOPIC: Final = "documents"
"""Of store.changes: documents of the tenant came, changed or went. Whatever keeps answers of them looks them up."""

SLACK_S: Final = 1.0
"""A call that began so shortly after an eviction counts as begun before: clocks are read a moment apart."""

MAX_CHARS = 1_024  # of a document's name, or its version


class Document(Struct, frozen=True, order=True):
    """`kb` is the name of a knowledge base, "" for a document of the caller's own. An empty version is any."""

    kb: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.kb}/{self.name}@{self.version}"


def document_of(text: str) -> Document:
    """The inverse of `str`: the knowledge base ends at the first stroke, the version begins after the last @."""
    kb, _, rest = text.partition("/")
    name, at, version = rest.rpartition("@")
    return Document(kb, name if at else rest, version)


def documents_of(texts: Iterable[str]) -> list[Document]:
    """In their order, so that whoever locks several meets nobody who goes the other way."""
    return sorted({document_of(text) for text in texts})


def named_by_caller(text: str) -> Document:
    """A document of the caller's own as the outside says it: `name@version`, or `name`."""
    name, at, version = text.strip().rpartition("@")
    return Document("", name, version) if at else Document("", version, "")
