"""Folds canonical stream events into the choices of a whole reply, so that the two can be compared."""

from collections.abc import Iterable

from msgspec import Struct, field
from msgspec.structs import replace

from tenfold.core.chat import (
    ChatEvent,
    Choice,
    Finished,
    JsonObject,
    OpaqueDelta,
    Part,
    RefusalDelta,
    RefusalPart,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
)


class _Folding(Struct):
    parts: list[Part] = field(default_factory=list)
    slots: dict[int, int] = field(default_factory=dict)  # slot -> position in parts
    logprobs: list[JsonObject] = field(default_factory=list)
    finished: Finished | None = None


def fold(events: Iterable[ChatEvent]) -> list[Choice]:
    """The choices in order of index. Fails the test when an event comes after its choice finished."""
    choices: dict[int, _Folding] = {}
    for event in events:
        if isinstance(event, TextDelta | RefusalDelta | ThinkingDelta | ToolCallDelta | OpaqueDelta | Finished):
            choice = choices.setdefault(event.choice, _Folding())
            assert choice.finished is None, f"{event} after {choice.finished}"
            _add(choice, event)
    return [_choice(index, folding) for index, folding in sorted(choices.items())]


def merged(parts: Iterable[Part]) -> list[Part]:
    """Neighbouring texts (and thoughts) as one part: streams do not say where one ended."""
    out: list[Part] = []
    for part in parts:
        last = out[-1] if out else None
        if isinstance(part, TextPart) and isinstance(last, TextPart):
            out[-1] = TextPart(text=last.text + part.text)
        elif isinstance(part, ThinkingPart) and isinstance(last, ThinkingPart):
            out[-1] = ThinkingPart(text=last.text + part.text, signature=part.signature or last.signature)
        else:
            out.append(part)
    return out


def _add(
    choice: _Folding, event: TextDelta | RefusalDelta | ThinkingDelta | ToolCallDelta | OpaqueDelta | Finished
) -> None:
    match event:
        case TextDelta():
            if event.text:
                choice.parts.append(TextPart(text=event.text))
            choice.logprobs += (event.logprobs or {}).get("content") or []
        case RefusalDelta():
            choice.parts.append(RefusalPart(text=event.text))
        case ThinkingDelta():
            choice.parts.append(ThinkingPart(text=event.text, signature=event.signature, redacted=event.redacted))
        case ToolCallDelta():
            _add_call(choice, event)
        case OpaqueDelta():
            choice.parts.append(event.part)
        case Finished():
            choice.finished = event


def _add_call(choice: _Folding, event: ToolCallDelta) -> None:
    if event.slot not in choice.slots:
        assert event.id and event.name, f"the first delta of a call has id and name: {event}"
        assert event.slot == len(choice.slots), f"slots count from 0: {event}"
        choice.slots[event.slot] = len(choice.parts)
        choice.parts.append(ToolCallPart(id=event.id, name=event.name, arguments="", signature=event.signature))
    position = choice.slots[event.slot]
    call = choice.parts[position]
    assert isinstance(call, ToolCallPart)
    choice.parts[position] = replace(
        call, arguments=call.arguments + event.arguments, signature=event.signature or call.signature
    )


def _choice(index: int, folding: _Folding) -> Choice:
    finished = folding.finished
    return Choice(
        parts=merged(folding.parts),
        finish_reason=finished.reason if finished else None,
        index=index,
        stop_sequence=finished.stop_sequence if finished else None,
        logprobs={"content": folding.logprobs, "refusal": None} if folding.logprobs else None,
    )
