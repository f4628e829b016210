"""A batch tier in memory, for tests: batches end when it is told what comes of their lines.

>>> tier = FakeTier()
>>> batch_id = await tier.submit(key, lines)
>>> tier.finish(batch_id, lambda line: FakeAnswer(body=b"{}"))
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tenfold.core.errors import UpstreamError
from tenfold.providers.batches.types import Outcome, TierLine, TierResult, TierState


@dataclass(frozen=True, kw_only=True)
class FakeAnswer:
    """What comes of a line."""

    outcome: Outcome = "answered"
    status: int = 200
    body: bytes = b"{}"


@dataclass(kw_only=True)
class FakeBatch:
    key: str
    lines: list[TierLine]
    created_at: datetime
    answers: dict[int, FakeAnswer] = field(default_factory=dict)
    ended: bool = False
    why: str | None = None
    cancelling: bool = False


class FakeTier:
    """See `BatchTier`. `errors` are raised in turn by whatever is asked next; `loses`: so many submissions arrive, and
    the reply to them is lost."""

    def __init__(self, paths: Sequence[str] = ("/chat/completions", "/embeddings", "/v1/messages")) -> None:
        self.batches: dict[str, FakeBatch] = {}
        self.errors: list[UpstreamError] = []
        self.loses = 0
        self._paths = frozenset(paths)

    def takes(self, path: str) -> bool:
        return path in self._paths

    async def submit(self, key: str, lines: Sequence[TierLine]) -> str:
        self._fail()
        batch_id = f"batch_{len(self.batches)}"
        self.batches[batch_id] = FakeBatch(key=key, lines=list(lines), created_at=datetime.now(UTC))
        if self.loses:
            self.loses -= 1
            raise UpstreamError("The reply was lost.", status=502, unanswered=True)
        return batch_id

    async def find(self, key: str, since: datetime, count: int) -> str | None:
        self._fail()
        return next((name for name, batch in self.batches.items() if batch.key == key), None)

    async def state(self, batch_id: str) -> TierState:
        self._fail()
        batch = self._batch(batch_id)
        return TierState(ended=batch.ended, done=len(batch.answers), why=batch.why)

    async def results(self, batch_id: str) -> AsyncIterator[TierResult]:
        self._fail()
        for number, answer in self._batch(batch_id).answers.items():
            yield TierResult(number=number, outcome=answer.outcome, status=answer.status, body=answer.body)

    async def cancel(self, batch_id: str) -> None:
        self._fail()
        self._batch(batch_id).cancelling = True

    def finish(self, batch_id: str, answer: Callable[[TierLine], FakeAnswer | None], why: str | None = None) -> None:
        """It has ended, with this of each line; None: nothing came of it. `why`: it failed as a whole."""
        batch = self.batches[batch_id]
        answers = {line.number: answer(line) for line in batch.lines}
        batch.answers = {number: found for number, found in answers.items() if found is not None}
        batch.ended, batch.why = True, why

    def _batch(self, batch_id: str) -> FakeBatch:
        if batch_id not in self.batches:
            raise UpstreamError("There is no such batch.", status=404)
        return self.batches[batch_id]

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
