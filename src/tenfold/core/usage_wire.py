"""The usage objects of the three wire dialects, read into `Usage`. Lean: only billed counts are decoded.

Tolerant, because metering may not break a call: an optional count that is null, missing or malformed is 0;
a total that is malformed makes the whole usage None, since a bill from half a number would be wrong.
"""

from msgspec import DecodeError, Raw, Struct, ValidationError, convert
from msgspec.json import Decoder

from tenfold.core.usage import Usage

MAX_COUNT = 1 << 40
"""No call bills 10^12 tokens: a larger count is malformed, and would not fit a sum in the ledger."""


class MalformedCount(ValueError):
    """A total is there but is no count."""


def _part(value: object, total: int = MAX_COUNT) -> int:
    """An optional count, at most the total it is a part of: 0 unless it is a sane whole number."""
    if not value:
        return 0
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not 0 < value <= MAX_COUNT:
        return 0
    return value if value < total else total


def _total(value: object) -> int:
    """A total that may be missing (None -> 0). Raises MalformedCount."""
    if value is None:
        return 0
    count = int(value) if type(value) is float and value.is_integer() else value
    if type(count) is not int or not 0 <= count <= MAX_COUNT:
        raise MalformedCount(f"not a token count: {value!r}")
    return count


def _details(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


class OpenAIUsage(Struct, kw_only=True):
    """`usage` of chat completions and embeddings (prompt/completion) and of responses (input/output).
    Also of the many servers that speak this dialect."""

    prompt_tokens: object = None
    completion_tokens: object = None
    total_tokens: object = None
    prompt_tokens_details: object = None
    completion_tokens_details: object = None
    input_tokens: object = None
    output_tokens: object = None
    input_tokens_details: object = None
    output_tokens_details: object = None
    cached_tokens: object = None  # Moonshot says it here

    def to_usage(self) -> Usage | None:
        """None when no input count is stated. Raises MalformedCount."""
        if self.prompt_tokens is not None:
            input_tokens, output_tokens = _total(self.prompt_tokens), _total(self.completion_tokens)
            into, out = _details(self.prompt_tokens_details), _details(self.completion_tokens_details)
        elif self.input_tokens is not None:
            input_tokens, output_tokens = _total(self.input_tokens), _total(self.output_tokens)
            into, out = _details(self.input_tokens_details), _details(self.output_tokens_details)
        else:
            return None
        cached = _part(into.get("cached_tokens"), input_tokens) or _part(self.cached_tokens, input_tokens)
        reasoning = _part(out.get("reasoning_tokens"))
        beside = _part(self.total_tokens) - input_tokens - output_tokens
        if beside > 0:
            # xAI and Google's server of this dialect count reasoning beside the completion, and bill it; their totals
            # say so. Where total and parts disagree for another reason, the larger is what may be billed.
            output_tokens += beside
            reasoning = reasoning or beside
        return Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cached,
            cache_write_tokens=_part(into.get("cache_write_tokens"), input_tokens),
            input_audio_tokens=_part(into.get("audio_tokens"), input_tokens),
            output_audio_tokens=_part(out.get("audio_tokens"), output_tokens),
            reasoning_tokens=min(reasoning, output_tokens),
        )


class AnthropicUsage(Struct, kw_only=True):
    """`usage` of a message, of message_start and of message_delta."""

    input_tokens: object = None
    output_tokens: object = None
    cache_creation_input_tokens: object = None
    cache_read_input_tokens: object = None
    cache_creation: object = None
    output_tokens_details: object = None

    def to_usage(self, base: Usage | None = None) -> Usage | None:
        """`base` is what message_start said: counts are cumulative, so of each the larger one is the later.
        None when neither states any total. Raises MalformedCount."""
        if base is None:
            if self.input_tokens is None and self.output_tokens is None:
                return None
            base = _NOTHING
        read = max(_part(self.cache_read_input_tokens), base.cache_read_tokens)
        lifetimes = _details(self.cache_creation)
        one_hour = _part(lifetimes.get("ephemeral_1h_input_tokens"))
        written = _part(self.cache_creation_input_tokens) or (
            one_hour + _part(lifetimes.get("ephemeral_5m_input_tokens"))
        )
        written = max(written, base.cache_write_tokens)
        fresh = max(_total(self.input_tokens), base.input_tokens - base.cache_read_tokens - base.cache_write_tokens)
        output = max(_total(self.output_tokens), base.output_tokens)
        thinking = _part(_details(self.output_tokens_details).get("thinking_tokens"))
        return Usage(
            input_tokens=fresh + read + written,
            output_tokens=output,
            cache_read_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=min(max(one_hour, base.cache_write_1h_tokens), written),
            reasoning_tokens=min(max(thinking, base.reasoning_tokens), output),
        )


class GeminiUsage(Struct, kw_only=True, rename="camel"):
    """`usageMetadata` of generateContent, of each chunk of a stream (the last one counts) and of embeddings."""

    prompt_token_count: object = None
    candidates_token_count: object = None
    thoughts_token_count: object = None
    tool_use_prompt_token_count: object = None
    cached_content_token_count: object = None
    prompt_tokens_details: object = None
    candidates_tokens_details: object = None
    cache_tokens_details: object = None
    tool_use_prompt_tokens_details: object = None

    def to_usage(self) -> Usage | None:
        """None when no total is stated. Raises MalformedCount."""
        if self.prompt_token_count is None and self.candidates_token_count is None:
            return None
        thoughts = _total(self.thoughts_token_count)
        input_tokens = _total(self.prompt_token_count) + _total(self.tool_use_prompt_token_count)
        output_tokens = _total(self.candidates_token_count) + thoughts
        cached = _part(self.cached_content_token_count, input_tokens)
        audio = _modality(self.prompt_tokens_details, "AUDIO") + _modality(self.tool_use_prompt_tokens_details, "AUDIO")
        return Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cached,
            input_audio_tokens=min(audio, input_tokens),
            cache_audio_read_tokens=min(_modality(self.cache_tokens_details, "AUDIO"), cached),
            output_audio_tokens=min(_modality(self.candidates_tokens_details, "AUDIO"), output_tokens),
            output_image_tokens=min(_modality(self.candidates_tokens_details, "IMAGE"), output_tokens),
            reasoning_tokens=thoughts,
        )


def _modality(details: object, name: str) -> int:
    """One entry of Gemini's list of counts by modality."""
    if isinstance(details, list):
        for entry in details:
            if isinstance(entry, dict) and entry.get("modality") == name:
                return _part(entry.get("tokenCount"))
    return 0


_NOTHING = Usage()
_OPENAI = Decoder(OpenAIUsage)
_ANTHROPIC = Decoder(AnthropicUsage)
_GEMINI = Decoder(GeminiUsage)
_UNREADABLE = (DecodeError, ValidationError, MalformedCount, UnicodeDecodeError, RecursionError)


def openai_usage(raw: object) -> Usage | None:
    """`raw`: the usage object as JSON (bytes or msgspec.Raw) or decoded (dict). Never raises."""
    try:
        value = _OPENAI.decode(raw) if isinstance(raw, bytes | Raw) else convert(raw, OpenAIUsage)
        return value.to_usage()
    except _UNREADABLE:
        return None


class _PlainIn(Struct):
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_tokens: int = 0


class _PlainOut(Struct):
    reasoning_tokens: int = 0
    audio_tokens: int = 0


class _PlainUsage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int = 0
    prompt_tokens_details: _PlainIn | None = None
    completion_tokens_details: _PlainOut | None = None
    cached_tokens: int = 0

    def to_usage(self) -> Usage | None:
        """None when there is more to it than two totals."""
        into, out = self.prompt_tokens_details, self.completion_tokens_details
        if (
            self.cached_tokens
            or (into is not None and (into.cached_tokens or into.cache_write_tokens or into.audio_tokens))
            or (out is not None and (out.reasoning_tokens or out.audio_tokens))
            or self.total_tokens > self.prompt_tokens + self.completion_tokens
            or not 0 <= self.prompt_tokens <= MAX_COUNT
            or not 0 <= self.completion_tokens <= MAX_COUNT
        ):
            return None
        return Usage(input_tokens=self.prompt_tokens, output_tokens=self.completion_tokens)


class _PlainReply(Struct):
    usage: _PlainUsage


class _Reply(Struct):
    usage: object = None


_PLAIN_REPLY = Decoder(_PlainReply)
_REPLY = Decoder(_Reply)


def openai_reply_usage(body: bytes) -> Usage | None:
    """Usage of a whole reply, nothing else of which is read. Never raises. The common case, two totals and parts that
    are all 0, is told at once (1.5 us); everything else goes through openai_usage (4 us)."""
    try:
        usage = _PLAIN_REPLY.decode(body).usage.to_usage()
        if usage is not None:
            return usage
    except _UNREADABLE:
        pass
    try:
        stated = _REPLY.decode(body).usage
    except _UNREADABLE:
        return None
    return None if stated is None else openai_usage(stated)


def anthropic_usage(raw: object, base: Usage | None = None) -> Usage | None:
    """As openai_usage. With `base` (from message_start) a message_delta's usage is read on top of it;
    what cannot be read leaves `base`. Never raises."""
    try:
        value = _ANTHROPIC.decode(raw) if isinstance(raw, bytes | Raw) else convert(raw, AnthropicUsage)
        return value.to_usage(base)
    except _UNREADABLE:
        return base


def gemini_usage(raw: object) -> Usage | None:
    """As openai_usage, of `usageMetadata`. Never raises."""
    try:
        value = _GEMINI.decode(raw) if isinstance(raw, bytes | Raw) else convert(raw, GeminiUsage)
        return value.to_usage()
    except _UNREADABLE:
        return None
