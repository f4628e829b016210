"""The offline embedder with its vectors kept on disk: a corpus takes minutes to embed and never changes."""

import hashlib
import sqlite3
import tempfile
from array import array
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tenfold.providers.offline.embedder import OfflineEmbedder

_Make = Callable[[Sequence[str]], Awaitable[list[list[float]]]]

CACHE = Path(tempfile.gettempdir()) / "tenfold-bench-vectors.sqlite"


class KeptEmbedder:
    """An Embedder. `path` None: nothing is kept.

    `only`: passages that are embedded; any other gets a vector that is near to nothing. So a large corpus is measured
    with the vectors of what the words find, without an hour of work."""

    def __init__(self, path: Path | None = CACHE) -> None:
        self._model = OfflineEmbedder()
        self.dimensions = self._model.dimensions
        self.fingerprint = self._model.fingerprint
        self.unrelated_cosine = self._model.unrelated_cosine
        self.only: set[str] | None = None
        self._nothing = [0.0] * (self.dimensions - 1) + [1.0]
        self._kept = sqlite3.connect(":memory:" if path is None else path, timeout=60)
        self._kept.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return await self._vectors("question", texts, self._model.embed)

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        return await self._vectors("passage", texts, self._model.embed_passages)

    async def _vectors(self, kind: str, texts: Sequence[str], make: _Make) -> list[list[float]]:
        keys = [hashlib.sha256(f"{self.fingerprint}\n{kind}\n{text}".encode()).digest() for text in texts]
        found = {key: vector for key in keys if (vector := self._look_up(key)) is not None}
        wanted = {
            key: text
            for key, text in zip(keys, texts, strict=True)
            if key not in found and (kind == "question" or self.only is None or text in self.only)
        }
        if wanted:
            made = await make(list(wanted.values()))
            for key, vector in zip(wanted, made, strict=True):
                found[key] = vector
                self._kept.execute("INSERT OR IGNORE INTO vectors VALUES (?, ?)", (key, array("f", vector).tobytes()))
            self._kept.commit()
        return [found.get(key, self._nothing) for key in keys]

    async def aclose(self) -> None:
        self._kept.close()
        await self._model.aclose()

    def _look_up(self, key: bytes) -> list[float] | None:
        row = self._kept.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        return None if row is None else array("f", row[0]).tolist()
