"""The in-memory twin of a cache that processes share."""

from collections.abc import Callable
from time import time
from uuid import UUID

from tenfold.cache.exact import Answer


class FakeSharedAnswers:
    """`away` makes it find and keep nothing."""

    def __init__(self, *, ttl_s: float = 3600.0, clock: Callable[[], float] = time) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: dict[tuple[UUID, bytes], tuple[Answer, float]] = {}
        self.away = False

    async def get(self, tenant_id: UUID, key: bytes) -> tuple[Answer, float] | None:
        found = self._kept.get((tenant_id, key))
        if found is None or self.away:
            return None
        answer, kept_at = found
        age_s = self._clock() - kept_at
        return (answer, age_s) if age_s <= self._ttl_s else None

    def put(self, tenant_id: UUID, key: bytes, answer: Answer) -> None:
        if not self.away:
            self._kept[tenant_id, key] = answer, self._clock()

    async def aclose(self) -> None:
        return
