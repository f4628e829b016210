"""Canonical stream events as the event protocol of the Messages API."""

import msgspec

from tenfold.core.chat import (
    ChatEvent,
    ChatRequest,
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
    ToolCallDelta,
    ToolCallPart,
)
from tenfold.core.sse import sse
from tenfold.core.usage import Usage
from tenfold.edge.dialects.anthropic.errors import failure_frame
from tenfold.edge.dialects.anthropic.reply import encode_call, encode_usage, envelope, stop_reason
from tenfold.edge.dialects.anthropic.tool_blocks import ToolQueue
from tenfold.providers.anthropic.blocks import DIALECT, own

_EVENT_MEMBERS = ("context_management",)  # beside `delta` in message_delta; the rest stands inside it


class AnthropicReplyEncoder:
    """One per stream. An upstream that tells its input usage only at the end makes message_start say 0 and
    message_delta the whole: SDKs take the later figure."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._out: list[bytes] = []
        self._started = False
        self._over = False
        self._index = -1
        self._open: tuple[str, int | None] | None = None  # kind and, for text and thinking, the upstream's number
        self._signed = False
        self._tools = ToolQueue()
        self._called = False
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._usage_members: JsonObject = {}
        self._finished: Finished | None = None

    def encode(self, events: list[ChatEvent]) -> bytes:
        for event in events:
            if self._over:
                break
            self._encode(event)
        frames = b"".join(self._out)
        self._out.clear()
        return frames

    def _encode(self, event: ChatEvent) -> None:
        match event:
            case Failed():
                self._fail(event)
            case Started():
                self._start(event)
            case Finished():
                self._finished = self._finished or (event if event.choice == 0 else None)
            case Metered():
                self._usage = event.usage
                self._usage_members |= own(event.native)
            case Ended():
                self._end()
            case _ if event.choice == 0:  # a message has one
                if not self._started:
                    self._start(Started(id="", model=self._request.model))
                self._content(event)

    def _fail(self, failure: Failed) -> None:
        self._out.append(failure_frame(failure.message, failure.kind, failure.status))
        self._over = True

    # -- the message ---------------------------------------------------------------------------

    def _start(self, event: Started) -> None:
        if self._started:
            return
        self._started = True
        members = dict(own(event.native))
        usage = members.pop("usage", {})
        self._usage, self._tier = event.usage, event.service_tier
        message = {
            **envelope(event.id, event.model or self._request.model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(event.usage, event.service_tier, usage),
            **members,
        }
        self._send("message_start", {"message": message})

    def _end(self) -> None:
        self._over = True
        if not self._started:
            self._start(Started(id="", model=self._request.model))
        self._close()
        finished = self._finished or Finished(reason="stop")
        members = dict(own(finished.native))
        beside = {name: members.pop(name) for name in _EVENT_MEMBERS if name in members}
        delta = {
            "stop_reason": stop_reason(finished.reason, called=self._called),
            "stop_sequence": finished.stop_sequence,
            **members,
        }
        usage = encode_usage(self._usage, self._tier, self._usage_members)
        self._send("message_delta", {"delta": delta, "usage": usage, **beside})
        self._send("message_stop", {})

    # -- content blocks ------------------------------------------------------------------------

    def _content(self, event: ChatEvent) -> None:
        match event:
            case TextDelta():
                self._text(event.text, event.citations or [], event.block)
            case RefusalDelta():
                self._text(event.text, [], None)
            case ThinkingDelta(redacted=str(data)):
                self._whole({"type": "redacted_thinking", "data": data})
            case ThinkingDelta():
                self._thinking(event)
            case ToolCallDelta():
                self._called = True
                if self._tools.add(event):
                    self._write_calls()
                else:
                    self._fail(Failed(message="The provider mixed tool calls in a way that cannot be told apart."))
            case OpaqueDelta(part=OpaquePart(dialect=dialect, value=value)) if dialect == DIALECT:
                self._whole(value)

    def _text(self, text: str, citations: list[JsonObject], block: int | None) -> None:
        own_citations = [citation for citation in citations if "cited_text" in citation]
        if block is None and not text and not own_citations:
            return
        if self._open is None or self._open[0] != "text" or self._open[1] != block:
            self._begin("text", block, {"type": "text", "text": ""})
        if text:
            self._delta({"type": "text_delta", "text": text})
        for citation in own_citations:
            self._delta({"type": "citations_delta", "citation": citation})

    def _thinking(self, event: ThinkingDelta) -> None:
        if event.block is None and not event.text and event.signature is None:
            return
        another = self._open is None or self._open != ("thinking", event.block)
        if another or (self._signed and event.text and event.block is None):
            self._begin("thinking", event.block, {"type": "thinking", "thinking": "", "signature": ""})
            self._signed = False
        if event.text:
            self._delta({"type": "thinking_delta", "thinking": event.text})
        if event.signature is not None:
            self._delta({"type": "signature_delta", "signature": event.signature})
            self._signed = True

    def _write_calls(self, *, all_of_them: bool = False) -> None:
        """Write what can be written in order; with `all_of_them` no more fragments will come."""
        while (call := self._tools.head()) is not None:
            if self._open != ("tool", call.slot):
                if not (call.id or call.name or all_of_them):
                    return
                part = ToolCallPart(
                    id=call.id, name=call.name, arguments="", signature=call.signature, native=call.native
                )
                self._begin("tool", call.slot, encode_call(part))
            for fragment in call.waiting:
                self._delta({"type": "input_json_delta", "partial_json": fragment})
            call.written += call.waiting
            call.waiting.clear()
            if not (all_of_them or self._tools.may_close_head()):
                return
            self._tools.close_head()
            self._stop()

    def _whole(self, block: JsonObject) -> None:
        """A block known in full. Its input streams, as the protocol has it for every kind of tool use."""
        given = block.get("input")
        if isinstance(given, dict):
            self._begin("whole", None, {**block, "input": {}})
            self._delta({"type": "input_json_delta", "partial_json": msgspec.json.encode(given).decode()})
        else:
            self._begin("whole", None, block)
        self._stop()

    def _begin(self, kind: str, number: int | None, block: JsonObject) -> None:
        if kind == "tool":
            self._stop()
        else:
            self._close()
        self._index += 1
        self._open = (kind, number)
        self._send("content_block_start", {"index": self._index, "content_block": block})

    def _close(self) -> None:
        """End what is open, with every call still waiting for its turn."""
        self._write_calls(all_of_them=True)
        self._stop()

    def _stop(self) -> None:
        if self._open is not None:
            self._open = None
            self._send("content_block_stop", {"index": self._index})

    def _delta(self, delta: JsonObject) -> None:
        self._send("content_block_delta", {"index": self._index, "delta": delta})

    def _send(self, event: str, members: JsonObject) -> None:
        self._out.append(sse(msgspec.json.encode({"type": event, **members}), event.encode()))
