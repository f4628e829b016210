"""Chat completion chunks of OpenAI-compatible servers to canonical events. Never raises: it gives Failed instead."""

from typing import Any

from msgspec import Struct, field
from msgspec.json import Decoder

from tenfold.core.chat import (
    ChatEvent,
    Ended,
    Failed,
    Finished,
    JsonObject,
    Metered,
    OpaqueDelta,
    OpaquePart,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
)
from tenfold.core.errors import UpstreamError
from tenfold.core.sse import SseDecoder, SseEvent, SseOverflow
from tenfold.core.usage import Usage
from tenfold.core.usage_wire import openai_usage
from tenfold.providers.openai.content import DIALECT, decode_part
from tenfold.providers.openai.errors import UNREADABLE, error_of
from tenfold.providers.openai.reply import decode_detail, finish_reason, thinking_text
from tenfold.providers.openai.tool_slots import ToolCallChunk, ToolSlots

_DONE = b"[DONE]"


class _Delta(Struct):
    content: str | list[JsonObject] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: object = None
    reasoning_details: list[JsonObject] | None = None
    tool_calls: list[ToolCallChunk] | None = None
    function_call: JsonObject | None = None
    annotations: list[JsonObject] | None = None
    images: list[JsonObject] | None = None
    audio: JsonObject | None = None


class _Choice(Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: JsonObject | None = None


class _Chunk(Struct):
    id: str | None = None
    model: str | None = None
    kind: str | None = field(default=None, name="object")
    created: object = None
    choices: list[_Choice] | None = None
    usage: object = None
    error: Any = None
    message: Any = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


_CHUNK = Decoder(_Chunk)
_ANY = Decoder()


class OpenAIStreamDecoder:
    """One stream. With `ends_with_done` only `[DONE]` ends it well; else also a close after every finish_reason."""

    def __init__(self, *, ends_with_done: bool = True) -> None:
        self._sse = SseDecoder()
        self._ends_with_done = ends_with_done
        self._started = False
        self._closed = False
        self._usage: Usage | None = None
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._slots: dict[int, ToolSlots] = {}
        self._audio: dict[int, JsonObject] = {}

    def feed(self, block: bytes) -> list[ChatEvent]:
        if self._closed:
            return []
        try:
            return self._read(self._sse.feed(block))
        except SseOverflow as error:
            return self._fail(
                Failed(message=f"The provider sent what cannot be read: {error}.", kind="malformed_reply")
            )

    def finish(self) -> list[ChatEvent]:
        if self._closed:
            return []
        out = self._read(self._sse.flush())
        if out and isinstance(out[-1], Ended | Failed):
            return out
        if not self._ends_with_done and self._finished and not self._open:
            return out + self._end()
        return out + self._fail(
            Failed(message="The provider's stream ended before the reply was complete.", kind="stream_interrupted")
        )

    def _read(self, events: list[SseEvent]) -> list[ChatEvent]:
        out: list[ChatEvent] = []
        for event in events:
            if self._closed:
                break
            out += self._end() if event.data.strip() == _DONE else self._read_chunk(event)
        return out

    def _read_chunk(self, event: SseEvent) -> list[ChatEvent]:
        try:
            chunk = _CHUNK.decode(event.data)
        except UNREADABLE:
            return self._unreadable(event)
        if chunk.error or event.event == "error" or chunk.kind == "error":
            self._meter(chunk)
            return self._failed_by(event.data)
        out: list[ChatEvent] = []
        if not self._started and (chunk.id or chunk.choices):
            self._started = True
            out.append(
                Started(
                    id=chunk.id or "",
                    model=chunk.model or "",
                    created_s=int(chunk.created) if isinstance(chunk.created, int | float) else 0,
                    system_fingerprint=chunk.system_fingerprint,
                    service_tier=chunk.service_tier,
                )
            )
        try:
            for choice in chunk.choices or ():
                self._read_choice(choice, out)
        except UpstreamError as error:
            return out + self._fail(Failed(message=error.message, kind=error.kind, status=error.status))
        self._meter(chunk)
        return out

    def _meter(self, chunk: _Chunk) -> None:
        """The last one counts: some servers tell the usage so far in every chunk."""
        if isinstance(chunk.usage, dict):
            self._usage = openai_usage(chunk.usage) or self._usage

    def _read_choice(self, choice: _Choice, out: list[ChatEvent]) -> None:
        """Raises UpstreamError when the provider says it broke the choice off."""
        index = choice.index
        if index in self._finished:
            return  # OpenRouter says the reason twice; nothing more can be said of a finished choice
        self._open.add(index)
        if choice.delta is not None:
            self._read_delta(choice.delta, index, choice.logprobs, out)
        elif choice.logprobs:
            out.append(TextDelta(text="", choice=index, logprobs=choice.logprobs))
        if choice.finish_reason:
            reason = finish_reason(choice.finish_reason)
            self._close(index, out)
            out.append(Finished(reason=reason, choice=index))

    def _read_delta(self, delta: _Delta, index: int, logprobs: JsonObject | None, out: list[ChatEvent]) -> None:
        if delta.reasoning_details or delta.reasoning_content or delta.reasoning:
            out += _thoughts(delta, index)
        if delta.content or logprobs or delta.annotations:
            out += _said(delta, index, logprobs)
        if delta.refusal:
            out.append(RefusalDelta(text=delta.refusal, choice=index))
        if delta.tool_calls:
            slots = self._slots.setdefault(index, ToolSlots(index))
            for call in delta.tool_calls:
                out += slots.feed(call)
        if delta.function_call is not None:
            out += self._slots.setdefault(index, ToolSlots(index)).feed_legacy(delta.function_call)
        for image in delta.images or ():
            out.append(OpaqueDelta(part=OpaquePart(dialect=DIALECT, value=image), choice=index))
        if delta.audio is not None:
            _merge_audio(self._audio.setdefault(index, {}), delta.audio)

    def _close(self, index: int, out: list[ChatEvent]) -> None:
        """What was held back until the choice is whole."""
        self._open.discard(index)
        self._finished.add(index)
        if index in self._slots:
            out += self._slots[index].finish()
        if audio := self._audio.pop(index, None):
            out.append(
                OpaqueDelta(part=OpaquePart(dialect=DIALECT, value={"type": "audio", "audio": audio}), choice=index)
            )

    def _end(self) -> list[ChatEvent]:
        if not self._started:
            return self._fail(Failed(message="The provider sent an empty stream.", kind="malformed_reply"))
        out: list[ChatEvent] = []
        for index in sorted(self._open):  # the server said the end, and forgot the reason
            self._close(index, out)
            out.append(Finished(reason="stop", choice=index))
        self._closed = True
        return [*out, *self._metered(), Ended()]

    def _metered(self) -> list[ChatEvent]:
        return [Metered(usage=self._usage)] if self._usage is not None else []

    def _fail(self, failed: Failed) -> list[ChatEvent]:
        self._closed = True
        return [*self._metered(), failed]

    def _failed_by(self, data: bytes) -> list[ChatEvent]:
        error = error_of(_ANY.decode(data))
        return self._fail(Failed(message=error.message, kind=error.kind, code=error.upstream_code, status=error.status))

    def _unreadable(self, event: SseEvent) -> list[ChatEvent]:
        """A chunk of another shape; still the provider's own error, if it is one."""
        if event.event == "error" or b'"error"' in event.data:
            try:
                return self._failed_by(event.data)
            except UNREADABLE:
                pass
        return self._fail(Failed(message="The provider sent a chunk that cannot be read.", kind="malformed_reply"))


def _thoughts(delta: _Delta, index: int) -> list[ChatEvent]:
    details = [part for detail in delta.reasoning_details or () if (part := decode_detail(detail)) is not None]
    if details:
        return [
            ThinkingDelta(text=part.text, signature=part.signature, redacted=part.redacted, choice=index)
            for part in details
        ]
    thought = delta.reasoning_content or delta.reasoning
    return [ThinkingDelta(text=thought, choice=index)] if isinstance(thought, str) else []


def _said(delta: _Delta, index: int, logprobs: JsonObject | None) -> list[ChatEvent]:
    content = delta.content
    if not isinstance(content, list):
        return [TextDelta(text=content or "", choice=index, logprobs=logprobs, citations=delta.annotations or None)]
    out: list[ChatEvent] = []
    for part in content:  # Mistral's content chunks
        if part.get("type") == "thinking":
            out.append(ThinkingDelta(text=thinking_text(part), choice=index))
        elif part.get("type") == "text" and isinstance(part.get("text"), str):
            out.append(TextDelta(text=part["text"], choice=index, logprobs=logprobs))
        else:
            kept = decode_part(part)
            value = kept.value if isinstance(kept, OpaquePart) else part
            out.append(OpaqueDelta(part=OpaquePart(dialect=DIALECT, value=value), choice=index))
    return out


def _merge_audio(audio: JsonObject, piece: JsonObject) -> None:
    """Data and transcript come in pieces; id and expires_at once."""
    for name, value in piece.items():
        if name in ("data", "transcript") and isinstance(value, str):
            audio[name] = audio.get(name, "") + value
        else:
            audio[name] = value
