"""The content blocks of a stream between their start and their stop: deltas in, canonical events out."""

from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from tenfold.core.chat import (
    ChatEvent,
    JsonObject,
    OpaqueDelta,
    OpaquePart,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from tenfold.providers.anthropic.blocks import DIALECT, native
from tenfold.providers.anthropic.tools import ANSWER_TOOL


class MalformedEvent(ValueError):
    """An event does not have the form the protocol gives it."""


class _Block(Struct, kw_only=True):
    kind: Literal["text", "thinking", "call", "answer", "opaque"]
    slot: int = 0
    said: bool = False  # its text, thinking or arguments have begun to be given out
    value: JsonObject = field(default_factory=dict)  # as it started; of an opaque block, as far as it has come
    fragments: list[str] = field(default_factory=list)  # of an opaque block's input


class OpenBlocks:
    def __init__(self) -> None:
        self.calls = 0
        self.answered = False  # the answer tool was called
        self._open: dict[int, _Block] = {}

    def start(self, index: int, start: JsonObject) -> list[ChatEvent]:
        """Raises MalformedEvent."""
        if index in self._open:
            raise MalformedEvent("a content block began twice")
        block, events = self._begin(index, start)
        self._open[index] = block
        return events

    def delta(self, index: int, delta: JsonObject) -> list[ChatEvent]:
        """Raises MalformedEvent."""
        block = self._open.get(index)
        if block is None:
            raise MalformedEvent("a delta belongs to no open content block")
        if block.kind == "opaque":
            _grow(block, delta)
            return []
        events = _continue(index, block, delta)
        block.said = block.said or bool(events)
        return events

    def stop(self, index: int) -> list[ChatEvent]:
        """An unknown index is of no matter: nothing is left open by it."""
        block = self._open.pop(index, None)
        return [] if block is None else _close(index, block)

    def close_all(self) -> list[ChatEvent]:
        """What is open when the message ends: a model stopped by max_tokens leaves a block without its stop.
        Nothing is made up for it, but an opaque block is given as far as it came."""
        blocks, self._open = self._open, {}
        return [event for index, block in blocks.items() if block.kind == "opaque" for event in _close(index, block)]

    def _begin(self, index: int, start: JsonObject) -> tuple[_Block, list[ChatEvent]]:
        match start:
            case {"type": "text"}:
                text, citations = _text(start, "text"), start.get("citations") or None
                begun = bool(text or citations)
                first: list[ChatEvent] = [TextDelta(text=text, citations=citations, block=index)]
                return _Block(kind="text", said=begun), first if begun else []
            case {"type": "thinking"}:
                text, signature = _text(start, "thinking"), _text(start, "signature")
                begun = bool(text or signature)
                first = [ThinkingDelta(text=text, signature=signature or None, block=index)]
                return _Block(kind="thinking", said=begun), first if begun else []
            case {"type": "redacted_thinking", "data": str(data)}:
                return _Block(kind="thinking", said=True), [ThinkingDelta(redacted=data, block=index)]
            case {"type": "tool_use", "name": name} if name == ANSWER_TOOL:
                self.answered = True
                return _Block(kind="answer", value=start), []
            case {"type": "tool_use", "id": str(id_), "name": str(name)}:
                slot, self.calls = self.calls, self.calls + 1
                rest = {key: value for key, value in start.items() if key not in ("type", "id", "name", "input")}
                call = ToolCallDelta(slot=slot, id=id_, name=name, native=native(rest))
                return _Block(kind="call", slot=slot, value=start), [call]
        return _Block(kind="opaque", value=dict(start)), []


def _continue(index: int, block: _Block, delta: JsonObject) -> list[ChatEvent]:
    match block.kind, delta:
        case "text", {"type": "text_delta", "text": str(text)}:
            return [TextDelta(text=text, block=index)]
        case "text", {"type": "citations_delta", "citation": dict(citation)}:
            return [TextDelta(text="", citations=[citation], block=index)]
        case "thinking", {"type": "thinking_delta", "thinking": str(text)} if text:
            return [ThinkingDelta(text=text, block=index)]
        case "thinking", {"type": "signature_delta", "signature": str(signature)}:
            return [ThinkingDelta(signature=signature, block=index)]
        case "call", {"type": "input_json_delta", "partial_json": str(fragment)} if fragment:
            return [ToolCallDelta(slot=block.slot, arguments=fragment)]
        case "answer", {"type": "input_json_delta", "partial_json": str(fragment)} if fragment:
            return [TextDelta(text=fragment, block=index)]
    return []  # an empty delta, or one of a version to come


def _close(index: int, block: _Block) -> list[ChatEvent]:
    """A block that said nothing is still a part of the reply; arguments that came whole at the start come now."""
    match block.kind:
        case "opaque":
            return [OpaqueDelta(part=OpaquePart(dialect=DIALECT, value=_whole(block)))]
        case _ if block.said:
            return []
        case "text":
            return [TextDelta(text="", block=index)]
        case "thinking":
            return [ThinkingDelta(block=index)]
        case "call":
            return [ToolCallDelta(slot=block.slot, arguments=_input(block.value))]
        case "answer":
            return [TextDelta(text=_input(block.value), block=index)]


def _grow(block: _Block, delta: JsonObject) -> None:
    """Adds a delta to a block whose kind is not known: texts grow, anything else takes the later value."""
    for name, value in delta.items():
        if name == "type":
            continue
        if name == "partial_json" and isinstance(value, str):
            block.fragments.append(value)
        elif name == "citation":
            block.value["citations"] = [*(block.value.get("citations") or []), value]
        elif isinstance(value, str) and isinstance(said := block.value.get(name), str):
            block.value[name] = said + value
        else:
            block.value[name] = value


def _whole(block: _Block) -> JsonObject:
    text = "".join(block.fragments)
    if text:
        try:
            block.value["input"] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            block.value["input"] = {}  # cut in the middle; the block's kind is not ours to repair
    return block.value


def _input(start: JsonObject) -> str:
    given = start.get("input")
    return msgspec.json.encode(given).decode() if isinstance(given, dict) else "{}"


def _text(start: JsonObject, name: str) -> str:
    value: Any = start.get(name)
    return value if isinstance(value, str) else ""
