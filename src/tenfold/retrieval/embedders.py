"""Which model makes vectors: the one that is wanted for new ones, and whichever made those that are searched now."""

from tenfold.core.ids import TenantId
from tenfold.retrieval.calling import PREFIX, CalledEmbedder, Models
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


class ConfiguredEmbedders:
    """The bundled model, and any that calls can be made to. One takes over from the other while both are there."""

    def __init__(self, offline: Embedder | None, models: Models, model: str | None) -> None:
        """`model`: the wanted one, by the name that calls give it; None: `offline`."""
        self._offline = offline
        self._models = models
        self._model = model

    def wanted(self, tenant_id: TenantId) -> Embedder | None:
        return self._offline if self._model is None else CalledEmbedder(self._models, tenant_id, self._model)

    def named(self, tenant_id: TenantId, fingerprint: str | None) -> Embedder | None:
        if fingerprint is not None and fingerprint.startswith(PREFIX):
            return CalledEmbedder(self._models, tenant_id, fingerprint.removeprefix(PREFIX))
        if self._offline is not None and self._offline.fingerprint == fingerprint:
            return self._offline
        return None

    @property
    def fingerprint(self) -> str:
        """Of the wanted one; "" when there is none."""
        if self._model is not None:
            return PREFIX + self._model
        return "" if self._offline is None else self._offline.fingerprint


def embedders_of(given: Embedder | Embedders | None) -> Embedders:
    """One embedder, or none, as those of all tenants."""
    return given if isinstance(given, Embedders) else OneEmbedder(given)
