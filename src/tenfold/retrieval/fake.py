"""An embedder without a model, and several side by side, for tests of whatever stands on retrieval."""

import hashlib
import math
import re
from collections.abc import Sequence

from tenfold.core.errors import UpstreamUnavailable
from tenfold.core.ids import TenantId
from tenfold.retrieval.ports import Embedder

_WORD = re.compile(r"\w+")


class FakeEmbedder:
    """Texts that share words are near each other: each word adds to one place chosen by its hash.

    Deterministic. `away` makes it raise UpstreamUnavailable."""

    unrelated_cosine = 0.0

    def __init__(self, dimensions: int = 384, fingerprint: str = "fake:1") -> None:
        self.dimensions = dimensions
        self.fingerprint = fingerprint
        self.away = False
        self.embedded: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self.away:
            raise UpstreamUnavailable("The embedder is away.")
        self.embedded += texts
        return [self.vector(text) for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        return await self.embed(texts)

    def vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimensions
        for word in _WORD.findall(text.lower()):
            digest = hashlib.sha256(word.encode("utf-8", "replace")).digest()
            vector[int.from_bytes(digest[:4], "big") % self.dimensions] += 1.0
        norm = math.hypot(*vector)
        if norm == 0:
            vector[0] = norm = 1.0
        return [value / norm for value in vector]


class SeveralEmbedders:
    """All for all tenants; the first is the wanted one. While one takes over from another, searches need both."""

    def __init__(self, *embedders: Embedder) -> None:
        self._wanted = embedders[0]
        self._named = {embedder.fingerprint: embedder for embedder in embedders}

    def wanted(self, tenant_id: TenantId) -> Embedder | None:
        return self._wanted

    def named(self, tenant_id: TenantId, fingerprint: str | None) -> Embedder | None:
        return None if fingerprint is None else self._named.get(fingerprint)
