"""Streams for the tests: made, decoded, and told to a client, every chunk checked on the way."""

import json
from typing import Any

from openai.types.chat import ChatCompletionChunk

from tenfold.core.chat import (
    ChatEvent,
    ChatRequest,
    Choice,
    JsonObject,
    RefusalPart,
    TextPart,
)
from tenfold.core.clock import FakeClock
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.providers.openai import OpenAIWire
from tests.dialects.openai.vectors import chunks
from tests.support.openai_schema import assert_valid

DIALECT = OpenAIDialect(FakeClock())
WIRE = OpenAIWire()
ASKED = ChatRequest(model="m", messages=[], stream=True, include_usage=True)


def events_of(*blocks: bytes, wire: OpenAIWire = WIRE) -> list[ChatEvent]:
    decoder = wire.stream_decoder()
    events = [event for block in blocks for event in decoder.feed(block)]
    return events + decoder.finish()


def frames_of(stream: bytes) -> list[bytes]:
    return [frame + b"\n\n" for frame in stream.split(b"\n\n") if frame.strip()]


def stream_of(*deltas: JsonObject, finish: str | None = "stop", **members: Any) -> bytes:
    """A stream of one choice with these deltas, ended as OpenAI ends it."""
    base = {"id": "i", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    choices: list[JsonObject] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    lines = [json.dumps(base | members | {"choices": [choice]}).encode() for choice in choices]
    return b"".join(b"data: " + line + b"\n\n" for line in lines) + b"data: [DONE]\n\n"


def told(events: list[ChatEvent], request: ChatRequest = ASKED) -> bytes:
    """What the client gets: every chunk valid, and read by OpenAI's SDK."""
    encoder = DIALECT.reply_encoder(request)
    out = b"".join(encoder.encode([event]) for event in events)
    for chunk in chunks(out):
        assert_valid("CreateChatCompletionStreamResponse", chunk)
        ChatCompletionChunk.model_validate(chunk)
    return out


def text_of(choice: Choice, kind: type[TextPart | RefusalPart]) -> str:
    return "".join(part.text for part in choice.parts if isinstance(part, kind))
