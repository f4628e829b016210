"""A gateway without a network: an official SDK, a client dialect, a wire, and an upstream that answers as told."""

import json
from collections.abc import Iterator

import anthropic
import httpx2
import openai
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from tenfold.core.chat import ChatEvent, Ended, Failed
from tenfold.core.errors import BrokenStream, TenfoldError
from tenfold.core.sse import SseDecoder
from tenfold.edge.dialects.anthropic import AnthropicDialect
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.inference.ports import ClientDialect
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.gemini import GeminiWire
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import Wire, WireRequest
from tests.support.openai_schema import assert_valid

CLIENTS = ("openai", "anthropic")
UPSTREAMS = ("openai", "anthropic", "gemini")
MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}
"""A model of each upstream that takes all that is asked in these tests."""

_BLOCK = 61  # bytes; a prime, so that cuts fall everywhere
_ANTHROPIC_EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def client_dialect(name: str) -> ClientDialect:
    return OpenAIDialect() if name == "openai" else AnthropicDialect()


def upstream_wire(name: str) -> Wire:
    if name == "openai":
        return OpenAIWire()
    return AnthropicWire() if name == "anthropic" else GeminiWire()


class Gateway:
    """One client dialect over one wire. `answer` is the upstream's body, whole or as a stream as it was asked."""

    def __init__(self, client: str, upstream: str, answer: bytes = b"", *, status: int = 200) -> None:
        self.client = client
        self.upstream = upstream
        self.answer = answer
        self.status = status
        self.sent: WireRequest | None = None
        self.told = b""  # what the client got
        self._dialect = client_dialect(client)
        self._wire = upstream_wire(upstream)

    def openai(self) -> openai.OpenAI:
        http = httpx2.Client(transport=httpx2.MockTransport(self._handle))
        return openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0)

    def anthropic(self) -> anthropic.Anthropic:
        http = httpx2.Client(transport=httpx2.MockTransport(self._handle))
        return anthropic.Anthropic(api_key="k", base_url="http://gateway", http_client=http, max_retries=0)

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        try:
            asked = self._dialect.decode_chat(request.read())
            self.sent = self._wire.encode_chat(asked, MODELS[self.upstream])
            if self.status >= 400:
                raise self._wire.decode_error(self.status, [], self.answer)
            if not asked.stream:
                self.told = self._dialect.encode_reply(self._wire.decode_chat(self.answer), asked)
                return _response(200, self.told, "application/json")
            encoder = self._dialect.reply_encoder(asked)
            self.told = b"".join(encoder.encode(events) for events in self._events())
            if not self._over:
                self.told += self._dialect.error_frame(BrokenStream("The stream broke."), "req_1")
            return _response(200, self.told, "text/event-stream")
        except TenfoldError as error:
            return _response(error.status, self._dialect.encode_error(error, "req_1"), "application/json")

    def _events(self) -> Iterator[list[ChatEvent]]:
        decoder = self._wire.stream_decoder()
        self._over = False
        for at in range(0, len(self.answer), _BLOCK):
            yield self._noted(decoder.feed(self.answer[at : at + _BLOCK]))
        yield self._noted(decoder.finish())

    def _noted(self, events: list[ChatEvent]) -> list[ChatEvent]:
        self._over = self._over or any(isinstance(event, Ended | Failed) for event in events)
        return events


def check_told(gateway: Gateway) -> None:
    """The SDKs build their models without checks; here the models check the bytes. Not where the dialects match: there
    the upstream's own blocks are told, and recordings hold some that the SDK's models do not know."""
    if gateway.client == gateway.upstream:
        return
    if not gateway.told.startswith((b"data:", b"event:")):
        if gateway.client == "openai":
            ChatCompletion.model_validate_json(gateway.told)
            assert_valid("CreateChatCompletionResponse", json.loads(gateway.told))
        else:
            AnthropicMessage.model_validate_json(gateway.told)
        return
    for event in SseDecoder().feed(gateway.told):
        if event.data == b"[DONE]" or event.event in ("ping", "error") or event.data.startswith(b'{"error"'):
            continue
        if gateway.client == "openai":
            ChatCompletionChunk.model_validate_json(event.data)
            assert_valid("CreateChatCompletionStreamResponse", json.loads(event.data))
        else:
            _ANTHROPIC_EVENT.validate_json(event.data)


def _response(status: int, body: bytes, content_type: str) -> httpx2.Response:
    return httpx2.Response(status, content=body, headers={"content-type": content_type})
