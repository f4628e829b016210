"""Output items of a stream while they grow: what each says of itself, event by event, till it is done."""

from msgspec import DecodeError, json

from tenfold.core.chat import JsonObject, ThinkingDelta, ThinkingPart, ToolCallDelta
from tenfold.edge.dialects.responses.errors import event
from tenfold.edge.dialects.responses.items import seal
from tenfold.edge.dialects.responses.reply import call, message, text_content, thought

_TEXT = "output_text"
_REFUSAL = "refusal"
_TEXT_DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,%b,'
    b'"delta":%b,"logprobs":[]}\n\n'
)
_ENCODER = json.Encoder()


class Events:
    """The events of one stream, numbered."""

    def __init__(self) -> None:
        self.sequence = 0
        self._frames: list[bytes] = []

    def send(self, kind: str, members: JsonObject) -> None:
        self._frames.append(event(kind, self.sequence, members))
        self.sequence += 1

    def send_text(self, where: bytes, text: str) -> None:
        """A delta of plain text, which most events are. `where`: its members between number and delta, encoded."""
        self._frames.append(_TEXT_DELTA % (self.sequence, where, _ENCODER.encode(text)))
        self.sequence += 1

    def take(self) -> bytes:
        frames = b"".join(self._frames)
        self._frames.clear()
        return frames


class OpenItem:
    """`index` numbers the items of a response from 0. `item` is what it came to, once it has ended."""

    def __init__(self, events: Events, index: int, item: JsonObject) -> None:
        self.index = index
        self.id: str = item["id"]
        self._events = events
        events.send("response.output_item.added", {"output_index": index, "item": item})

    def end(self, *, complete: bool = True) -> JsonObject:
        """The item, which is told whole. `complete` False: it was cut."""
        raise NotImplementedError

    def _send(self, kind: str, members: JsonObject) -> None:
        self._events.send(f"response.{kind}", {"output_index": self.index, "item_id": self.id, **members})

    def _done(self, item: JsonObject) -> JsonObject:
        self._events.send("response.output_item.done", {"output_index": self.index, "item": item})
        return item


class OpenMessage(OpenItem):
    """Texts and refusals, each a content part; `block` as in TextDelta."""

    def __init__(self, events: Events, index: int, id_: str) -> None:
        super().__init__(events, index, message(id_, [], "in_progress"))
        self._content: list[JsonObject] = []
        self._open: tuple[str, int | None] | None = None
        self._where = b""
        self._pieces: list[str] = []
        self._notes: list[JsonObject] = []
        self._logprobs: list[JsonObject] = []

    def text(self, text: str, block: int | None, notes: list[JsonObject], logprobs: list[JsonObject]) -> None:
        self._begin(_TEXT, block)
        if text and not logprobs:
            self._pieces.append(text)
            self._events.send_text(self._where, text)
        elif logprobs:
            self._pieces.append(text)
            self._logprobs += logprobs
            self._send(f"{_TEXT}.delta", {**self._at, "delta": text, "logprobs": logprobs})
        for note in notes:
            told = {**self._at, "annotation_index": len(self._notes), "annotation": note}
            self._send(f"{_TEXT}.annotation.added", told)
            self._notes.append(note)

    def refusal(self, text: str) -> None:
        self._begin(_REFUSAL, None)
        self._pieces.append(text)
        self._send("refusal.delta", {**self._at, "delta": text})

    def end(self, *, complete: bool = True) -> JsonObject:
        self._close()
        return self._done(message(self.id, self._content, "completed" if complete else "incomplete"))

    @property
    def _at(self) -> JsonObject:
        return {"content_index": len(self._content)}

    def _begin(self, kind: str, block: int | None) -> None:
        if self._open == (kind, block):
            return
        self._close()
        self._open = (kind, block)
        self._where = b'"output_index":%d,"item_id":"%b","content_index":%d' % (
            self.index,
            self.id.encode(),
            len(self._content),
        )
        self._send("content_part.added", {**self._at, "part": self._part(kind, "")})

    def _close(self) -> None:
        if self._open is None:
            return
        kind, text = self._open[0], "".join(self._pieces)
        if kind == _TEXT:
            self._send(f"{_TEXT}.done", {**self._at, "text": text, "logprobs": self._logprobs})
        else:
            self._send("refusal.done", {**self._at, "refusal": text})
        part = self._part(kind, text)
        self._send("content_part.done", {**self._at, "part": part})
        self._content.append(part)
        self._open, self._pieces, self._notes, self._logprobs = None, [], [], []

    def _part(self, kind: str, text: str) -> JsonObject:
        if kind == _TEXT:
            return text_content(text, self._notes, self._logprobs)
        return {"type": "refusal", "refusal": text}


class OpenThought(OpenItem):
    """`summarised`: it is told as a summary."""

    def __init__(self, events: Events, index: int, id_: str, block: int | None, *, summarised: bool) -> None:
        super().__init__(events, index, thought(id_, "", None, summarised=summarised, status="in_progress"))
        self._block = block
        self._summarised = summarised
        self._pieces: list[str] = []
        self._sealed: ThinkingPart | None = None

    def continues(self, delta: ThinkingDelta) -> bool:
        """Whether the delta belongs to this thought: a signature ends one, where blocks are not numbered."""
        if delta.redacted is not None or delta.block != self._block:
            return False
        return delta.block is not None or self._sealed is None or not delta.text

    def add(self, delta: ThinkingDelta) -> None:
        if delta.text:
            if not self._pieces:
                self._part("added", "")
            self._pieces.append(delta.text)
            self._text("delta", {"delta": delta.text})
        if delta.signature is not None or delta.redacted is not None:
            self._sealed = ThinkingPart(signature=delta.signature, redacted=delta.redacted)

    def end(self, *, complete: bool = True) -> JsonObject:
        text = "".join(self._pieces)
        if text:
            self._text("done", {"text": text})
            self._part("done", text)
        sealed = None if self._sealed is None else seal(self._sealed)
        return self._done(thought(self.id, text, sealed, summarised=self._summarised))

    def _text(self, kind: str, members: JsonObject) -> None:
        if self._summarised:
            self._send(f"reasoning_summary_text.{kind}", {"summary_index": 0, **members})
        else:
            self._send(f"reasoning_text.{kind}", {"content_index": 0, **members})

    def _part(self, kind: str, text: str) -> None:
        if self._summarised:
            part = {"type": "summary_text", "text": text}
            self._send(f"reasoning_summary_part.{kind}", {"summary_index": 0, "part": part})
        else:
            part = {"type": "reasoning_text", "text": text}
            self._send(f"content_part.{kind}", {"content_index": 0, "part": part})


class OpenCall(OpenItem):
    """A function's call. Several may grow in turn."""

    def __init__(self, events: Events, index: int, id_: str, delta: ToolCallDelta, call_id: str) -> None:
        self._call_id, self._name, self._signature = call_id, delta.name or "", delta.signature
        self._pieces: list[str] = []
        super().__init__(events, index, self._item(id_, "", "in_progress"))

    def add(self, delta: ToolCallDelta) -> None:
        self._name = self._name or delta.name or ""
        self._signature = self._signature or delta.signature
        if delta.arguments:
            self._pieces.append(delta.arguments)
            self._send("function_call_arguments.delta", {"delta": delta.arguments})

    def is_whole(self) -> bool:
        text = "".join(self._pieces)
        if not text.rstrip().endswith("}"):
            return False
        try:
            json.decode(text)
        except (DecodeError, RecursionError):
            return False
        return True

    def end(self, *, complete: bool = True) -> JsonObject:
        """A call without arguments gets the empty object, as clients parse what they collected."""
        if not self._pieces and complete:
            self.add(ToolCallDelta(slot=0, arguments="{}"))
        arguments = "".join(self._pieces)
        self._send("function_call_arguments.done", {"name": self._name, "arguments": arguments})
        return self._done(self._item(self.id, arguments, "completed" if complete else "incomplete"))

    def _item(self, id_: str, arguments: str, status: str) -> JsonObject:
        return call(id_, self._call_id, self._name, arguments, self._signature, status)


def tell_whole(events: Events, index: int, item: JsonObject) -> JsonObject:
    """An item that came in one piece. A custom tool's call streams its input, as the protocol has it."""
    if item["type"] != "custom_tool_call":
        events.send("response.output_item.added", {"output_index": index, "item": item | {"status": "in_progress"}})
    else:
        begun = item | {"status": "in_progress", "input": ""}
        events.send("response.output_item.added", {"output_index": index, "item": begun})
        at = {"output_index": index, "item_id": item["id"]}
        events.send("response.custom_tool_call_input.delta", {**at, "delta": item["input"]})
        events.send("response.custom_tool_call_input.done", {**at, "input": item["input"]})
    events.send("response.output_item.done", {"output_index": index, "item": item})
    return item
