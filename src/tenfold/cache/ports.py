"""The seam of a cache that processes share; `fake.FakeSharedAnswers` and `valkey.ValkeyAnswers` are under one contract
suite."""

from typing import Protocol
from uuid import UUID

from tenfold.cache.exact import Answer


class SharedAnswers(Protocol):
    """Best effort in both directions: while it is away nothing is found and nothing is kept, and no call waits for it
    longer than its time limit."""

    async def get(self, tenant_id: UUID, key: bytes) -> tuple[Answer, float] | None:
        """The answer and its age in seconds."""
        ...

    def put(self, tenant_id: UUID, key: bytes, answer: Answer) -> None:
        """Kept soon, from now on for as long as answers are good; or never."""
        ...

    async def aclose(self) -> None:
        """What is on its way is let go."""
        ...
