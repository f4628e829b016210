"""The offline embedder with its vectors kept on disk: a corpus takes minutes to embed and never changes."""

import hashlib
import sqlite3
import tempfile
from array import array
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tenfold.providers.offline.embedder import OfflineEmbedder

CACHE = Path(tempfile.gettempdir()) / "tenfold-bench-vectors.sqlite"


class KeptEmbedder:
    """An Embedder. `path` None: nothing is kept."""

    def __init__(self, path: Path | None = CACHE) -> None:
        self._model = OfflineEmbedder()
        self.dimensions = self._model.dimensions
        self.fingerprint = self._model.fingerprint
        self.unrelated_cosine = self._model.unrelated_cosine
        self._kept = sqlite3.connect(":memory:" if path is None else path, timeout=60)
        self._kept.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return await self._kept_or(self._model.embed, "", texts)

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        return await self._kept_or(self._model.embed_passages, "passage ", texts)

    async def _kept_or(
        self, embed: Callable[[Sequence[str]], Awaitable[list[list[float]]]], kind: str, texts: Sequence[str]
    ) -> list[list[float]]:
        keys = [hashlib.sha256(f"{kind}{self.fingerprint}\n{text}".encode()).digest() for text in texts]
        found = {key: vector for key in keys if (vector := self._look_up(key)) is not None}
        missing = [(key, text) for key, text in zip(keys, texts, strict=True) if key not in found]
        if missing:
            made = await embed([text for _, text in missing])
            for (key, _), vector in zip(missing, made, strict=True):
                found[key] = vector
                self._kept.execute("INSERT OR IGNORE INTO vectors VALUES (?, ?)", (key, array("f", vector).tobytes()))
            self._kept.commit()
        return [found[key] for key in keys]

    async def aclose(self) -> None:
        self._kept.close()
        await self._model.aclose()

    def _look_up(self, key: bytes) -> list[float] | None:
        row = self._kept.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        return None if row is None else array("f", row[0]).tolist()
