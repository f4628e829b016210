"""What the assistant stands on: something that finds passages, and the one path to a model."""

from collections.abc import AsyncGenerator
from typing import Protocol

from tenfold.assistant.types import CallSummary, Hit
from tenfold.core.chat import ChatEvent, ChatRequest
from tenfold.core.principal import Principal


class Searcher(Protocol):
    async def search(self, principal: Principal, question: str, *, limit: int) -> list[Hit]:
        """The passages the principal may see that are nearest to the question, the nearest first.
        Raises StoreUnavailable."""
        ...


class ChatCaller(Protocol):
    def call(self, principal: Principal, request: ChatRequest) -> AsyncGenerator[ChatEvent | CallSummary, None]:
        """The events of a streamed reply, then the summary of the settled call. Closing it early cancels the call.
        Raises a TenfoldError at the first step when the call is refused or no model answers, later when it breaks."""
        ...
