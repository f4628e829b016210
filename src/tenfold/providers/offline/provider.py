"""The `offline` upstream: two honest little models answered in process, in OpenAI's dialect. It needs no key, costs
nothing, and refuses with a clear 400 what it cannot do.
"""

import asyncio
import sys
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar
from uuid import uuid4

import msgspec

from tenfold.core.clock import Clock
from tenfold.core.errors import (
    InvalidRequest,
    ModelNotFound,
    NotFound,
    TenfoldError,
    UnsupportedParameter,
    UpstreamError,
)
from tenfold.providers.offline import chat, shapes
from tenfold.providers.offline.answers import CHAT_MODEL
from tenfold.providers.offline.exchange import LocalExchange
from tenfold.providers.offline.granite import DIMENSIONS
from tenfold.providers.offline.granite import MODEL as EMBEDDING_MODEL
from tenfold.providers.ports import Exchange, Headers, Wire, WireRequest

MODELS: Final = (CHAT_MODEL, EMBEDDING_MODEL)

_MAX_INPUTS = 2048  # OpenAI's own limit

Body = TypeVar("Body")


class Embedder(Protocol):
    async def embed_counted(self, texts: Sequence[str]) -> tuple[list[list[float]], int]: ...

    async def aclose(self) -> None: ...


class OfflineProvider:
    """Owns the embedder it is given. `wire` is the mapping of OpenAI's dialect."""

    def __init__(self, wire: Wire, embedder: Embedder, clock: Clock, *, name: str = "offline") -> None:
        self.name = name
        self.wire = wire
        self._embedder = embedder
        self._clock = clock

    async def send(self, request: WireRequest, headers: Headers) -> Exchange:
        """Raises UpstreamUnavailable or UpstreamTimeout when the embedding process fails."""
        path = request.path.partition("?")[0].removeprefix("/v1")
        try:
            if path == "/chat/completions":
                return await self._chat(_decode(request.body, shapes.ChatBody))
            if path == "/embeddings":
                return await self._embeddings(_decode(request.body, shapes.EmbeddingsBody))
            if path == "/models":
                return LocalExchange.json(shapes.model_list(MODELS))
            raise NotFound(f"The offline models have no {path}.")
        except UpstreamError:
            raise
        except TenfoldError as error:
            return LocalExchange.json(shapes.error_body(error), error.status)

    async def check(self) -> str:
        """Starts the embedding model, which verifies its weights. Raises UpstreamError."""
        await self._embedder.embed_counted(["ready"])
        return f"{CHAT_MODEL} and {EMBEDDING_MODEL} run on this machine; the weights are the pinned ones"

    async def aclose(self) -> None:
        await self._embedder.aclose()

    async def _chat(self, body: shapes.ChatBody) -> Exchange:
        created = int(self._clock.now().timestamp())
        # In a thread: a long conversation takes tens of milliseconds to search.
        reply = await asyncio.to_thread(chat.reply, body, f"chatcmpl-{uuid4().hex}", created)
        if not body.stream:
            return LocalExchange.json(shapes.completion(reply))
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        return LocalExchange.stream(shapes.stream_frames(reply, include_usage=include_usage))

    async def _embeddings(self, body: shapes.EmbeddingsBody) -> Exchange:
        if body.model != EMBEDDING_MODEL:
            raise ModelNotFound(f"The offline embedding model is {EMBEDDING_MODEL}.", param="model")
        if body.dimensions not in (None, DIMENSIONS):
            raise UnsupportedParameter(f"{EMBEDDING_MODEL} has {DIMENSIONS} dimensions.", param="dimensions")
        vectors, tokens = await self._embedder.embed_counted(_texts(body.input))
        if body.encoding_format == "base64":
            encoded = [b64encode(_float32(vector)).decode() for vector in vectors]
            return LocalExchange.json(shapes.embeddings(encoded, EMBEDDING_MODEL, tokens))
        return LocalExchange.json(shapes.embeddings(vectors, EMBEDDING_MODEL, tokens))


def _decode(block: bytes, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(block, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"The request cannot be read: {error}.") from None


def _texts(given: str | list[str | int | list[int]]) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not 1 <= len(texts) <= _MAX_INPUTS:
        raise InvalidRequest(f"input must hold 1 to {_MAX_INPUTS} texts.", param="input")
    if not all(isinstance(text, str) for text in texts):
        raise UnsupportedParameter(f"{EMBEDDING_MODEL} takes texts, not token ids of another model.", param="input")
    return [str(text) for text in texts]


def _float32(vector: list[float]) -> bytes:
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()
