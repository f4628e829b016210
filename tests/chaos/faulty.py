"""Asking a faulty provider as its clients do: over a bare socket, and with Tenfold's own client and wires."""

from typing import Any

from tenfold.app.chaos.http_client import Answer, post
from tenfold.app.faults import FaultyProvider
from tenfold.core.chat import ChatRequest, Ended, Message, ResponseFormat, TextDelta, TextPart
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.gemini import GeminiWire
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import Wire, WireRequest
from tenfold.providers.transport import HttpClient, Limits, Origin, Timeouts

READERS: dict[str, Wire] = {"openai": OpenAIWire(), "anthropic": AnthropicWire(), "gemini": GeminiWire()}
DIALECTS = tuple(READERS)


def wired(dialect: str, model: str, *, stream: bool, schema: dict[str, Any] | None = None) -> WireRequest:
    """What Tenfold sends."""
    request = ChatRequest(
        model=model,
        messages=[Message(role="user", parts=[TextPart(text="Say something.")])],
        max_tokens=500,
        stream=stream,
        include_usage=stream,
        response_format=ResponseFormat(kind="json_schema", name="s", schema=schema) if schema else None,
    )
    asked = READERS[dialect].encode_chat(request, model)
    return WireRequest(path=f"/v1{asked.path}" if dialect == "openai" else asked.path, body=asked.body)


async def ask(
    provider: FaultyProvider, dialect: str, model: str, *, stream: bool, timeout_s: float = 10, **more: Any
) -> Answer:
    """Over a bare socket: also what no client library would show."""
    request = wired(dialect, model, stream=stream)
    return await post(provider.port, request.path, {}, request.body, timeout_s=timeout_s, **more)


def client(provider: FaultyProvider, *, silence_s: float = 0.2) -> HttpClient:
    """Tenfold's, with little patience and small bounds."""
    return HttpClient(
        Origin.parse(provider.url),
        limits=Limits(max_body_bytes=1 << 20),
        timeouts=Timeouts(first_byte_s=silence_s, between_bytes_s=silence_s),
    )


async def fetch(http: HttpClient, request: WireRequest) -> tuple[int, bytes]:
    exchange = await http.post(request.path, [], request.body)
    return exchange.status, await exchange.read()


def text_of(dialect: str, body: bytes, *, stream: bool) -> str:
    """Everything said, as Tenfold reads it. Raises AssertionError when it does not read a complete reply."""
    reader = READERS[dialect]
    if not stream:
        return "".join(part.text for part in reader.decode_chat(body).choices[0].parts if isinstance(part, TextPart))
    decoder = reader.stream_decoder()
    events = [*decoder.feed(body), *decoder.finish()]
    assert events and isinstance(events[-1], Ended), events
    return "".join(event.text for event in events if isinstance(event, TextDelta))
