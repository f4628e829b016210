"""Canonical messages to OpenAI's: tool results get their own messages, reasoning goes back only where it is taken."""

from collections.abc import Iterator, Sequence

from msgspec import json

from tenfold.core.chat import (
    JsonObject,
    Message,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from tenfold.providers.openai.content import DIALECT, encode_content, encode_part, native_members
from tenfold.providers.openai.facts import UpstreamFacts


def encode_messages(messages: list[Message], facts: UpstreamFacts) -> list[JsonObject]:
    """Raises UnsupportedParameter."""
    return list(_encode_messages(messages, facts))


def _encode_messages(messages: list[Message], facts: UpstreamFacts) -> Iterator[JsonObject]:
    media: list[Part] = []  # of tool results, which take text only: said by the user once all results are told
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResultPart)]
        others = [part for part in message.parts if not isinstance(part, ToolResultPart)]
        for result in results:
            yield _encode_result(result, message, facts, media)
        if media and (others or not results):
            yield {"role": "user", "content": encode_content(media, facts)}
            media = []
        if others or not results:
            yield _encode_message(message, others, facts)
    if media:
        yield {"role": "user", "content": encode_content(media, facts)}


def _encode_result(result: ToolResultPart, message: Message, facts: UpstreamFacts, media: list[Part]) -> JsonObject:
    """The result's message; what is not text is added to `media`."""
    said = [part for part in result.content if isinstance(part, TextPart | OpaquePart)]
    media += [part for part in result.content if not isinstance(part, TextPart | OpaquePart | ThinkingPart)]
    value: JsonObject = {
        "role": "tool",
        "tool_call_id": result.call_id,
        "content": encode_content(said, facts) or "",
    }
    if message.role == "tool":
        value |= _name(message) | native_members(message.native)
    return value | native_members(result.native)


def _encode_message(message: Message, parts: Sequence[Part], facts: UpstreamFacts) -> JsonObject:
    role = "user" if message.role == "tool" else message.role  # a tool message without a result is talk
    if role != "assistant":
        content = encode_content(parts, facts)
        return {"role": role, "content": "" if content is None else content} | _name(message) | _kept(message)
    said = [part for part in parts if not isinstance(part, ToolCallPart | RefusalPart) and not is_custom_call(part)]
    refusals = [part.text for part in parts if isinstance(part, RefusalPart)]
    value: JsonObject = {"role": role, "content": encode_content(said, facts)} | _name(message)
    if refusals:
        value["refusal"] = "".join(refusals)
    if calls := [call for part in parts if (call := _encode_call(part, facts)) is not None]:
        value["tool_calls"] = calls
    thoughts = "".join(part.text for part in parts if isinstance(part, ThinkingPart))
    if thoughts and facts.thoughts_name is not None:
        value[facts.thoughts_name] = thoughts
    return value | _kept(message)


def _name(message: Message) -> JsonObject:
    return {"name": message.name} if message.name is not None else {}


def _kept(message: Message) -> JsonObject:
    return native_members(message.native)


def is_custom_call(part: Part) -> bool:
    """A call of a custom tool: OpenAI's own, with free text for arguments."""
    return isinstance(part, OpaquePart) and part.dialect == DIALECT and part.value.get("type") == "custom"


def _encode_call(part: Part, facts: UpstreamFacts) -> JsonObject | None:
    if not isinstance(part, ToolCallPart):
        return encode_part(part, facts) if is_custom_call(part) else None
    call = encode_call(part)
    if part.signature is not None and facts.thought_signatures:
        call["extra_content"] = {"google": {"thought_signature": part.signature}}
    return call | native_members(part.native)


def encode_call(part: ToolCallPart) -> JsonObject:
    """A tool call as OpenAI has it; arguments that were never said are an empty object."""
    function = {"name": part.name, "arguments": part.arguments or "{}"}
    return {"id": part.id, "type": "function", "function": function}


def parse_arguments(value: object) -> str:
    """The JSON text of a call's arguments; some servers send the object itself."""
    if isinstance(value, str):
        return value
    return json.encode(value).decode() if isinstance(value, dict) else ""
