"""Which model makes vectors: the one that is wanted for new ones, and whichever made those that are searched now."""

from tenfold.core.ids import TenantId
from tenfold.retrieval.ports import Embedder, Embedders


class OneEmbedder:
    """The same for all tenants, and no other."""

    def __init__(self, embedder: Embedder | None) -> None:
        """None: searches go by words alone."""
        self._embedder = embedder

    def wanted(self, tenant_id: TenantId) -> Embedder | None:
        return self._embedder

    def named(self, tenant_id: TenantId, fingerprint: str | None) -> Embedder | None:
        if self._embedder is None or self._embedder.fingerprint != fingerprint:
            return None
        return self._embedder


class SeveralEmbedders:
    """All for all tenants; the first is the wanted one. While one takes over from another, searches need both."""

    def __init__(self, *embedders: Embedder) -> None:
        self._wanted = embedders[0]
        self._named = {embedder.fingerprint: embedder for embedder in embedders}

    def wanted(self, tenant_id: TenantId) -> Embedder | None:
        return self._wanted

    def named(self, tenant_id: TenantId, fingerprint: str | None) -> Embedder | None:
        return None if fingerprint is None else self._named.get(fingerprint)


def embedders_of(given: Embedder | Embedders | None) -> Embedders:
    """One embedder, or none, as those of all tenants."""
    return given if isinstance(given, Embedders) else OneEmbedder(given)
