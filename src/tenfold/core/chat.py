"""Canonical chat: client dialects decode to it, providers encode from it, and back.

It is a superset of what the dialects say, so that a translation loses nothing that both sides know.
A message is a list of parts in the order they were said; a tool result is a part of a `tool` message.
`native`, wherever it stands, holds the members of that value which only one dialect has: they go back to that
dialect unchanged, and to no other.
"""

from typing import Any, Literal

from msgspec import Struct, field

from tenfold.core.usage import Usage

JsonObject = dict[str, Any]

# -- parts of a message ----------------------------------------------------------------------


class TextPart(Struct, frozen=True, kw_only=True, tag="text"):
    text: str
    cache_control: JsonObject | None = None  # Anthropic prompt-caching mark, kept where the upstream knows it
    citations: list[JsonObject] | None = None  # provider citations, opaque
    native: "OpaquePart | None" = None


class ImagePart(Struct, frozen=True, kw_only=True, tag="image"):
    """Either `url` (http/https) or `data` (base64) with `media_type`."""

    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    detail: str | None = None
    cache_control: JsonObject | None = None
    native: "OpaquePart | None" = None


class FilePart(Struct, frozen=True, kw_only=True, tag="file"):
    """A document (PDF, text): `url`, base64 `data` with `media_type`, or a provider `file_id`."""

    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    file_id: str | None = None
    name: str | None = None
    cache_control: JsonObject | None = None
    native: "OpaquePart | None" = None


class AudioPart(Struct, frozen=True, kw_only=True, tag="audio"):
    data: str
    format: str


class RefusalPart(Struct, frozen=True, kw_only=True, tag="refusal"):
    text: str


class ThinkingPart(Struct, frozen=True, kw_only=True, tag="thinking"):
    """Reasoning text. `signature` must travel back unchanged; `redacted` is an encrypted block."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class ToolCallPart(Struct, frozen=True, kw_only=True, tag="tool_call"):
    """`arguments` is the JSON text of an object; "" when the model gave none."""

    id: str
    name: str
    arguments: str
    signature: str | None = None  # Gemini thoughtSignature
    cache_control: JsonObject | None = None
    native: "OpaquePart | None" = None


class ToolResultPart(Struct, frozen=True, kw_only=True, tag="tool_result"):
    call_id: str
    content: list["Part"]
    is_error: bool = False
    cache_control: JsonObject | None = None
    native: "OpaquePart | None" = None


class OpaquePart(Struct, frozen=True, kw_only=True, tag="opaque"):
    """A block only one dialect knows (server tools and the like): carried back to that dialect as it was."""

    dialect: str
    value: JsonObject


Part = (
    TextPart
    | ImagePart
    | FilePart
    | AudioPart
    | RefusalPart
    | ThinkingPart
    | ToolCallPart
    | ToolResultPart
    | OpaquePart
)

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Message(Struct, frozen=True, kw_only=True):
    role: Role
    parts: list[Part]
    name: str | None = None
    native: OpaquePart | None = None


# -- request ---------------------------------------------------------------------------------


class Tool(Struct, frozen=True, kw_only=True):
    """A function the model may call. `opaque` holds a provider's own tool (web search) instead, with its dialect."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None  # JSON Schema of the arguments
    strict: bool | None = None
    cache_control: JsonObject | None = None
    opaque: OpaquePart | None = None
    native: OpaquePart | None = None


class ToolChoice(Struct, frozen=True, kw_only=True):
    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


class ResponseFormat(Struct, frozen=True, kw_only=True):
    """`json_object`: any JSON; `json_schema`: JSON that fits `schema`."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: JsonObject | None = None
    strict: bool | None = None


class ChatRequest(Struct, frozen=True, kw_only=True):
    """What was asked. `None` means the client did not say. `extra` holds parameters the dialect does
    not define; they travel to the upstream as they are."""

    model: str
    messages: list[Message]
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    n: int = 1
    logprobs: bool = False
    top_logprobs: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: JsonObject | None = None
    reasoning_effort: str | None = None
    thinking_budget: int | None = None  # tokens; 0 = off
    modalities: list[str] | None = None
    user: str | None = None
    metadata: JsonObject | None = None
    service_tier: str | None = None
    stream: bool = False
    include_usage: bool = False  # OpenAI stream_options.include_usage
    extra: JsonObject = field(default_factory=dict)
    native: OpaquePart | None = None


# -- reply -----------------------------------------------------------------------------------

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "stop_sequence", "refusal", "pause"]


class Choice(Struct, frozen=True, kw_only=True):
    parts: list[Part]
    finish_reason: FinishReason | None
    index: int = 0
    stop_sequence: str | None = None  # which one, where the provider says
    logprobs: JsonObject | None = None  # in OpenAI's shape: {"content": [...], "refusal": [...]}


class ChatReply(Struct, frozen=True, kw_only=True):
    id: str
    model: str
    choices: list[Choice]
    usage: Usage | None = None
    created_s: int = 0
    service_tier: str | None = None
    system_fingerprint: str | None = None
    native: OpaquePart | None = None


# -- stream ----------------------------------------------------------------------------------
# Order: one Started, then deltas, a Finished per choice, then one Metered (when known), then Ended.
# A stream that stops without Ended is broken.


class Started(Struct, frozen=True, kw_only=True, tag="started"):
    id: str
    model: str
    created_s: int = 0
    usage: Usage | None = None  # Anthropic and Gemini tell the input side at the start
    system_fingerprint: str | None = None
    service_tier: str | None = None
    native: OpaquePart | None = None


class TextDelta(Struct, frozen=True, kw_only=True, tag="text_delta"):
    text: str
    choice: int = 0
    logprobs: JsonObject | None = None
    citations: list[JsonObject] | None = None
    block: int | None = None  # where the dialect numbers its blocks: a new number is a new part


class RefusalDelta(Struct, frozen=True, kw_only=True, tag="refusal_delta"):
    text: str
    choice: int = 0


class ThinkingDelta(Struct, frozen=True, kw_only=True, tag="thinking_delta"):
    """Text and signature may come apart; `redacted` is a whole encrypted block."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    block: int | None = None
    choice: int = 0


class ToolCallDelta(Struct, frozen=True, kw_only=True, tag="tool_call_delta"):
    """`slot` numbers the tool calls of a choice from 0. The first delta of a slot has `id` and `name`;
    `arguments` is the next fragment of the JSON text."""

    slot: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    signature: str | None = None
    native: OpaquePart | None = None
    choice: int = 0


class OpaqueDelta(Struct, frozen=True, kw_only=True, tag="opaque_delta"):
    """A whole block that only one dialect knows; other dialects leave it out."""

    part: OpaquePart
    choice: int = 0


class Finished(Struct, frozen=True, kw_only=True, tag="finished"):
    reason: FinishReason
    choice: int = 0
    stop_sequence: str | None = None
    native: OpaquePart | None = None


class Metered(Struct, frozen=True, kw_only=True, tag="metered"):
    usage: Usage
    native: OpaquePart | None = None


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """The provider reported an error inside the stream, or sent what cannot be read. Terminal."""

    message: str
    kind: str | None = None
    code: str | None = None
    status: int = 502


class Restarted(Struct, frozen=True, kw_only=True, tag="restarted"):
    """Never an upstream's, so no ChatEvent: what came before it is void, the reply begins anew."""

    provider: str
    model: str


class Ended(Struct, frozen=True, kw_only=True, tag="ended"):
    """The provider said in its own protocol that the reply is complete."""


ChatEvent = (
    Started
    | TextDelta
    | RefusalDelta
    | ThinkingDelta
    | ToolCallDelta
    | OpaqueDelta
    | Finished
    | Metered
    | Failed
    | Ended
)

# -- embeddings ------------------------------------------------------------------------------


class EmbeddingsRequest(Struct, frozen=True, kw_only=True):
    """`inputs`: texts, or token ids where the upstream takes them."""

    model: str
    inputs: list[str] | list[list[int]]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None
    extra: JsonObject = field(default_factory=dict)


class EmbeddingsReply(Struct, frozen=True, kw_only=True):
    model: str
    vectors: list[list[float]]
    usage: Usage | None = None
