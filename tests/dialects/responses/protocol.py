"""The event protocol of the Responses API, as a client that trusts nothing reads it."""

import json
from functools import cache
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tenfold.core.chat import JsonObject
from tenfold.core.sse import SseDecoder
from tests.support.openai_schema import assert_valid, schema

_EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
_OWN = ("tenfold.restart",)
_ENDS = ("response.completed", "response.incomplete", "response.failed")


def events_in(told: bytes) -> list[JsonObject]:
    """Every event, which says its type twice."""
    events = []
    for event in SseDecoder().feed(told):
        value = json.loads(event.data)
        assert value["type"] == event.event
        events.append(value)
    assert told.endswith(b"\n\n") or not told
    return events


def check_whole(body: bytes, *, described: bool = True) -> JsonObject:
    """A Response as OpenAI's description and its SDK's models have it. `described` False leaves the description out,
    which is slow to check: for many that are alike."""
    value: JsonObject = json.loads(body)
    if described:
        assert_valid("Response", value)
    Response.model_validate(value)
    return value


def check_stream(told: bytes, *, first: int = 0, described: bool = True) -> JsonObject:
    """The last response. Fails the test when an event is not as its description has it (the first of each type is
    held against it), is not numbered, comes where it may not, or says something else than those before it. `first`:
    the number of the first event."""
    replay = Replay(first)
    seen: set[str] = set(_OWN)
    for event in events_in(told):
        kind = event["type"]
        if described and kind not in seen:
            assert_valid(_described()[kind], event)
        seen.add(kind)
        if kind not in _OWN:
            _EVENT.validate_python(event)
        replay.take(event)
    assert replay.final is not None, "the stream has no end"
    return replay.final


@cache
def _described() -> dict[str, str]:
    """The schema of each type of event."""
    refs = [one["$ref"].rpartition("/")[2] for one in schema("ResponseStreamEvent")["anyOf"]]
    return {schema(name)["properties"]["type"]["enum"][0]: name for name in refs}


class Replay:
    """Puts a response together from its events."""

    def __init__(self, first: int = 0) -> None:
        self.final: JsonObject | None = None
        self.items: dict[int, JsonObject] = {}
        self.types: list[str] = []
        self._next = first
        self._errors = 0
        self._open: dict[int, JsonObject] = {}
        self._parts: dict[tuple[int, str, int], JsonObject] = {}
        self._from = 0  # the first item that is not void

    def take(self, event: JsonObject) -> None:
        assert self.final is None, f"{event['type']} after the end"
        assert event["sequence_number"] == self._next, event
        self._next += 1
        self.types.append(event["type"])
        kind = event["type"].removeprefix("response.")
        if event["type"] == "tenfold.restart":
            self._open, self._parts, self._from = {}, {}, len(self.items) + len(self._open)
            self.items = {}
        elif kind in ("created", "in_progress"):
            assert event["response"]["status"] == "in_progress"
            assert event["response"]["output"] == []
            assert self.types == ["response.created", "response.in_progress"][: len(self.types)]
        elif event["type"] == "error":
            self._errors += 1
        elif event["type"] in _ENDS:
            self._end(kind, event["response"])
        else:
            assert self.types[:2] == ["response.created", "response.in_progress"]
            self._item(kind, event)

    def _end(self, kind: str, response: JsonObject) -> None:
        assert response["status"] == kind
        if kind == "failed":
            assert self._errors == 1
            assert response["error"]["message"]
        else:
            assert not self._open, "an item was left open"
            assert not self._parts
        assert response["output"] == [self.items[index] for index in sorted(self.items)]
        self.final = response

    def _item(self, kind: str, event: JsonObject) -> None:
        index = event["output_index"]
        if kind == "output_item.added":
            assert index >= self._from
            assert index not in self.items
            assert index not in self._open
            assert all(other < index for other in (*self.items, *self._open))
            assert event["item"].get("status") == "in_progress"
            self._open[index] = {**event["item"], "said": ""}
            return
        if kind == "output_item.done":
            self._done(self._open.pop(index), event["item"])
            self.items[index] = event["item"]
            return
        item = self._open[index]
        assert event["item_id"] == item["id"]
        if "part" in event:
            self._part(kind, index, item, event)
        else:
            self._delta(kind, index, item, event)

    def _part(self, kind: str, index: int, item: JsonObject, event: JsonObject) -> None:
        name = "summary" if "summary" in kind else "content"
        at = (index, name, event[f"{name}_index"])
        if kind.endswith(".added"):
            assert at not in self._parts
            assert at[2] == len(item.setdefault(f"{name}_parts", []))
            assert _text(event["part"]) == ""
            self._parts[at] = {"said": "", "done": False, "notes": []}
            return
        part = self._parts.pop(at)
        assert part["done"]
        assert _text(event["part"]) == part["said"]
        assert event["part"].get("annotations", []) == part["notes"]
        item[f"{name}_parts"].append(event["part"])

    def _delta(self, kind: str, index: int, item: JsonObject, event: JsonObject) -> None:
        name = "summary" if "summary" in kind else "content"
        open_one: Any = self._parts[index, name, event[f"{name}_index"]] if f"{name}_index" in event else item
        if kind.endswith(".delta"):
            open_one["said"] += event["delta"]
        elif kind.endswith("annotation.added"):
            assert event["annotation_index"] == len(open_one["notes"])
            open_one["notes"].append(event["annotation"])
        else:
            assert kind.endswith(".done")
            said = next(event[name] for name in ("text", "refusal", "arguments", "input") if name in event)
            assert said == open_one["said"]
            open_one["done"] = True

    def _done(self, item: JsonObject, done: JsonObject) -> None:
        assert (item["id"], item["type"]) == (done["id"], done["type"])
        assert not any(at[0] == self._index_of(item) for at in self._parts)
        match done["type"]:
            case "message":
                assert done["content"] == item.get("content_parts", [])
            case "function_call":
                assert item["done"]
                assert done["arguments"] == item["said"]
                assert (done["name"], done["call_id"]) == (item["name"], item["call_id"])
            case "custom_tool_call":
                assert done["input"] == item["said"]
            case "reasoning":
                assert done["summary"] == item.get("summary_parts", [])
                assert done.get("content", []) == item.get("content_parts", [])

    def _index_of(self, item: JsonObject) -> int:
        return next((index for index, each in self._open.items() if each is item), -1)


def _text(part: JsonObject) -> str:
    text: str = part["refusal"] if part["type"] == "refusal" else part["text"]
    return text
