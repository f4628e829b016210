"""Chat requests of OpenAI clients to canonical ones. The body was checked before: here its types are trusted."""

from tenfold.core.chat import (
    ChatRequest,
    JsonObject,
    Message,
    OpaquePart,
    Part,
    RefusalPart,
    ResponseFormat,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from tenfold.core.json_guard import load_json
from tenfold.edge.dialects.openai.hot import peek_chat
from tenfold.providers.openai.content import DIALECT, decode_content, native, rest_of
from tenfold.providers.openai.messages import parse_arguments
from tenfold.providers.openai.reply import decode_thoughts, thought_signature

LEGACY_DIALECT = "openai-functions"
"""Marks, in Tool.native, tools that came as the deprecated `functions`: the reply speaks of them as the client did."""

_PLAIN = (
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "top_logprobs",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "parallel_tool_calls",
    "reasoning_effort",
    "modalities",
    "user",
    "metadata",
    "service_tier",
)
_READ = frozenset(
    (
        *_PLAIN,
        "model",
        "messages",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "response_format",
        "max_tokens",
        "stop",
        "n",
        "logprobs",
        "stream",
        "stream_options",
    )
)


def decode_chat(body: bytes) -> ChatRequest:
    """Raises InvalidRequest."""
    peek = peek_chat(body)
    value: JsonObject = load_json(body)
    tools, tool_choice, own = _decode_tools(value)
    options = dict(value.get("stream_options") or {})
    options.pop("include_usage", None)
    response_format, own_format = _decode_format(value.get("response_format"))
    own |= own_format | ({"stream_options": options} if options else {})
    stop = value.get("stop")
    plain = {name: value[name] for name in _PLAIN if value.get(name) is not None}
    plain.pop("max_completion_tokens", None)
    return ChatRequest(
        model=peek.model,
        messages=decode_messages(value["messages"]),
        tools=tools,
        tool_choice=tool_choice,
        response_format=response_format,
        max_tokens=peek.max_tokens,
        stop=[stop] if isinstance(stop, str) else stop or [],
        n=peek.n,
        logprobs=value.get("logprobs") is True,
        stream=peek.stream,
        include_usage=peek.include_usage,
        extra={name: member for name, member in value.items() if name not in _READ},
        native=native(own),
        **plain,
    )


# -- messages --------------------------------------------------------------------------------


def decode_messages(values: list[JsonObject]) -> list[Message]:
    """Legacy function calls have no id: they get one here, and their results find it by the function's name."""
    messages: list[Message] = []
    legacy: dict[str, str] = {}
    for number, value in enumerate(values):
        call = value.get("function_call")
        if call is not None:
            legacy[call["name"]] = f"call_{number}"
        messages.append(_decode_message(value, legacy))
    return messages


def _decode_message(value: JsonObject, legacy: dict[str, str]) -> Message:
    role, content = value["role"], decode_content(value.get("content"))
    if role == "assistant":
        return _decode_assistant(value, content, legacy)
    if role == "tool":
        result = ToolResultPart(call_id=value["tool_call_id"], content=content)
        rest = rest_of(value, "role", "content", "tool_call_id", "name")
        return Message(role="tool", parts=[result], name=value.get("name"), native=native(rest))
    if role == "function":
        name = value["name"]
        result = ToolResultPart(call_id=legacy.get(name, f"call_{name}"), content=content)
        return Message(role="tool", parts=[result], native=native(rest_of(value, "role", "content", "name")))
    rest = rest_of(value, "role", "content", "name")
    return Message(role=role, parts=content, name=value.get("name"), native=native(rest))


def _decode_assistant(value: JsonObject, content: list[Part], legacy: dict[str, str]) -> Message:
    """Reasoning is read for the upstreams that take it back in their own way, and kept as it was said."""
    parts: list[Part] = [*decode_thoughts(value), *content]
    if value.get("refusal") is not None:
        parts.append(RefusalPart(text=value["refusal"]))
    parts += [_decode_call(call) for call in value.get("tool_calls") or []]
    if (call := value.get("function_call")) is not None:
        arguments = parse_arguments(call.get("arguments"))
        parts.append(ToolCallPart(id=legacy[call["name"]], name=call["name"], arguments=arguments))
    rest = rest_of(value, "role", "content", "name", "refusal", "tool_calls", "function_call")
    said = {name: member for name, member in rest.items() if member is not None}
    return Message(role="assistant", parts=parts, name=value.get("name"), native=native(said))


def _decode_call(call: JsonObject) -> Part:
    function = call.get("function")
    if function is None:
        return OpaquePart(dialect=DIALECT, value=call)
    signature = thought_signature(call)
    known = ("id", "type", "function", "index") + (("extra_content",) if signature is not None else ())
    return ToolCallPart(
        id=call["id"],
        name=function["name"],
        arguments=parse_arguments(function.get("arguments")),
        signature=signature,
        native=native(rest_of(call, *known)),
    )


# -- tools and formats -----------------------------------------------------------------------


def _decode_tools(value: JsonObject) -> tuple[list[Tool], ToolChoice | None, JsonObject]:
    """The tools, the choice, and what of the choice only this dialect can say."""
    tools = [_decode_tool(tool) for tool in value.get("tools") or []]
    choice, own = _decode_choice(value.get("tool_choice"))
    if functions := value.get("functions"):
        tools += [_decode_function(function, OpaquePart(dialect=LEGACY_DIALECT, value={})) for function in functions]
        called = value.get("function_call")
        if isinstance(called, dict):
            choice = ToolChoice(mode="named", name=called["name"])
        elif called is not None:
            choice = ToolChoice(mode=called)
    return tools, choice, own


def _decode_tool(value: JsonObject) -> Tool:
    function = value.get("function")
    if function is None:
        custom = value.get("custom")
        name = custom.get("name") if isinstance(custom, dict) else value.get("type")
        return Tool(name=str(name), opaque=OpaquePart(dialect=DIALECT, value=value))
    own = rest_of(value, "type", "function")
    if rest := rest_of(function, "name", "description", "parameters", "strict"):
        own["function"] = rest
    mark = value.get("cache_control")
    return _decode_function(function, native(own), mark if isinstance(mark, dict) else None)


def _decode_function(value: JsonObject, own: OpaquePart | None, mark: JsonObject | None = None) -> Tool:
    return Tool(
        name=value["name"],
        description=value.get("description"),
        parameters=value.get("parameters"),
        strict=value.get("strict"),
        cache_control=mark,
        native=own,
    )


def _decode_choice(value: str | JsonObject | None) -> tuple[ToolChoice | None, JsonObject]:
    if value is None:
        return None, {}
    if isinstance(value, str):
        modes = {"auto": ToolChoice(mode="auto"), "none": ToolChoice(mode="none")}
        return modes.get(value, ToolChoice(mode="required")), {}  # Mistral says "any"
    function = value.get("function")
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return ToolChoice(mode="named", name=function["name"]), {}
    allowed = value.get("allowed_tools")
    if isinstance(allowed, dict) and allowed.get("mode") == "required":
        return ToolChoice(mode="required"), {"tool_choice": value}
    return None, {"tool_choice": value}


def _decode_format(value: JsonObject | None) -> tuple[ResponseFormat | None, JsonObject]:
    """The format, or what only some servers of this dialect know (grammars and the like)."""
    if value is None:
        return None, {}
    kind = value["type"]
    if kind == "json_schema":
        schema = value["json_schema"]
        return (
            ResponseFormat(
                kind="json_schema",
                name=schema["name"],
                description=schema.get("description"),
                schema=schema.get("schema"),
                strict=schema.get("strict"),
            ),
            {},
        )
    if kind in ("text", "json_object"):
        return ResponseFormat(kind=kind), {}
    return None, {"response_format": value}
