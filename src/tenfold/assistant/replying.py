"""One model's reply, as its events come: the text, where it came from, and whether it is whole."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from tenfold.assistant.reciting import recited
from tenfold.assistant.types import AnswerDelta, CallSummary, FromCache, Hit
from tenfold.core.chat import ChatEvent, Ended, Failed, RefusalDelta, TextDelta
from tenfold.core.errors import BrokenStream

FRESH = frozenset({"no-cache"})
"""The directive of a call that is to be answered by a model."""


@dataclass(kw_only=True)
class Reply:
    """What a model has said so far. `ended` is true once it said that it is complete; `switched_off`: it was not to be
    asked; `unusable`: it came of the cache, and its citations could not be put anew. `earlier` are calls whose text is
    not used."""

    model: str
    text: str = ""
    ended: bool = False
    switched_off: bool = False
    unusable: bool = False
    summary: CallSummary | None = None
    earlier: list[CallSummary] = field(default_factory=list)


async def reply_events(
    events: AsyncGenerator[ChatEvent | FromCache | CallSummary, None], hits: Sequence[Hit], reply: Reply
) -> AsyncGenerator[AnswerDelta, None]:
    """Fills in the reply; its text as it comes. That of an answer to another question comes whole, with marks of these
    passages; or not at all, and the reply is unusable. Raises what the events raise, and BrokenStream."""
    reply.text, reply.ended, reply.unusable, reply.summary = "", False, False, None
    of_another, pieces = False, ""
    async for event in events:
        if isinstance(event, FromCache):
            of_another = event.layer == "semantic"
        elif isinstance(event, TextDelta | RefusalDelta) and event.choice == 0 and event.text:
            if of_another:
                pieces += event.text
            else:
                reply.text += event.text
                yield AnswerDelta(text=event.text)
        elif isinstance(event, Ended):
            reply.ended = True
        elif isinstance(event, CallSummary):
            reply.summary = event
        elif isinstance(event, Failed):
            raise BrokenStream(event.message)
    if not of_another:
        return
    again = recited(pieces, hits)
    if again is not None:
        reply.text = again
        yield AnswerDelta(text=again)
        return
    reply.ended, reply.unusable = False, True
    if reply.summary is not None:
        reply.earlier.append(reply.summary)
        reply.summary = None
