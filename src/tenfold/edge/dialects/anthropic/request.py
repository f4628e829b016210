"""Messages requests to canonical ones.

What only Anthropic knows is kept in `native`, so that it reaches Anthropic whole and no other upstream; parameters
that nobody here knows go to any upstream.
"""

from typing import Any, Literal

from tenfold.core.chat import (
    ChatRequest,
    JsonObject,
    Message,
    OpaquePart,
    Part,
    ResponseFormat,
    Tool,
    ToolChoice,
    ToolResultPart,
)
from tenfold.core.json_guard import load_json
from tenfold.edge.dialects.anthropic.checks import check_request
from tenfold.providers.anthropic.blocks import DIALECT, decode_content, native

_CANONICAL = frozenset(
    (
        "model",
        "messages",
        "system",
        "max_tokens",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "tools",
        "tool_choice",
    )
)
_ANTHROPIC_ONLY = frozenset(
    (
        "betas",
        "cache_control",
        "container",
        "context_management",
        "diagnostics",
        "fallbacks",
        "inference_geo",
        "mcp_servers",
        "metadata",
        "output_config",
        "output_format",
        "service_tier",
        "speed",
        "thinking",
        "thread",
        "user_profile_id",
        "workspace_id",
    )
)
_CHOICES: dict[str, Literal["auto", "none", "required", "named"]] = {
    "auto": "auto",
    "any": "required",
    "tool": "named",
    "none": "none",
}
_TIERS = {"auto": "auto", "standard_only": "default"}
_CUSTOM = ("name", "description", "input_schema", "strict", "cache_control")


def decode_chat(body: bytes) -> ChatRequest:
    """max_tokens may be missing, as in a count_tokens body; the front door asks for it. Raises InvalidRequest."""
    value = check_request(load_json(body), counting=True)
    config = value.get("output_config") or {}
    choice = value.get("tool_choice") or {}
    once = choice.get("disable_parallel_tool_use")
    return ChatRequest(
        model=value["model"],
        messages=[*_system(value.get("system")), *_conversation(value["messages"])],
        tools=[_tool(tool) for tool in value.get("tools") or ()],
        tool_choice=ToolChoice(mode=_CHOICES[choice["type"]], name=choice.get("name")) if choice else None,
        parallel_tool_calls=None if once is None else not once,
        response_format=_response_format(config.get("format") or value.get("output_format")),
        max_tokens=value.get("max_tokens"),
        temperature=value.get("temperature"),
        top_p=value.get("top_p"),
        top_k=value.get("top_k"),
        stop=value.get("stop_sequences") or [],
        reasoning_effort=_effort(config.get("effort")),
        thinking_budget=_budget(value.get("thinking") or {}),
        user=(value.get("metadata") or {}).get("user_id"),
        service_tier=_TIERS.get(value.get("service_tier") or ""),
        stream=value.get("stream") is True,
        include_usage=True,
        extra={name: member for name, member in value.items() if name not in _CANONICAL | _ANTHROPIC_ONLY},
        native=OpaquePart(
            dialect=DIALECT, value={name: member for name, member in value.items() if name not in _CANONICAL}
        ),
    )


def _system(system: Any) -> list[Message]:
    return [Message(role="system", parts=decode_content(system))] if system else []


def _conversation(messages: list[JsonObject]) -> list[Message]:
    return [canonical for message in messages for canonical in _message(message)]


def _message(message: JsonObject) -> list[Message]:
    """A user's message falls into tool results, each a message of its own, and what the user said."""
    members = {name: member for name, member in message.items() if name not in ("role", "content")}
    parts = decode_content(message.get("content"))
    if message["role"] == "system":
        # Even without members it says: this was an Anthropic client's own place for a system message.
        return [Message(role="system", parts=parts, native=OpaquePart(dialect=DIALECT, value=members))]
    if message["role"] == "assistant":
        return [Message(role="assistant", parts=parts, native=native(members))]
    runs: list[tuple[bool, list[Part]]] = []
    for part in parts:
        is_result = isinstance(part, ToolResultPart)
        if is_result or not runs or runs[-1][0]:
            runs.append((is_result, [part]))
        else:
            runs[-1][1].append(part)
    return [
        Message(role="tool" if is_result else "user", parts=run, native=native(members) if first else None)
        for first, (is_result, run) in zip((True, *[False] * len(runs)), runs, strict=False)
    ] or [Message(role="user", parts=[], native=native(members))]


def _tool(tool: JsonObject) -> Tool:
    kind = tool.get("type")
    if kind not in (None, "custom"):
        name = tool.get("name")
        return Tool(name=name if isinstance(name, str) else str(kind), opaque=OpaquePart(dialect=DIALECT, value=tool))
    strict = tool.get("strict")
    return Tool(
        name=tool["name"],
        description=tool.get("description"),
        parameters=tool["input_schema"],
        strict=strict if isinstance(strict, bool) else None,
        cache_control=tool.get("cache_control"),
        native=native({name: member for name, member in tool.items() if name not in _CUSTOM}),
    )


def _response_format(form: Any) -> ResponseFormat | None:
    match form:
        case {"type": "json_schema", "schema": dict(schema)}:
            return ResponseFormat(kind="json_schema", name="response", schema=schema, strict=True)
    return None


def _effort(effort: Any) -> str | None:
    """In the words other dialects share; `max` is Anthropic's own."""
    return "xhigh" if effort == "max" else effort if isinstance(effort, str) else None


def _budget(thinking: JsonObject) -> int | None:
    if thinking.get("type") == "disabled":
        return 0
    return thinking.get("budget_tokens") if thinking.get("type") == "enabled" else None
