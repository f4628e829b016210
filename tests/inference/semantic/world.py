"""The one path with the semantic cache in it, over rows in memory or real ones, a decider that takes the nearest
question, and an embedder that knows words.

The upstream answers "A: <question> (<n>)", n counted from 1, so that two answers are the same only when one was reused.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import json

from tenfold.cache.grounds import Document
from tenfold.cache.semantic.fake import FakeDecider, FakeSemanticRows
from tenfold.cache.semantic.keeping import Scopes
from tenfold.cache.semantic.ports import Decider, SemanticRows
from tenfold.cache.semantic.types import Verdict
from tenfold.core.call import CallOptions, Grounds
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.inference.grounded import Grounded
from tenfold.inference.idempotent import Idempotency
from tenfold.inference.lookup import Lookup
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.planner import Planner
from tenfold.inference.ports import Switches
from tenfold.inference.semantic.said import CanonicalReader, ResponsesReader, WireReader
from tenfold.inference.semantic.stage import Compare, Semantic, SemanticPolicy
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.transport.fake import FakeReply, FakeRequest
from tenfold.retrieval.fake import FakeEmbedder
from tests.support.pipeline import EVENT_STREAM, MODEL, Client, World

SEMANTIC = CallOptions(cache=frozenset({"semantic"}))
REFUND, IN_OTHER_WORDS = "How do I get a refund?", "How do I get a refund"
ELSE = "Where are your opening hours listed today"


def saying(**more: Any) -> CallOptions:
    """Options of a request that wants the semantic cache; `cache` adds directives."""
    return CallOptions(cache=frozenset({"semantic", *more.pop("cache", ())}), **more)


def resting_on(*documents: Document | str) -> CallOptions:
    return saying(grounds=Grounds(documents=frozenset(map(str, documents))))


class Answering:
    """A script of an OpenAI-compatible upstream. `finish` is the reason it gives; "tool_calls" for calls alone."""

    def __init__(self, finish: str = "stop") -> None:
        self.asked: list[str] = []
        self._finish = finish

    def __call__(self, request: FakeRequest) -> FakeReply:
        asked = json.decode(request.body)
        content = asked["messages"][-1]["content"]
        self.asked.append(content if isinstance(content, str) else content[-1]["text"])
        text = self._text(asked)
        if asked.get("stream"):
            return FakeReply(headers=EVENT_STREAM, body=_frames(text))
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if self._finish == "tool_calls":
            call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        reply = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m-2026",
            "choices": [{"index": 0, "message": message, "finish_reason": self._finish}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
        }
        return FakeReply(headers=[(b"content-type", b"application/json")], body=json.encode(reply))

    def _text(self, _asked: dict[str, Any]) -> str:
        return f"A: {self.asked[-1]} ({len(self.asked)})"


class Versioned(Answering):
    """Answers by which version it was asked, as the request's metadata say."""

    def _text(self, asked: dict[str, Any]) -> str:
        return f"by {asked['metadata']['version']}"


def _frames(text: str) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-2026"}
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": text}, None), ({}, "stop")]
    frames = [head | {"choices": [{"index": 0, "delta": each, "finish_reason": end}]} for each, end in deltas]
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    frames.append(head | {"choices": [], "usage": usage})
    return b"".join(b"data: " + json.encode(frame) + b"\n\n" for frame in frames) + b"data: [DONE]\n\n"


class SemanticWorld(World):
    """One process of it. `verdicts`: what the comparator says, in turn, "same" once they are over."""

    def __init__(
        self,
        script: Answering | None = None,
        *,
        rows: SemanticRows | None = None,
        policy: SemanticPolicy = "on_request",
        verdicts: Sequence[Verdict] = (),
        switches: Switches | None = None,
        max_bytes: int = 1 << 26,
        max_answer_bytes: int = 1 << 16,
        make: Callable[[], Decider] | None = None,
        compare: Compare | None = None,
        dice: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.upstream = script or Answering()
        super().__init__({"openai": self.upstream}, switches=switches)
        self.embedder = FakeEmbedder()
        self.compared: list[tuple[str, str]] = []
        self.deciders: list[FakeDecider] = []
        self._verdicts = list(verdicts)
        self.fake_rows = FakeSemanticRows(self.clock)
        self.rows = self.fake_rows if rows is None else rows
        self.semantic = Semantic(
            Scopes(self.rows, make or self._decider, max_bytes=max_bytes, max_entries=1000),
            self.embedder,
            {
                "openai": WireReader(OpenAIWire()),
                "anthropic": WireReader(AnthropicWire()),
                "openai_responses": ResponsesReader(),
                "canonical": CanonicalReader(),
            },
            compare or self._compare,
            policy=policy,
            switches=switches,
            dice=dice,
            max_answer_bytes=max_answer_bytes,
        )
        self.grounded = Grounded(self.cache, self.rows)
        self.pipeline = Pipeline(
            admit=self.admission.admit,
            router=self.router,
            lookup=Lookup(self.cache, "deterministic", switches, grounded=self.grounded),
            sink=self.outcomes,
            planner=Planner(switches=switches),
            idempotency=Idempotency(self.keys, uuid7(), max_reply_bytes=1 << 16, keep_s=3600.0, first_retry_s=0),
            semantic=self.semantic,
        )

    async def say(
        self,
        question: str,
        options: CallOptions = SEMANTIC,
        *,
        principal: Principal | None = None,
        system: str = "Be brief.",
        client: str = "openai",
        **more: Any,
    ) -> Client:
        """One question, answered, kept, and the scope it belongs to read."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        request: dict[str, Any] = {"model": MODEL, "messages": messages}
        if client == "anthropic":
            request |= {"messages": messages[1:], "system": system, "max_tokens": 100}
        elif client == "openai_responses":
            request = {"model": MODEL, "input": question, "instructions": system}
        reply = await self.ask(json.encode(request | more), client, options=options, principal=principal)
        await self.settled()
        return reply

    async def settled(self) -> None:
        await self.semantic.settled()
        await self.grounded.settled()

    def _decider(self) -> FakeDecider:
        self.deciders.append(FakeDecider())
        return self.deciders[-1]

    def _compare(self, a: str, b: str, _cosine: float | None) -> Verdict:
        self.compared.append((a, b))
        return self._verdicts.pop(0) if self._verdicts else "same"


def layer(reply: Client) -> str:
    """Where the answer came from: "semantic", "memory", or the state of the cache."""
    assert reply.status == 200, reply.body
    told = reply.headers["tenfold-cache"]
    return told.split("; ")[1].removeprefix("layer=") if told.startswith("hit") else told


async def warmed(world: SemanticWorld, options: CallOptions = SEMANTIC, **more: Any) -> SemanticWorld:
    """One in whose scope REFUND was answered: the first question has the scope read, the second is kept."""
    await world.say(ELSE, options, **more)
    await world.say(REFUND, options, **more)
    return world
