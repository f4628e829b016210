"""Canonical events as chat.completion.chunk frames."""

from collections.abc import Sequence

from msgspec import json

from tenfold.core.chat import (
    ChatEvent,
    ChatRequest,
    Ended,
    Failed,
    Finished,
    JsonObject,
    Metered,
    OpaqueDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from tenfold.core.errors import UpstreamError
from tenfold.core.sse import sse
from tenfold.edge.dialects.openai.errors import error_frame
from tenfold.edge.dialects.openai.reply import (
    annotations,
    is_legacy,
    logprobs_object,
    provenance,
    reason_word,
    signed,
    thought_detail,
    usage_object,
)
from tenfold.providers.openai.content import DIALECT, native_members

_ENCODER = json.Encoder()
_DONE = sse(b"[DONE]")


class OpenAIReplyEncoder:
    """One stream. Every chunk begins with the same bytes, which are encoded once."""

    def __init__(self, request: ChatRequest, now_s: int) -> None:
        self._include_usage = request.include_usage
        self._legacy = is_legacy(request)
        self._model = request.model
        self._now_s = now_s
        self._head = b""
        self._begun: set[int] = set()
        self._arguments: dict[tuple[int, int], bool] = {}  # (choice, slot) -> whether any were said
        self._thoughts: dict[int, str] = {}
        self._listed: dict[tuple[int, str], int] = {}  # (choice, member) -> entries said

    def encode(self, events: list[ChatEvent]) -> bytes:
        return b"".join([self._encode(event) for event in events])

    def _encode(self, event: ChatEvent) -> bytes:
        match event:
            case TextDelta():
                return self._text(event)
            case ToolCallDelta():
                return self._tool_call(event)
            case ThinkingDelta():
                return self._thought(event)
            case RefusalDelta():
                return self._delta(event.choice, {"refusal": event.text})
            case OpaqueDelta():
                return self._opaque(event)
            case Started():
                return self._start(event)
            case Finished():
                return self._finish(event)
            case Metered():
                return self._usage(event)
            case Failed():
                return error_frame(
                    UpstreamError(event.message, status=event.status, kind=event.kind, upstream_code=event.code)
                )
            case Ended():
                return _DONE

    def _start(self, event: Started) -> bytes:
        members: JsonObject = {
            "id": event.id,
            "object": "chat.completion.chunk",
            "created": event.created_s or self._now_s,
            "model": event.model or self._model,
        }
        members |= provenance(event.service_tier, event.system_fingerprint)
        self._head = b"data: " + _ENCODER.encode(native_members(event.native) | members)[:-1] + b',"choices":['
        return self._begin(0)

    def _begin(self, choice: int) -> bytes:
        self._begun.add(choice)
        return self._frame(choice, b'{"role":"assistant","content":"","refusal":null}', b"null")

    def _delta(self, choice: int, delta: JsonObject, logprobs: JsonObject | None = None) -> bytes:
        begin = b"" if choice in self._begun else self._begin(choice)
        return begin + self._frame(choice, _ENCODER.encode(delta), b"null", logprobs)

    def _frame(self, choice: int, delta: bytes, reason: bytes, logprobs: JsonObject | None = None) -> bytes:
        told = b"" if logprobs is None else b',"logprobs":' + _ENCODER.encode(logprobs_object(logprobs))
        return b'%b{"index":%d,"delta":%b%b,"finish_reason":%b}]}\n\n' % (self._head, choice, delta, told, reason)

    def _text(self, event: TextDelta) -> bytes:
        notes = annotations(event.citations or ())
        if not event.text and event.logprobs is None and not notes:
            return b""
        delta: JsonObject = {"content": event.text}
        if notes:
            delta["annotations"] = self._numbered(event.choice, "annotations", notes)
        return self._delta(event.choice, delta, event.logprobs)

    def _numbered(self, choice: int, member: str, entries: Sequence[JsonObject]) -> list[JsonObject]:
        """OpenAI's SDK puts lists together by the `index` of their entries, and refuses entries without one."""
        start = self._listed.get((choice, member), 0)
        self._listed[choice, member] = start + len(entries)
        return [entry | {"index": index} for index, entry in enumerate(entries, start)]

    def _tool_call(self, event: ToolCallDelta) -> bytes:
        key = (event.choice, event.slot)
        first = key not in self._arguments
        self._arguments[key] = self._arguments.get(key, False) or bool(event.arguments)
        function: JsonObject = {"arguments": event.arguments}
        if first:
            function = {"name": event.name or "", **function}
        if self._legacy:
            return self._delta(event.choice, {"function_call": function})
        call: JsonObject = {"index": event.slot}
        if first:
            call |= {"id": event.id or f"call_{event.slot}", "type": "function"}
        call["function"] = function
        return self._delta(event.choice, {"tool_calls": [call | signed(event.signature)]})

    def _thought(self, event: ThinkingDelta) -> bytes:
        """The text as it comes; with its signature, or when it is encrypted, also whole, to be sent back as it is."""
        delta: JsonObject = {"reasoning_content": event.text} if event.text else {}
        thought = self._thoughts.pop(event.choice, "") + event.text
        if event.signature is not None or event.redacted is not None:
            detail = thought_detail(thought, event.signature, event.redacted)
            delta["reasoning_details"] = self._numbered(event.choice, "reasoning_details", [detail])
        else:
            self._thoughts[event.choice] = thought
        return self._delta(event.choice, delta) if delta else b""

    def _opaque(self, event: OpaqueDelta) -> bytes:
        if event.part.dialect != DIALECT:
            return b""
        value = event.part.value
        kind = value.get("type")
        if kind == "audio":
            return self._delta(event.choice, {"audio": value.get("audio")})
        if kind == "image_url":
            return self._delta(event.choice, {"images": self._numbered(event.choice, "images", [value])})
        if kind != "custom":
            return b""
        slot = sum(1 for choice, _ in self._arguments if choice == event.choice)
        self._arguments[event.choice, slot] = True
        return self._delta(event.choice, {"tool_calls": [{"index": slot, **value}]})

    def _finish(self, event: Finished) -> bytes:
        """A call without arguments gets the empty object, as clients parse what they collected."""
        silent = [slot for (choice, slot), said in self._arguments.items() if choice == event.choice and not said]
        frames = [self._tool_call(ToolCallDelta(slot=slot, arguments="{}", choice=event.choice)) for slot in silent]
        if event.choice not in self._begun:
            frames.append(self._begin(event.choice))
        word = reason_word(event.reason, legacy=self._legacy)
        frames.append(self._frame(event.choice, b"{}", b'"%b"' % word.encode()))
        return b"".join(frames)

    def _usage(self, event: Metered) -> bytes:
        if not self._include_usage:
            return b""
        return b'%b],"usage":%b}\n\n' % (self._head, _ENCODER.encode(usage_object(event.usage)))
