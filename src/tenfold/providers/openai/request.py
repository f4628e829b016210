"""Canonical chat requests to OpenAI's CreateChatCompletionRequest."""

from msgspec import json

from tenfold.core.chat import ChatRequest, JsonObject, Tool
from tenfold.core.errors import UnsupportedParameter
from tenfold.providers.openai.content import DIALECT, native_members
from tenfold.providers.openai.facts import UpstreamFacts, is_reasoning_model
from tenfold.providers.openai.messages import encode_messages
from tenfold.providers.ports import WireRequest

_FOREIGN_TIERS = frozenset({"standard_only"})
_ELSEWHERE = {
    "container": "Containers are kept at another provider: use a model of it.",
    "mcp_servers": "MCP servers are not called from here: offer their tools as functions.",
    "thread": "This upstream keeps no conversations: send the whole one.",
}
"""Members of another dialect without which the answer would not be what was asked for."""
_EFFORTS = ((2_048, "low"), (8_192, "medium"))  # thinking budgets in tokens, up to which; above: high


def encode_chat(request: ChatRequest, upstream_model: str, facts: UpstreamFacts) -> WireRequest:
    """Raises UnsupportedParameter."""
    _refuse(request)
    body: JsonObject = {"model": upstream_model, "messages": encode_messages(request.messages, facts)}
    ignored: list[str] = []
    _encode_tools(request, body)
    _encode_sampling(request, upstream_model, facts, body, ignored)
    _encode_thinking(request, upstream_model, body, ignored)
    _encode_rest(request, body, ignored)
    own = native_members(request.native)
    if request.stream:
        body["stream"] = True
        if facts.usage_option:
            body["stream_options"] = own.get("stream_options", {}) | {"include_usage": True}
    for name, value in (own | request.extra).items():
        if name == "tool_choice":
            body[name] = value  # one that only OpenAI can say
        else:
            body.setdefault(name, value)
    return WireRequest(path="/chat/completions", body=json.encode(body), ignored=tuple(ignored))


def _refuse(request: ChatRequest) -> None:
    foreign = request.native.value if request.native is not None and request.native.dialect != DIALECT else {}
    for name, reason in _ELSEWHERE.items():
        if foreign.get(name):
            raise UnsupportedParameter(reason, param=name)


def _encode_tools(request: ChatRequest, body: JsonObject) -> None:
    if request.tools:
        body["tools"] = [_encode_tool(tool) for tool in request.tools]
    choice = request.tool_choice
    if choice is not None and request.tools:
        named = {"type": "function", "function": {"name": choice.name}}
        body["tool_choice"] = named if choice.mode == "named" else choice.mode
    if request.parallel_tool_calls is not None and request.tools:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _encode_tool(tool: Tool) -> JsonObject:
    if tool.opaque is not None:
        if tool.opaque.dialect != DIALECT:
            raise UnsupportedParameter(
                f"The tool '{tool.name}' is one of the {tool.opaque.dialect} API's own and does not exist here: "
                "offer it as a function, or use a model of that provider.",
                param="tools",
            )
        return tool.opaque.value
    function: JsonObject = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    own = dict(native_members(tool.native))
    function |= own.pop("function", {})
    return {"type": "function", "function": function} | own


def _encode_sampling(
    request: ChatRequest, upstream_model: str, facts: UpstreamFacts, body: JsonObject, ignored: list[str]
) -> None:
    given = {
        facts.output_limit_name(upstream_model): request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": request.stop or None,
        facts.seed_name: request.seed,
        "n": request.n if request.n != 1 else None,
        "logprobs": request.logprobs or None,
        "top_logprobs": request.top_logprobs,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "logit_bias": request.logit_bias,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    if request.top_k is not None:
        if facts.top_k:
            body["top_k"] = request.top_k
        else:
            ignored.append("top_k")


def _encode_thinking(request: ChatRequest, upstream_model: str, body: JsonObject, ignored: list[str]) -> None:
    """A budget of tokens has no word here; for the models that reason, an effort comes near it."""
    if request.reasoning_effort is not None:
        body["reasoning_effort"] = request.reasoning_effort
    elif request.thinking_budget:
        if is_reasoning_model(upstream_model):
            efforts = (effort for limit, effort in _EFFORTS if request.thinking_budget <= limit)
            body["reasoning_effort"] = next(efforts, "high")
        else:
            ignored.append("thinking")


def _encode_rest(request: ChatRequest, body: JsonObject, ignored: list[str]) -> None:
    given = {
        "modalities": request.modalities,
        "user": request.user,
        "metadata": request.metadata,
        "response_format": _encode_format(request),
    }
    body |= {name: value for name, value in given.items() if value is not None}
    if request.service_tier in _FOREIGN_TIERS:
        ignored.append("service_tier")
    elif request.service_tier is not None:
        body["service_tier"] = request.service_tier


def _encode_format(request: ChatRequest) -> JsonObject | None:
    wanted = request.response_format
    if wanted is None:
        return None
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    members = {"description": wanted.description, "schema": wanted.schema, "strict": wanted.strict}
    schema = {"name": wanted.name or "reply"} | {name: value for name, value in members.items() if value is not None}
    return {"type": "json_schema", "json_schema": schema}
