"""The reply of a response that searches files: several rounds with the model as one answer, whole or streamed. What
the model called is told as `file_search_call`, and marks like [2] as citations of files.
"""

import re
from typing import Any, Protocol

from msgspec import json

from tenfold.core.call import Call
from tenfold.core.errors import TenfoldError
from tenfold.core.money import format_usd
from tenfold.inference.background import Recorder
from tenfold.inference.ports import Responder, Sender
from tenfold.inference.responses.file_search_request import Sources, is_call
from tenfold.inference.responses.ports import Codec, Stamp, StreamEvent
from tenfold.inference.responses.types import Echo, JsonObject

_MARK = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_COST = re.compile(r"(?m)^tenfold-cost-usd: [^\r\n]*")
_INDEX = re.compile(rb'[^\n]*\ndata: \{"type":"[^"]*","sequence_number":\d+,"output_index":(\d+)')
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_STARTS = frozenset({"response.created", "response.in_progress"})
_RESTART = "tenfold.restart"
_BROKEN = "The model's answer did not come to its end."

_decoder: json.Decoder[Any] = json.Decoder()


class Reply(Protocol):
    """In this order: `begin` a round, the round's call, `end_round`; `searched` for each search; `end` or `fail`."""

    def begin(self) -> Responder: ...

    async def end_round(self, call: Call) -> JsonObject | None:
        """The Response object of the round. None: it failed, and that is told."""
        ...

    async def searched(self, call: JsonObject | None, item: JsonObject) -> None:
        """`call`: the model's, that the item takes the place of; None: it was searched before the model was asked."""
        ...

    async def end(self, response: JsonObject, cost_nano: int | None) -> None: ...

    async def fail(self, error: TenfoldError, request_id: str) -> bool:
        """Whether it could be told here."""
        ...


class _Rounds:
    """What both have in common: the items so far."""

    def __init__(self, codec: Codec, echo: Echo, responder: Responder, sources: Sources, name: str) -> None:
        self._codec = codec
        self._echo = echo
        self._responder = responder
        self._sources = sources
        self._name = name
        self._output: list[JsonObject] = []
        self._usage: Any = None

    def _take(self, response: JsonObject) -> None:
        self._output += [_annotated(item, self._sources) for item in response["output"]]
        self._usage = _sum(self._usage, response.get("usage"))

    def _put(self, call: JsonObject | None, item: JsonObject) -> None:
        if call is None:
            self._output.append(item)
        else:
            self._output[next(place for place, one in enumerate(self._output) if one["id"] == call["id"])] = item

    def _merged(self, response: JsonObject) -> JsonObject:
        output = [item for item in self._output if not is_call(item, self._name)]
        return response | {"output": output, "usage": self._usage}


class WholeReply(_Rounds):
    def begin(self) -> Responder:
        self._recorder = Recorder()
        return self._recorder

    async def end_round(self, call: Call) -> JsonObject | None:
        recorder = self._recorder
        stamp = self._codec.stamp(self._echo, output_index=len(self._output))
        body = stamp.whole(recorder.body)
        if recorder.status != 200 or stamp.response is None:
            self._responder.whole(recorder.status, recorder.headers, body)
            return None
        self._take(stamp.response)
        return stamp.response

    async def searched(self, call: JsonObject | None, item: JsonObject) -> None:
        self._put(call, item)

    async def end(self, response: JsonObject, cost_nano: int | None) -> None:
        headers = self._recorder.headers
        if cost_nano is not None:
            headers = _COST.sub(f"tenfold-cost-usd: {format_usd(cost_nano)}", headers)
        self._responder.whole(200, headers, json.encode(self._merged(response)))

    async def fail(self, error: TenfoldError, request_id: str) -> bool:
        return False


class StreamedReply(_Rounds):
    """Of each round the events pass on as they come, but for its end, and the calls that are ours."""

    def __init__(self, codec: Codec, echo: Echo, responder: Responder, sources: Sources, name: str) -> None:
        super().__init__(codec, echo, responder, sources, name)
        self.gone = responder.gone
        self._sender: Sender | None = None
        self._told = False  # the beginning
        self._next = 0  # the index of the next item
        self._void = 0  # items before a restart: whoever stamps these events counts them itself
        self._early: list[JsonObject] = []  # to be told once the beginning is
        self._begin_round()

    def _begin_round(self) -> None:
        self._stamp: Stamp = self._codec.stamp(self._echo, output_index=self._next, begun=self._told)
        self._began = self._anew = self._failed = False
        self._error: tuple[int, str, bytes] | None = None
        self._ours: dict[str, int] = {}  # id to index
        self._hidden: set[int] = set()
        self._notes: dict[tuple[int, int], list[JsonObject]] = {}  # of each content part

    # -- the Responder of a round --------------------------------------------------------------

    def begin(self) -> Responder:
        self._begin_round()
        return self

    def whole(self, status: int, headers: str, body: bytes) -> None:
        self._error = status, headers, body

    def stream(self, status: int, headers: str) -> "StreamedReply":
        if self._sender is None:
            self._sender = self._responder.stream(status, headers)
        self._anew, self._began = self._began, True  # the first one was another call's, that had failed
        return self

    async def send_bytes(self, data: bytes) -> None:
        assert self._sender is not None
        frames: list[bytes] = []
        if self._anew:
            self._anew = False
            self._stamp = self._codec.stamp(self._echo, output_index=self._stamp.output_index, begun=self._told)
            self._restart()
            frames.append(self._codec.event(_RESTART, 0, {"provider": "", "model": ""}))
        for event in self._stamp.events(data):
            if event.type == "error":
                self._failed = True
            if event.type in _ENDS:
                continue
            frames += self._frames(event)
        if frames:
            await self._sender.send_bytes(b"".join(frames))

    async def end_round(self, call: Call) -> JsonObject | None:
        response = self._stamp.response if self._stamp.ended else None
        if self._failed or call.status == "cancelled":
            return None
        if response is None:
            if self._sender is None and self._error is not None:
                self._responder.whole(*self._error)
            elif self._sender is not None:
                await self.fail(call.error or TenfoldError(_BROKEN), call.request_id)
            return None
        self._next = max(self._next, self._stamp.output_index)
        self._take(response)
        return response

    # -- what comes between rounds, and after them ----------------------------------------------

    async def searched(self, call: JsonObject | None, item: JsonObject) -> None:
        self._put(call, item)
        if call is None:
            self._early.append(item)
            self._next += 1
        else:
            assert self._sender is not None
            await self._sender.send_bytes(b"".join(self._search_frames(item, self._ours[call["id"]])))

    async def end(self, response: JsonObject, cost_nano: int | None) -> None:
        assert self._sender is not None
        merged = self._merged(response)
        await self._sender.send_bytes(self._codec.event(f"response.{response['status']}", 0, {"response": merged}))

    async def fail(self, error: TenfoldError, request_id: str) -> bool:
        if self._sender is None:
            return False
        await self._sender.send_bytes(self._codec.dialect.error_frame(error, request_id))
        return True

    # -- events ----------------------------------------------------------------------------------

    def _frames(self, event: StreamEvent) -> list[bytes]:
        """As they are told; whoever stamps them numbers them."""
        frame = event.frame
        if event.type in _STARTS:
            self._told = event.type == "response.in_progress"
            if not self._told:
                return [frame]
            early, self._early = self._early, []
            return [frame, *(told for place, item in enumerate(early) for told in self._search_frames(item, place))]
        if event.type == _RESTART:
            self._restart()
            return [frame]
        found = _INDEX.match(frame)
        if found is None:
            return [frame]
        index = int(found[1])
        if event.type == "response.output_item.added" and b'"function_call"' in frame:
            item = _members(frame)["item"]
            if is_call(item, self._name):
                self._ours[item["id"]] = index
                self._hidden.add(index)
        if index in self._hidden:
            return []
        if self._sources.passages and event.type in _NOTED:
            return self._noted(event.type, _members(frame))
        return [self._event(event.type, _members(frame))] if self._void else [frame]

    def _restart(self) -> None:
        self._void = self._stamp.output_index
        self._ours, self._hidden, self._notes = {}, set(), {}

    def _noted(self, kind: str, members: JsonObject) -> list[bytes]:
        """With the citations of a text: each told once the text is whole, and in what repeats it."""
        if kind == "response.output_item.done":
            return [self._event(kind, members | {"item": _annotated(members["item"], self._sources)})]
        place = members["output_index"], members["content_index"]
        notes = self._notes.setdefault(place, [])
        if kind == "response.output_text.annotation.added":
            notes.append(members["annotation"])
        elif kind == "response.content_part.done":
            return [self._event(kind, members | {"part": _with_notes(members["part"], self._sources)})]
        elif kind == "response.output_text.done":
            at = {name: members[name] for name in ("output_index", "item_id", "content_index")}
            first = len(notes)
            added = [
                self._event(
                    "response.output_text.annotation.added", {**at, "annotation_index": number, "annotation": note}
                )
                for number, note in enumerate(_citations(members["text"], self._sources), first)
            ]
            return [*added, self._event(kind, members)]
        return [self._event(kind, members)]

    def _search_frames(self, item: JsonObject, index: int) -> list[bytes]:
        begun = item | {"status": "in_progress", "queries": [], "results": None}
        at = {"output_index": index, "item_id": item["id"]}
        return [
            self._event("response.output_item.added", {"output_index": index, "item": begun}),
            self._event("response.file_search_call.in_progress", at),
            self._event("response.file_search_call.searching", at),
            self._event("response.file_search_call.completed", at),
            self._event("response.output_item.done", {"output_index": index, "item": item}),
        ]

    def _event(self, kind: str, members: JsonObject) -> bytes:
        index = members["output_index"] - self._void
        rest = {name: member for name, member in members.items() if name != "output_index"}
        return self._codec.event(kind, 0, {"output_index": index, **rest})


_NOTED = frozenset(
    {
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    }
)


def _members(frame: bytes) -> JsonObject:
    value: JsonObject = _decoder.decode(frame[frame.index(b"data: ") + 6 :])
    return {name: member for name, member in value.items() if name not in ("type", "sequence_number")}


def _annotated(item: JsonObject, sources: Sources) -> JsonObject:
    if item["type"] != "message" or not sources.passages:
        return item
    return item | {"content": [_with_notes(part, sources) for part in item["content"]]}


def _with_notes(part: JsonObject, sources: Sources) -> JsonObject:
    if part["type"] != "output_text":
        return part
    return part | {"annotations": [*part["annotations"], *_citations(part["text"], sources)]}


def _citations(text: str, sources: Sources) -> list[JsonObject]:
    """One for each passage that a mark names; `index`: the character at which the mark begins. Marks of no passage are
    words."""
    notes: list[JsonObject] = []
    for mark in _MARK.finditer(text):
        for number in dict.fromkeys(int(word) for word in mark[1].split(",")):
            if 1 <= number <= len(sources.passages):
                passage = sources.passages[number - 1]
                notes.append(
                    {
                        "type": "file_citation",
                        "file_id": passage.file_id,
                        "filename": passage.filename,
                        "index": mark.start(),
                    }
                )
    return notes


def _sum(one: Any, other: Any) -> Any:
    """Of two usages, member by member."""
    if one is None or other is None:
        return one if other is None else other
    if isinstance(one, dict):
        return {name: _sum(one.get(name), other.get(name)) for name in {**one, **other}}
    return one + other
