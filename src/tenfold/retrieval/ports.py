"""What retrieval needs from outside: something that turns texts into vectors, and somebody who wants to know how long
it took.
"""

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from tenfold.core.ids import TenantId


class Embedder(Protocol):
    @property
    def dimensions(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """Names the model and its version. Vectors of two fingerprints are never compared."""
        ...

    @property
    def unrelated_cosine(self) -> float:
        """The cosine that two texts with nothing in common have; 0 to below 1. It scales relevance."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Of questions: a vector of length 1 for each. Raises UpstreamError."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        """Of what questions are asked about; a model may take less care of these, of which there are many."""
        ...


@runtime_checkable
class Embedders(Protocol):
    """Of each tenant, who may be charged for what it embeds."""

    def wanted(self, tenant_id: TenantId) -> Embedder | None:
        """Makes new vectors. None: searches go by words alone."""
        ...

    def named(self, tenant_id: TenantId, fingerprint: str | None) -> Embedder | None:
        """The one that made these vectors. None: it is not there any more."""
        ...


class Recorder(Protocol):
    def took(self, pathway: Literal["search", "retrieve"], seconds: float) -> None:
        """The two parts of a search: `search` finds candidates by words, `retrieve` is the vectors, the fusion and the
        reading of the passages."""
        ...
