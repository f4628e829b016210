"""An embedder behind the one path of a call: any model that speaks OpenAI's embeddings, at the expense of the tenant
whose texts they are.
"""

from array import array
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from itertools import combinations
from math import hypot
from operator import mul
from statistics import fmean
from typing import Final, Protocol

from msgspec import DecodeError, Struct, ValidationError, json

from tenfold.core.call import Call, CallOptions
from tenfold.core.errors import TenfoldError, UpstreamError, UpstreamUnavailable
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.background import Recorder
from tenfold.inference.ports import ClientDialect

PREFIX: Final = "model:"  # of the fingerprints: "model:<name>", by which the model is found again

_OPTIONS: Final = CallOptions(feature="retrieval")
_TEXTS_PER_CALL: Final = 64

# Nothing in common, one subject each: the cosines between them are what two texts have that say nothing of each other.
_UNRELATED: Final = (
    "The invoice is sent on the first working day of each month.",
    "Glaciers carve valleys as they slide towards the sea.",
    "Press the reset button for ten seconds to restore the router.",
    "She practised the violin sonata until midnight.",
    "Mix the flour with two eggs and let the dough rest.",
    "The parliament postponed its vote on the fishing quota.",
    "Tighten the four bolts of the rear axle crosswise.",
    "A mutation in this gene makes the cells divide faster.",
)


class Serves(Protocol):
    """See tenfold.inference.pipeline.Pipeline."""

    async def serve(self, call: Call, dialect: ClientDialect, responder: Recorder) -> None: ...


class _Embedding(Struct):
    index: int
    embedding: str


class _Reply(Struct):
    data: list[_Embedding]


_decode: Final = json.Decoder(_Reply).decode


class Models:
    """What `CalledEmbedder`s share: the path, and who is charged."""

    def __init__(
        self,
        pipeline: Serves,
        dialect: ClientDialect,
        principal: Callable[[TenantId], Awaitable[Principal]],
    ) -> None:
        """`dialect`: OpenAI's. `principal`: on whose behalf texts of a tenant are embedded."""
        self._pipeline = pipeline
        self._dialect = dialect
        self._principal = principal
        self._unrelated: dict[str, float] = {}

    async def embed(self, tenant_id: TenantId, model: str, texts: Sequence[str]) -> list[list[float]]:
        """Raises UpstreamError, whatever it was: a refused budget as well."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _TEXTS_PER_CALL):
            vectors += await self._call(tenant_id, model, texts[start : start + _TEXTS_PER_CALL])
        return vectors

    async def measure(self, tenant_id: TenantId, model: str) -> None:
        """How near this model puts texts with nothing in common: once for each process, some hundred tokens."""
        if model not in self._unrelated:
            vectors = await self.embed(tenant_id, model, _UNRELATED)
            near = fmean(sum(map(mul, one, other)) for one, other in combinations(vectors, 2))
            self._unrelated[model] = min(0.95, max(0.0, near))

    def unrelated_cosine(self, model: str) -> float:
        return self._unrelated.get(model, 0.0)

    async def _call(self, tenant_id: TenantId, model: str, texts: Sequence[str]) -> list[list[float]]:
        body = json.encode({"model": model, "input": list(texts), "encoding_format": "base64"})
        call = Call(
            principal=await self._principal(tenant_id),
            operation="embeddings",
            dialect=self._dialect.name,
            body=body,
            options=_OPTIONS,
        )
        recorder = Recorder()
        await self._pipeline.serve(call, self._dialect, recorder)
        if call.error is not None:
            raise _as_upstream(call.error)
        return _vectors(recorder.body, model, len(texts))


class CalledEmbedder:
    """One model for one tenant."""

    def __init__(self, models: Models, tenant_id: TenantId, model: str) -> None:
        self.fingerprint = PREFIX + model
        self._models = models
        self._tenant_id = tenant_id
        self._model = model
        self._dimensions = 0

    @property
    def dimensions(self) -> int:
        """0 until the first text is embedded."""
        return self._dimensions

    @property
    def unrelated_cosine(self) -> float:
        return self._models.unrelated_cosine(self._model)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        await self._models.measure(self._tenant_id, self._model)
        vectors = await self._models.embed(self._tenant_id, self._model, texts)
        self._dimensions = len(vectors[0]) if vectors else self._dimensions
        return vectors

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        return await self.embed(texts)


def _as_upstream(error: TenfoldError) -> UpstreamError:
    if isinstance(error, UpstreamError):
        return error
    return UpstreamUnavailable(f"The texts were not embedded. {error.message}")


def _vectors(body: bytes, model: str, count: int) -> list[list[float]]:
    """Of length 1, in the order of the texts."""
    try:
        found = sorted(_decode(body).data, key=lambda each: each.index)
        vectors = [_unit(array("f", b64decode(each.embedding, validate=True))) for each in found]
    except (DecodeError, ValidationError, ValueError, ZeroDivisionError) as error:
        raise UpstreamUnavailable(f"What {model!r} answered is no list of embeddings: {error}.") from None
    if len(vectors) != count or len({len(vector) for vector in vectors}) > 1:
        raise UpstreamUnavailable(f"{model!r} gave {len(vectors)} embeddings for {count} texts, or of several lengths.")
    return vectors


def _unit(vector: "array[float]") -> list[float]:
    norm = hypot(*vector)
    return [value / norm for value in vector]
