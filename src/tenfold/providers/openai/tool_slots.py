"""Sorts the fragments of streamed tool calls into slots, for servers that number them in their own ways."""

from msgspec import Struct

from tenfold.core.chat import ChatEvent, JsonObject, OpaqueDelta, OpaquePart, ToolCallDelta
from tenfold.providers.openai.content import DIALECT
from tenfold.providers.openai.messages import parse_arguments
from tenfold.providers.openai.reply import text, thought_signature


class ToolCallChunk(Struct):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: JsonObject | None = None
    custom: JsonObject | None = None
    extra_content: JsonObject | None = None


class _Slot:
    """One call. It is told from the moment its name is known; what came before is held back."""

    def __init__(self) -> None:
        self.number = -1  # given when it is told
        self.id = ""
        self.name = ""
        self.held = ""
        self.signature: str | None = None
        self.custom: JsonObject | None = None


class ToolSlots:
    """The calls of one choice, numbered from 0 in the order they began.

    Indices may be absent (Mistral: each chunk a whole call), begin at 1, or be 0 for every call (Gemini): a new id
    under a known index is a new call.
    """

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}
        self._told = 0

    def feed(self, chunk: ToolCallChunk) -> list[ChatEvent]:
        function = chunk.function or {}
        slot = self._find(chunk, text(function.get("name")))
        slot.id = slot.id or chunk.id or ""
        if chunk.custom is not None:
            slot.custom = slot.custom or {"name": text(chunk.custom.get("name")), "input": ""}
            slot.custom["input"] += text(chunk.custom.get("input"))
            return []
        if chunk.extra_content is not None:
            slot.signature = thought_signature({"extra_content": chunk.extra_content})
        return self._tell(slot, text(function.get("name")), parse_arguments(function.get("arguments")))

    def feed_legacy(self, function: JsonObject) -> list[ChatEvent]:
        """The deprecated `function_call`: one, without id."""
        slot = self._slots[0] if self._slots else self._begin(0)
        return self._tell(slot, text(function.get("name")), parse_arguments(function.get("arguments")))

    def finish(self) -> list[ChatEvent]:
        """Calls never named, and those of custom tools, which are told whole."""
        out: list[ChatEvent] = []
        for slot in self._slots:
            if slot.custom is not None:
                value = {"id": slot.id, "type": "custom", "custom": slot.custom}
                out.append(OpaqueDelta(part=OpaquePart(dialect=DIALECT, value=value), choice=self._choice))
                slot.custom = None
            elif slot.number < 0 and (slot.id or slot.held):
                out.append(self._first(slot, slot.held))
        return out

    def _find(self, chunk: ToolCallChunk, name: str) -> _Slot:
        if chunk.index is None:
            last = self._slots[-1] if self._slots else None
            same = last is not None and not name and (not chunk.id or chunk.id == last.id)
            return last if last is not None and same else self._begin(None)
        slot = self._by_index.get(chunk.index)
        if slot is None or (chunk.id and slot.id and chunk.id != slot.id and (name or chunk.custom is not None)):
            return self._begin(chunk.index)
        return slot

    def _begin(self, index: int | None) -> _Slot:
        slot = _Slot()
        self._slots.append(slot)
        if index is not None:
            self._by_index[index] = slot
        return slot

    def _tell(self, slot: _Slot, name: str, arguments: str) -> list[ChatEvent]:
        if slot.number >= 0:
            if not arguments and slot.signature is None:
                return []
            signature, slot.signature = slot.signature, None
            return [ToolCallDelta(slot=slot.number, arguments=arguments, signature=signature, choice=self._choice)]
        slot.name = slot.name or name
        slot.held += arguments
        return [self._first(slot, slot.held)] if slot.name else []

    def _first(self, slot: _Slot, arguments: str) -> ToolCallDelta:
        slot.number, self._told = self._told, self._told + 1
        signature, slot.signature = slot.signature, None
        return ToolCallDelta(
            slot=slot.number,
            id=slot.id or f"call_{slot.number}",
            name=slot.name,
            arguments=arguments,
            signature=signature,
            choice=self._choice,
        )
