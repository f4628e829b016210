"""A search and a model that say what they were told to, for tests of whatever stands on the assistant."""

from collections.abc import AsyncGenerator, Sequence

from tenfold.assistant.types import CallSummary, FromCache, Hit
from tenfold.core.call import CallOptions
from tenfold.core.chat import ChatEvent, ChatRequest, Ended, Finished, Started, TextDelta
from tenfold.core.errors import StoreUnavailable, TenfoldError
from tenfold.core.principal import Principal


class FakeSearcher:
    """Finds the same hits for every question; `away` makes it raise StoreUnavailable."""

    def __init__(self, hits: Sequence[Hit] = ()) -> None:
        self.hits = list(hits)
        self.away = False
        self.asked: list[tuple[Principal, str]] = []

    async def search(self, principal: Principal, question: str, *, limit: int) -> list[Hit]:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)
        self.asked.append((principal, question))
        return self.hits[:limit]


class FakeSwitches:
    """`off` holds the names of features, models and providers that are switched off. `away`: nobody knows."""

    def __init__(self, *off: str) -> None:
        self.off = set(off)
        self.away = False

    async def ready(self, principal: Principal) -> None:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)

    def killed(
        self, principal: Principal, *, feature: str | None, model: str | None = None, provider: str | None = None
    ) -> str | None:
        return next((name for name in (feature, model, provider) if name in self.off), None)


class FakeRecorder:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float, bool]] = []

    def took(self, pathway: str, seconds: float, *, good: bool = True) -> None:
        self.told.append((pathway, seconds, good))


class FakeCaller:
    """Says the pieces, one event each, then the summary. With `error` it raises after `error_after` pieces."""

    def __init__(
        self,
        pieces: Sequence[str] = ("It is so [1].",),
        *,
        error: TenfoldError | None = None,
        error_after: int = 0,
        complete: bool = True,
        layer: str | None = None,
    ) -> None:
        self.pieces = list(pieces)
        self.error = error
        self.error_after = error_after
        self.complete = complete
        self.layer = layer  # where a first call finds its reply; one that is to be fresh does not
        self.requests: list[ChatRequest] = []
        self.options: list[CallOptions] = []
        self.closed = 0
        self.summary = CallSummary(model="fake-model", provider="fake", cost_nano=12_000, latency_ms=7, cache="miss")

    async def call(
        self, principal: Principal, request: ChatRequest, options: CallOptions
    ) -> AsyncGenerator[ChatEvent | FromCache | CallSummary, None]:
        principal.require("inference")
        self.requests.append(request)
        self.options.append(options)
        try:
            if self.error is not None and self.error_after == 0:
                raise self.error
            if self.layer is not None and "no-cache" not in options.cache:
                yield FromCache(layer=self.layer)
            yield Started(id="1", model=request.model)
            for number, piece in enumerate(self.pieces, 1):
                yield TextDelta(text=piece)
                if self.error is not None and self.error_after == number:
                    raise self.error
            if self.complete:
                yield Finished(reason="stop")
                yield Ended()
            yield self.summary
        finally:
            self.closed += 1
