"""Canonical messages to Gemini `contents` and `systemInstruction`."""

from typing import Any

import msgspec

from tenfold.core.chat import (
    AudioPart,
    FilePart,
    ImagePart,
    JsonObject,
    Message,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from tenfold.core.errors import InvalidRequest, UnsupportedParameter
from tenfold.providers.gemini.media import audio, document, image
from tenfold.providers.gemini.models import before_gemini_3
from tenfold.providers.gemini.parts import DIALECT
from tenfold.providers.gemini.schema import UNREADABLE

SKIP_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""base64 of skip_thought_signature_validator: Google's word for a call that another model made. Gemini 3 refuses the
first call of a step without a signature."""

_PART_KINDS = frozenset(
    ("text", "inlineData", "fileData", "executableCode", "codeExecutionResult", "toolCall", "toolResponse")
)


class Contents:
    """Builds `contents` message by message. Turns of one role are one content, but results of calls stand alone: they
    must directly follow the turn that called, all of them together."""

    def __init__(self, upstream_model: str) -> None:
        self.system: list[JsonObject] = []
        self.turns: list[JsonObject] = []
        self.ignored: set[str] = set()
        self._last_kind = ""
        self._names: dict[str, str] = {}  # of the functions called, by call id
        self._signed = not before_gemini_3(upstream_model)

    def add(self, message: Message, where: str) -> None:
        """Raises InvalidRequest, UnsupportedParameter."""
        if message.name is not None:
            self.ignored.add("messages.name")
        if message.role in ("system", "developer"):
            self.system += [_instruction(part, where) for part in message.parts]
            return
        role = "model" if message.role == "assistant" else "user"
        spoken: list[JsonObject] = []
        results: list[JsonObject] = []
        for part in message.parts:
            if isinstance(part, ToolResultPart):
                results.append(self._result(part, where))
            elif role == "model":
                spoken += self._said(part, where)
            else:
                spoken.append(self._told(part, where))
        self._append("results", "user", results)
        self._append(role, role, _sign(spoken) if role == "model" and self._signed else spoken)

    def finish(self) -> list[JsonObject]:
        """The API wants a conversation that begins with the user."""
        if not self.turns or self.turns[0]["role"] == "model":
            return [{"role": "user", "parts": [{"text": ""}]}, *self.turns]
        return self.turns

    def _append(self, kind: str, role: str, parts: list[JsonObject]) -> None:
        if not parts:
            return
        if kind == self._last_kind:
            self.turns[-1]["parts"] += parts
        else:
            self.turns.append({"role": role, "parts": parts})
        self._last_kind = kind

    def _said(self, part: Part, where: str) -> list[JsonObject]:
        """Of the assistant. Thoughts are not sent back: Gemini keeps its own in the signatures, and another model's
        would be refused. A block of another dialect is left out."""
        match part:
            case TextPart() | RefusalPart():
                return [{"text": part.text}] if part.text else []
            case ToolCallPart():
                return [self._call(part, where)]
            case OpaquePart(dialect=dialect, value=value):
                return [value] if dialect == DIALECT and not _PART_KINDS.isdisjoint(value) else []
            case ThinkingPart():
                return []
            case _:
                return [self._told(part, where)]

    def _told(self, part: Part, where: str) -> JsonObject:
        """Of the user: nothing may be lost."""
        match part:
            case TextPart():
                return {"text": part.text}
            case ImagePart():
                if part.detail not in (None, "auto"):
                    self.ignored.add("image_url.detail")
                return image(part, where)
            case FilePart():
                return document(part, where)
            case AudioPart():
                return audio(part)
            case OpaquePart(dialect="gemini", value=value):
                return value
            case _:
                raise UnsupportedParameter(
                    f"Gemini has no part of the kind {_kind(part)}: send it as text or as a file.", param=where
                )

    def _call(self, part: ToolCallPart, where: str) -> JsonObject:
        self._names[part.id] = part.name
        call: JsonObject = {"id": part.id, "name": part.name, "args": _arguments(part, where)}
        return {"functionCall": call} | ({"thoughtSignature": part.signature} if part.signature else {})

    def _result(self, part: ToolResultPart, where: str) -> JsonObject:
        name = self._names.get(part.call_id)
        if name is None:
            raise InvalidRequest(f"No tool call before this result has the id {part.call_id!r}.", param=where)
        texts = [inner.text for inner in part.content if isinstance(inner, TextPart)]
        result: JsonObject = {"id": part.call_id, "name": name, "response": _response("".join(texts), part.is_error)}
        media: list[JsonObject] = []
        for inner in part.content:
            if isinstance(inner, TextPart):
                continue
            told = self._told(inner, where)
            if "inlineData" not in told:
                raise UnsupportedParameter(
                    "A tool result for Gemini holds text and inline media: send the media as base64.", param=where
                )
            media.append(told)
        return {"functionResponse": result | ({"parts": media} if media else {})}


def _instruction(part: Part, where: str) -> JsonObject:
    if isinstance(part, TextPart):
        return {"text": part.text}
    raise UnsupportedParameter(
        "Gemini takes text only as system instruction: move the rest to a user message.", param=where
    )


def _sign(parts: list[JsonObject]) -> list[JsonObject]:
    """The first call of a step carries the signature of all of them."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", SKIP_SIGNATURE)
    return parts


def _arguments(part: ToolCallPart, where: str) -> JsonObject:
    if not part.arguments.strip():
        return {}
    try:
        return msgspec.json.decode(part.arguments, type=dict[str, Any])
    except UNREADABLE as unreadable:
        raise InvalidRequest(
            f"The arguments of tool call {part.id!r} are not the JSON text of an object.", param=where
        ) from unreadable


def _response(text: str, is_error: bool) -> JsonObject:
    """`response` must be an object. `error` is the key Gemini knows; what a tool says plainly goes under `result`.
    A bare scalar stays the text it was ("007" is not 7)."""
    value: object = text
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = msgspec.json.decode(text)
        except UNREADABLE:
            value = text
    if is_error:
        return {"error": value}
    return value if isinstance(value, dict) else {"result": value}


def _kind(part: Part) -> str:
    if isinstance(part, OpaquePart):
        return f"{part.value.get('type', 'unknown')!r} ({part.dialect})"
    return type(part).__name__.removesuffix("Part").lower()
