"""What an answer says, read of the bytes that the client got: for comparing it with another one."""

from collections.abc import Iterable
from typing import Any, Protocol

from msgspec import DecodeError, json

from tenfold.core.chat import ChatEvent
from tenfold.core.errors import TenfoldError
from tenfold.inference.output.said import Said, StreamText, said_in
from tenfold.providers.ports import Wire

_events: json.Decoder[Any] = json.Decoder(ChatEvent)
_values: json.Decoder[Any] = json.Decoder()


class Reader(Protocol):
    """Of one client dialect."""

    def said(self, body: bytes, *, stream: bool) -> list[Said]:
        """Choice by choice. Raises ValueError or TenfoldError for what is no reply."""
        ...


class WireReader:
    """Of a dialect that is a provider's, too."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def said(self, body: bytes, *, stream: bool) -> list[Said]:
        if not stream:
            return said_in(self._wire.decode_chat(body))
        text = StreamText(self._wire.stream_decoder())
        text.feed(body)
        return text.said()


class CanonicalReader:
    """Of callers inside, who always stream."""

    def said(self, body: bytes, *, stream: bool) -> list[Said]:
        events: Iterable[ChatEvent] = _events.decode_lines(body)
        text = StreamText()
        text.take(events)
        return text.said()


class ResponsesReader:
    """Of OpenAI's Responses."""

    def said(self, body: bytes, *, stream: bool) -> list[Said]:
        response = _last_response(body) if stream else _values.decode(body)
        texts: list[str] = []
        excused = False
        for item in response["output"]:
            if item["type"] == "message":
                for part in item["content"]:
                    if part["type"] == "output_text":
                        texts.append(part["text"])
                    else:
                        excused = True
            elif item["type"] != "reasoning":
                excused = True
        cut = response.get("status") != "completed"
        return [Said(index=0, text="".join(texts), excused=excused, cut=cut)]


def text_of(reader: Reader, body: bytes, *, stream: bool) -> str | None:
    """The one text that an answer is. None: it is none, calls tools, refuses, was cut short, or cannot be read."""
    try:
        said = reader.said(body, stream=stream)
    except (TenfoldError, DecodeError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if len(said) != 1 or said[0].excused or said[0].cut or said[0].too_long:
        return None
    return said[0].text if said[0].text.strip() else None


def _last_response(body: bytes) -> Any:
    """Of its last event, which tells the whole response."""
    for line in reversed(body.split(b"\n")):
        if line.startswith(b"data:"):
            return _values.decode(line[5:])["response"]
    raise ValueError("no event")
