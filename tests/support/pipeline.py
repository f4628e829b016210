"""The one path without a network or a database: real dialects, wires and stages between fakes of the two ends.

>>> world = World({"openai": [FakeReply(body=REPLIES["openai"])]})
>>> client = await world.ask(asking("openai"))

Each upstream is scripted by the replies it gives in turn; all serve the model `m`, in the order they are named.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import json

from tenfold.cache.exact import ExactCache
from tenfold.cache.ports import SharedAnswers
from tenfold.core.call import DEFAULT_OPTIONS, Call, CallOptions, Operation
from tenfold.core.chat import JsonObject
from tenfold.core.clock import FakeClock
from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.core.principal import ALL_SCOPES, Principal
from tenfold.edge.dialects.anthropic import AnthropicDialect
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.edge.dialects.responses import ResponsesDialect
from tenfold.inference.ceilings import Ceilings
from tenfold.inference.degrade import Degrade
from tenfold.inference.idempotent import Idempotency
from tenfold.inference.lookup import Lookup, Policy
from tenfold.inference.offload import Offload
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.planner import Planner
from tenfold.inference.policy import DEFAULT_POLICY, Balance, Feature
from tenfold.inference.policy import Policy as RoutePolicy
from tenfold.inference.ports import ClientDialect, Parking, Switches
from tenfold.inference.route import Route, Router, Target
from tenfold.ledger.idempotency.fake import FakeIdempotencyRows
from tenfold.ledger.idempotency.ports import IdempotencyRows
from tenfold.ledger.prices import Quote
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.gemini import GeminiWire
from tenfold.providers.http import HttpProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import Wire
from tenfold.providers.transport.fake import FakeReply, FakeRequest, FakeTransport
from tests.support.admission import FreeAdmission

MODEL = "m"
MODEL_OUTPUT = 10_000  # tokens it writes where a request does not say
INPUT_NANO, OUTPUT_NANO = 1_000, 2_000
"""What a token costs here, in 10^-9 USD."""

EVENT_STREAM = [(b"content-type", b"text/event-stream")]
DIALECTS: Mapping[str, ClientDialect] = {
    "openai": OpenAIDialect(),
    "openai_responses": ResponsesDialect(),
    "anthropic": AnthropicDialect(),
}
KEEP_S = 3600.0
"""How long an idempotency key is known here."""

PROVIDER_KEY = "sk-the-key-of-tenfold-itself"

Script = Iterable[FakeReply] | Callable[[FakeRequest], FakeReply]

# -- what is asked and answered --------------------------------------------------------------
# Every answer says "Hello" and states 12 input and 3 output tokens.

REPLIES: Mapping[str, bytes] = {
    "openai": b'{ "id":"chatcmpl-1", "object":"chat.completion", "created":1, "model":"m-2026", "odd":[1.0 ],\n'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}',
    "anthropic": b'{ "id":"msg_1", "type":"message", "role":"assistant", "model":"m-2026", "odd":[1.0 ],\n'
    b'"content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,'
    b'"usage":{"input_tokens":12,"output_tokens":3}}',
    "gemini": b'{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},"finishReason":"STOP"}],'
    b'"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":3},"modelVersion":"m-2026","responseId":"r"}',
}

_CHUNK = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m-2026",'
USAGE_FRAME = _CHUNK + b'"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}\n\n'

FRAMES: Mapping[str, Sequence[bytes]] = {
    "openai": (
        _CHUNK + b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
        _CHUNK + b'"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}\n\n',
        _CHUNK + b'"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}\n\n',
        _CHUNK + b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
        USAGE_FRAME,
        b"data: [DONE]\n\n",
    ),
    "anthropic": (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
        b'"role":"assistant","model":"m-2026","content":[],"stop_reason":null,"stop_sequence":null,'
        b'"usage":{"input_tokens":12,"output_tokens":1}}}\n\n',
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":""}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"Hel"}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"lo"}}\n\n',
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn",'
        b'"stop_sequence":null},"usage":{"output_tokens":3}}\n\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ),
    "gemini": (
        b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hel"}]}}],"responseId":"r"}\r\n\r\n',
        b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"lo"}]},"finishReason":"STOP"}],'
        b'"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":3},"responseId":"r"}\r\n\r\n',
    ),
}

UNTIL_TOKEN: Mapping[str, int] = {"openai": 2, "anthropic": 3, "gemini": 1}
"""How many of its frames an upstream sends until a token is among them: a client gets them as one piece."""

FAILURES: Mapping[str, bytes] = {
    "openai": b'data: {"error":{"message":"Full","type":"server_error","code":null}}\n\n',
    "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Full"}}\n\n',
    "gemini": b'data: {"error":{"code":503,"message":"Full","status":"UNAVAILABLE"}}\r\n\r\n',
}
"""How an upstream tells within a stream that it failed."""


def asking(client: str, **more: Any) -> bytes:
    """A request body in the client's dialect."""
    request: JsonObject = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    if client == "anthropic":
        request["max_tokens"] = 100
    return json.encode(request | more)


def streamed(upstream: str, **how: Any) -> FakeReply:
    """The upstream's answer as a stream, a block for each frame."""
    frames = FRAMES[upstream]
    edges = [sum(map(len, frames[:n])) for n in range(1, len(frames))]
    return FakeReply(**({"headers": EVENT_STREAM, "body": b"".join(frames), "cuts": tuple(edges)} | how))


def whole(upstream: str, **how: Any) -> FakeReply:
    headers = [(b"content-type", b"application/json")]
    return FakeReply(**({"headers": headers, "body": REPLIES[upstream]} | how))


# -- the two ends ----------------------------------------------------------------------------


class ClientLeft(Exception):
    """Nobody reads what would be sent."""


class Client:
    """A Responder that keeps what it is sent. `leaves_after`: how many pieces of a stream it takes before it goes."""

    gone: type[Exception] = ClientLeft

    def __init__(self, leaves_after: int | None = None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.is_stream = False
        self.got_piece = asyncio.Event()
        self.left = False
        self.call: Call | None = None  # that World.ask made for it
        self._leaves_after = leaves_after

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.decode(self.body)

    def whole(self, status: int, headers: str, body: bytes) -> None:
        self._begin(status, headers)
        self.pieces = [body]

    def stream(self, status: int, headers: str) -> "Client":
        self._begin(status, headers)
        self.is_stream = True
        return self

    async def send_bytes(self, data: bytes) -> None:
        if self._leaves_after is not None and len(self.pieces) >= self._leaves_after:
            self.left = True
            raise ClientLeft
        self.pieces.append(data)
        self.got_piece.set()

    def _begin(self, status: int, headers: str) -> None:
        assert not self.status, "a second reply"
        self.status = status
        lines = headers.split("\r\n")
        assert lines.pop() == ""
        pairs = [line.split(": ", 1) for line in lines]
        self.headers = dict(pairs)
        assert len(self.headers) == len(pairs), f"a header twice: {headers}"


class Outcomes:
    """An OutcomeSink that keeps the calls it is given."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def record(self, call: Call) -> None:
        self.calls.append(call)

    @property
    def only(self) -> Call:
        assert len(self.calls) == 1, f"{len(self.calls)} calls were recorded"
        return self.calls[0]


class FixedPrice:
    """A PriceList that knows one quote, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self._quote = Quote.from_usd_per_million(input=1, output=2)

    def quote(self, at: datetime) -> Quote | None:
        self.asked += 1
        return self._quote


class NoPrice:
    def quote(self, at: datetime) -> None:
        return None


# -- the path --------------------------------------------------------------------------------


def principal(slug: str = "acme") -> Principal:
    return Principal(tenant_id=TenantId(uuid7()), tenant_slug=slug, key_id=KeyId(uuid7()), scopes=ALL_SCOPES)


class World:
    """A pipeline and everything around it. Upstreams are named `openai`, `anthropic`, `gemini`; any other name is an
    OpenAI-compatible server. `upstream_model`: their name for `m`; `ask_usage` as the setting `stream_usage`. `route`:
    what the route `m` may do; `models`: the model that each upstream serves, by the upstream's name, `m` unless said.
    """

    def __init__(
        self,
        scripts: Mapping[str, Script],
        *,
        policy: Policy = "deterministic",
        max_in_flight: int = 100,
        upstream_model: str = MODEL,
        ask_usage: bool = True,
        prices: FixedPrice | NoPrice | None = None,
        coalesce: bool = True,
        max_entry_bytes: int = 1 << 18,
        max_reply_bytes: int = 1 << 16,
        keys: IdempotencyRows | None = None,
        ceilings: Ceilings | None = None,
        broken_streams: Literal["bound", "received"] = "bound",
        route: RoutePolicy = DEFAULT_POLICY,
        models: Mapping[str, str] | None = None,
        balance: Balance = "order",
        features: Mapping[str, Feature] | None = None,
        parking: Parking | None = None,
        offload: Offload | None = None,
        switches: Switches | None = None,
        shared: SharedAnswers | None = None,
        dice: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.transports = {name: FakeTransport(script) for name, script in scripts.items()}
        self.admission = FreeAdmission(max_in_flight, ceilings)
        self.gate = self.admission.gate
        self.ages = FakeClock()  # of what is in the cache
        self.cache = ExactCache(
            max_bytes=1 << 20, max_entry_bytes=max_entry_bytes, ttl_s=60, stale_s=3600, clock=self.ages.monotonic_s
        )
        self.clock = FakeClock()
        self.keys = FakeIdempotencyRows(self.clock)  # unless others are given
        self.outcomes = Outcomes()
        self.principal = principal()
        targets = tuple(
            Target(
                provider=HttpProvider(name, _wire(name), transport, PROVIDER_KEY, "/models"),
                upstream_model=upstream_model,
                prices=prices or FixedPrice(),
                ask_usage=ask_usage,
                max_output_tokens=MODEL_OUTPUT,
                broken_streams=broken_streams,
                model=(models or {}).get(name, MODEL),
                balance=balance,
            )
            for name, transport in self.transports.items()
        )
        self.targets = dict(zip(self.transports, targets, strict=True))
        self.router = Router([Route(model=MODEL, targets=targets, policy=route)])
        lookup = Lookup(self.cache, policy, switches, shared)
        self.pipeline = Pipeline(
            admit=self.admission.admit,
            router=self.router,
            lookup=lookup,
            planner=Planner(switches=switches, ceilings=ceilings, dice=dice),
            degrade=Degrade(lookup=lookup, features=features, parking=parking),
            offload=offload,
            sink=self.outcomes,
            idempotency=Idempotency(
                self.keys if keys is None else keys,
                uuid7(),
                max_reply_bytes=max_reply_bytes,
                keep_s=KEEP_S,
                first_retry_s=0,
            ),
            coalesce=coalesce,
        )

    async def ask(
        self,
        body: bytes,
        client: str = "openai",
        *,
        operation: Operation = "chat",
        options: CallOptions = DEFAULT_OPTIONS,
        principal: Principal | None = None,
        responder: Client | None = None,
    ) -> Client:
        """The reply to one call."""
        responder = responder or Client()
        call = Call(
            principal=principal or self.principal, operation=operation, dialect=client, body=body, options=options
        )
        responder.call = call
        await self.pipeline.serve(call, DIALECTS[client], responder)
        return responder

    @property
    def sent(self) -> list[FakeRequest]:
        """What all upstreams were asked."""
        return [request for transport in self.transports.values() for request in transport.requests]

    def assert_settled(self) -> None:
        """Nothing is left behind: no open exchange, no call in flight, no attempt that a target still counts; each
        admitted call settled once, and the budgets charged what the receipts say."""
        self.admission.assert_nothing_held()
        assert self.admission.budgets.spent == sum(call.cost_nano or 0 for call in self.outcomes.calls)
        for target in self.targets.values():
            assert (target.health.in_flight, target.shaper.in_flight, target.shaper.waiting) == (0, 0, 0)
        assert all(count == 1 for count in Counter(call.id for call in self.outcomes.calls).values())
        for transport in self.transports.values():
            assert all(exchange.complete or exchange.aborted for exchange in transport.exchanges)


def _wire(name: str) -> Wire:
    if name == "anthropic":
        return AnthropicWire()
    return GeminiWire() if name == "gemini" else OpenAIWire()
