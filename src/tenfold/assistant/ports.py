"""What the assistant stands on: something that finds passages, the one path to a model, who says how far an answer is
to be trusted, the switches that keep it from a model, somebody who wants to know how long it took, and somebody who
listens to what is asked.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from tenfold.assistant.types import AnswerEnd, CallSummary, FromCache, Hit
from tenfold.core.call import CallOptions
from tenfold.core.chat import ChatEvent, ChatRequest
from tenfold.core.principal import Principal


class Searcher(Protocol):
    async def search(self, principal: Principal, question: str, *, limit: int) -> list[Hit]:
        """The passages the principal may see that are nearest to the question, the nearest first.
        Raises StoreUnavailable."""
        ...


class ChatCaller(Protocol):
    def call(
        self, principal: Principal, request: ChatRequest, options: CallOptions
    ) -> AsyncGenerator[ChatEvent | FromCache | CallSummary, None]:
        """The events of a streamed reply, after where it was found, if it was, and the summary of the settled call.
        Closing it early cancels the call. Raises a TenfoldError at the first step when the call is refused or no model
        answers, later when it breaks."""
        ...


class Evidence(Struct, frozen=True, kw_only=True):
    """What is known of a complete answer. `cited` are the numbers of the hits (from 1) that its text refers to."""

    question: str
    text: str
    hits: Sequence[Hit]
    cited: Sequence[int]


class Confidence(Protocol):
    def of(self, evidence: Evidence) -> float:
        """0 (not to be trusted) to 1."""
        ...


class Switches(Protocol):
    """See tenfold.rollout."""

    async def ready(self, principal: Principal) -> None:
        """Makes sure that what is switched off for the tenant is known here."""
        ...

    def killed(
        self, principal: Principal, *, feature: str | None, model: str | None = None, provider: str | None = None
    ) -> object | None:
        """What is switched off of these; None: nothing."""
        ...


class Recorder(Protocol):
    def took(self, pathway: Literal["end_to_end"], seconds: float, *, good: bool = True) -> None:
        """A question was answered, or failed for no fault of who asked."""
        ...


class Listener(Protocol):
    def heard(self, principal: Principal, question: str, end_user: str | None, end: AnswerEnd) -> None:
        """A question that goes on from nothing has ended so. Must not raise."""
        ...
