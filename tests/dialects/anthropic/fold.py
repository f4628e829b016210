"""What a stream of canonical events amounts to: the reply it would have been in one piece, block by block."""

from msgspec import Struct, field
from msgspec.structs import replace

from tenfold.core.chat import (
    ChatEvent,
    ChatReply,
    Choice,
    Ended,
    Failed,
    Finished,
    Metered,
    OpaqueDelta,
    Part,
    Started,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
)


class Folded(Struct, kw_only=True):
    reply: ChatReply
    ended: bool
    failed: Failed | None


class _Parts(Struct):
    parts: list[Part] = field(default_factory=list)
    places: dict[tuple[str, int | None], int] = field(default_factory=dict)  # of blocks and of calls

    def put(self, kind: str, number: int | None, empty: Part) -> int:
        key = (kind, number)
        if key not in self.places:
            self.places[key] = len(self.parts)
            self.parts.append(empty)
        return self.places[key]

    def add(self, event: ChatEvent) -> None:
        match event:
            case TextDelta():
                place = self.put("text", event.block, TextPart(text=""))
                text = self.parts[place]
                assert isinstance(text, TextPart)
                citations = [*(text.citations or []), *(event.citations or [])]
                self.parts[place] = replace(text, text=text.text + event.text, citations=citations or None)
            case ThinkingDelta():
                place = self.put("thinking", event.block, ThinkingPart())
                thought = self.parts[place]
                assert isinstance(thought, ThinkingPart)
                self.parts[place] = replace(
                    thought,
                    text=thought.text + event.text,
                    signature=event.signature or thought.signature,
                    redacted=event.redacted or thought.redacted,
                )
            case ToolCallDelta():
                empty = ToolCallPart(id=event.id or "", name=event.name or "", arguments="", native=event.native)
                place = self.put("call", event.slot, empty)
                call = self.parts[place]
                assert isinstance(call, ToolCallPart)
                self.parts[place] = replace(call, arguments=call.arguments + event.arguments)
            case OpaqueDelta():
                self.parts.append(event.part)


def fold(events: list[ChatEvent]) -> Folded:
    """Fails the test when the order of events is not the promised one."""
    assert not events or isinstance(events[0], Started | Failed)
    parts = _Parts()
    started, finished, metered = Started(id="", model=""), None, None
    for position, event in enumerate(events):
        match event:
            case Started():
                assert position == 0
                started = event
            case Finished():
                assert finished is None
                finished = event
            case Metered():
                assert metered is None
                assert finished is not None
                metered = event
            case Ended() | Failed():
                assert position == len(events) - 1, "a terminal event is the last"
            case _:
                assert finished is None, "content ends before the choice does"
                parts.add(event)
    choice = Choice(
        parts=parts.parts,
        finish_reason=finished.reason if finished else None,
        stop_sequence=finished.stop_sequence if finished else None,
    )
    last = events[-1] if events else None
    reply = ChatReply(
        id=started.id,
        model=started.model,
        choices=[choice],
        usage=metered.usage if metered else started.usage,
        service_tier=started.service_tier,
    )
    return Folded(reply=reply, ended=isinstance(last, Ended), failed=last if isinstance(last, Failed) else None)
