"""Says of a reply whose it is, as it passes by: its id, what was asked, the numbers of its events.

A reply may come from the cache, from another caller's flight or from under an idempotency key, and was then written for
another response; or it begins anew in the middle, which the numbers of its events do not show.
"""

import hashlib
import re
from typing import Any

from msgspec import DecodeError, Struct, json

from tenfold.core.chat import JsonObject
from tenfold.edge.dialects.responses.echo import Echo, blank, head
from tenfold.edge.dialects.responses.errors import event

_HEAD = re.compile(rb'event: [\w.]+\ndata: \{"type":"([\w.]+)","sequence_number":\d+(?:,"output_index":(\d+))?')
_STARTS = ("response.created", "response.in_progress")
_ENDS = ("response.completed", "response.incomplete", "response.failed")
_CODES = ("rate_limit_exceeded", "server_error", "invalid_prompt")
_DECODER: json.Decoder[Any] = json.Decoder()


class StreamEvent(Struct, frozen=True):
    type: str
    sequence: int
    frame: bytes  # one whole event, blank line included


class Stamp:
    """One for each reply. `sequence`, `output_index`: the numbers of the first event and item, for a stream that goes
    on where another broke off; `begun`: its beginning was told there."""

    def __init__(self, echo: Echo, *, sequence: int = 0, output_index: int = 0, begun: bool = False) -> None:
        self._echo = echo
        self._head = head(echo)
        self.sequence = sequence
        self.output_index = output_index  # of the next item that begins
        self.response: JsonObject | None = None  # as it was told last
        self.ended = False
        self._begun = begun
        self._first_index = output_index  # what item 0 of the reply is called here
        self._rest = b""
        self._output: list[JsonObject] = []
        self._written: bytes | None = None  # the hex of ids as the reply has it
        self._ours = _items_hex(echo, output_index)

    def whole(self, body: bytes) -> bytes:
        """A reply in one piece. What is no Response object, as an error's body, stays as it is."""
        try:
            value = _DECODER.decode(body)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            return body
        if not isinstance(value, dict) or value.get("object") != "response":
            return body
        stamped = self._stamped(value)
        self.ended = True
        return json.encode(stamped)

    def frames(self, data: bytes) -> bytes:
        """The same for bytes of a stream."""
        return b"".join([one.frame for one in self.events(data)])

    def events(self, data: bytes) -> list[StreamEvent]:
        """The whole events in it; one that is cut waits for the next bytes."""
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        told: list[StreamEvent] = []
        for frame in frames:
            match = _HEAD.match(frame)
            if match is None or self.ended:
                continue
            self._event(match, frame + b"\n\n", told)
        return told

    def _event(self, match: re.Match[bytes], frame: bytes, told: list[StreamEvent]) -> None:
        kind = match[1].decode()
        if kind in _STARTS or kind in _ENDS:
            value = _DECODER.decode(frame[frame.index(b"data: ") + 6 :])
            response = self._stamped(value["response"])
            if kind in _ENDS:
                self.ended = True
            elif self._begun:
                return
            self._tell(kind, {"response": response}, told)
            self._begun = self._begun or kind == "response.in_progress"
            return
        if kind == "tenfold.restart":
            self._restart()
        elif kind == "response.output_item.done":
            self._output.append(_DECODER.decode(self._renamed(frame[frame.index(b"data: ") + 6 :]))["item"])
        number = b'event: %b\ndata: {"type":"%b","sequence_number":%d' % (match[1], match[1], self.sequence)
        if match[2] is not None:
            index = int(match[2]) + self._first_index
            self.output_index = max(self.output_index, index + 1)
            number += b',"output_index":%d' % index
        told.append(StreamEvent(kind, self.sequence, number + self._renamed(frame[match.end() :])))
        self.sequence += 1
        if kind == "error":
            self._failed(_DECODER.decode(frame[frame.index(b"data: ") + 6 :]), told)

    def _tell(self, kind: str, members: JsonObject, told: list[StreamEvent]) -> None:
        told.append(StreamEvent(kind, self.sequence, event(kind, self.sequence, members)))
        self.sequence += 1

    def _failed(self, error: JsonObject, told: list[StreamEvent]) -> None:
        """After the error, the response as it came to be."""
        code = error.get("code")
        base = self.response or blank(self._echo, "in_progress")
        failed = base | {
            "status": "failed",
            "output": self._output,
            "error": {"code": code if code in _CODES else "server_error", "message": error.get("message") or ""},
        }
        self.response, self.ended = failed, True
        self._tell("response.failed", {"response": failed}, told)

    def _restart(self) -> None:
        """What was told is void. The items to come go on counting, and have ids of their own."""
        self._first_index = self.output_index
        self._ours = _items_hex(self._echo, self.output_index)
        self._output, self._written = [], None

    def _stamped(self, response: JsonObject) -> JsonObject:
        id_ = response.get("id")
        if self._written is None and isinstance(id_, str):
            self._written = id_.removeprefix("resp_").encode()
        output = _DECODER.decode(self._renamed(json.encode(response.get("output") or [])))
        self.response = response | self._head | {"output": output}
        if response.get("completed_at") is not None:  # a reused answer is older than its response
            self.response["completed_at"] = max(response["completed_at"], self._echo.created_at)
        return self.response

    def _renamed(self, data: bytes) -> bytes:
        return data.replace(b"_" + self._written, b"_" + self._ours) if self._written else data


def _items_hex(echo: Echo, first_index: int) -> bytes:
    """What the ids of items begin with: the response's own digits, and others for items after a restart."""
    if not first_index:
        return echo.hex.encode()
    return hashlib.blake2b(f"{echo.id}:{first_index}".encode(), digest_size=16).hexdigest().encode()
