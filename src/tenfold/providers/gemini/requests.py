"""Canonical chat requests to bodies of generateContent and countTokens."""

from typing import Any

import msgspec

from tenfold.core.chat import ChatRequest, JsonObject, Tool
from tenfold.core.errors import UnsupportedParameter
from tenfold.providers.gemini.contents import Contents
from tenfold.providers.gemini.models import EFFORTS, always_thinks, before_gemini_3, effort_budget, effort_level
from tenfold.providers.gemini.parts import DIALECT
from tenfold.providers.gemini.paths import camel, generate_path, model_path
from tenfold.providers.ports import WireRequest

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}

_BESIDE_CONFIG = frozenset(("safetySettings", "cachedContent", "labels", "serviceTier", "store"))
_IN_CONFIG = frozenset(
    (
        "audioTimestamp",
        "candidateCount",
        "enableAffectiveDialog",
        "enableEnhancedCivicAnswers",
        "frequencyPenalty",
        "imageConfig",
        "logprobs",
        "maxOutputTokens",
        "mediaResolution",
        "presencePenalty",
        "responseJsonSchema",
        "responseLogprobs",
        "responseMimeType",
        "responseModalities",
        "responseSchema",
        "routingConfig",
        "seed",
        "speechConfig",
        "stopSequences",
        "temperature",
        "thinkingConfig",
        "topK",
        "topP",
    )
)

# Parameters of other dialects without a canonical field. The answer is what was asked for without these,
_HARMLESS = frozenset(
    (
        "betas",
        "context_management",
        "diagnostics",
        "fallbacks",
        "inference_geo",
        "moderation",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "speed",
        "store",
        "stream_options",
        "user_profile_id",
        "verbosity",
        "workspace_id",
    )
)
# and would not be without these:
_NEEDED = {
    "audio": "Gemini chat models answer with text: leave out `audio`.",
    "container": "Gemini has no containers: use a model of the provider that keeps this one.",
    "response_format": "Gemini answers in text, JSON, or JSON that fits a schema: ask for one of these.",
    "tool_choice": "Gemini is told auto, none, required, or one function: choose one of these, or send fewer tools.",
    "mcp_servers": "Gemini calls no MCP servers: offer their tools as functions.",
    "thread": "Gemini keeps no conversations: send the whole one.",
    "web_search_options": "Search with Gemini is a tool of its own: send `tools: [{googleSearch: {}}]` in `google`.",
}

_INT32 = 1 << 31


def encode_chat(request: ChatRequest, upstream_model: str) -> WireRequest:
    """Raises InvalidRequest, UnsupportedParameter."""
    body, ignored = _conversation(request, upstream_model)
    config = _generation_config(request, upstream_model)
    if tier := _service_tier(request.service_tier):
        body["serviceTier"] = tier
    ignored |= _ignored(request) | _merge_extra(request, body, config)
    if config:
        body["generationConfig"] = config
    return WireRequest(
        path=generate_path(upstream_model, stream=request.stream),
        body=msgspec.json.encode(body),
        ignored=tuple(sorted(ignored)),
    )


def encode_count_tokens(request: ChatRequest, upstream_model: str) -> WireRequest:
    """Counts system text and tools too, which `contents` alone would not."""
    body, ignored = _conversation(request, upstream_model)
    model = model_path(upstream_model)
    return WireRequest(
        path=f"/v1beta/{model}:countTokens",
        body=msgspec.json.encode({"generateContentRequest": {"model": model, **body}}),
        ignored=tuple(sorted(ignored)),
    )


def _conversation(request: ChatRequest, upstream_model: str) -> tuple[JsonObject, set[str]]:
    """What the model reads: contents, system instruction, tools."""
    contents = Contents(upstream_model)
    for position, message in enumerate(request.messages):
        contents.add(message, f"messages[{position}]")
    body: JsonObject = {"contents": contents.finish()}
    if contents.system:
        body["systemInstruction"] = {"parts": contents.system}
    if tools := _tools(request.tools):
        body["tools"] = tools
    if tool_config := _function_calling(request):
        body["toolConfig"] = {"functionCallingConfig": tool_config}
    return body, contents.ignored


def _tools(tools: list[Tool]) -> list[JsonObject]:
    functions: list[JsonObject] = []
    own: list[JsonObject] = []
    for position, tool in enumerate(tools):
        if tool.opaque is None:
            functions.append(_function(tool))
        elif tool.opaque.dialect == DIALECT:
            own.append(tool.opaque.value)
        else:
            raise UnsupportedParameter(
                f"The tool {tool.name!r} runs at another provider: offer it as a function, or choose a model there.",
                param=f"tools[{position}]",
            )
    return own + ([{"functionDeclarations": functions}] if functions else [])


def _function(tool: Tool) -> JsonObject:
    function: JsonObject = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters:
        function["parametersJsonSchema"] = tool.parameters
    return function


def _function_calling(request: ChatRequest) -> JsonObject | None:
    """VALIDATED is AUTO that keeps to the schema: what a strict function was promised."""
    choice = request.tool_choice
    mode = _MODES[choice.mode] if choice else None
    if mode in (None, "AUTO") and any(tool.strict for tool in request.tools):
        mode = "VALIDATED"
    if mode is None:
        return None
    if choice is not None and choice.mode == "named":
        return {"mode": mode, "allowedFunctionNames": [choice.name]}
    return {"mode": mode}


def _generation_config(request: ChatRequest, upstream_model: str) -> JsonObject:
    if request.logit_bias:
        raise UnsupportedParameter(
            "Gemini has no logit bias: leave it out, or choose another model.", param="logit_bias"
        )
    if set(request.modalities or ()) - {"text"}:
        raise UnsupportedParameter("Gemini chat models answer with text here: ask for text only.", param="modalities")
    config: JsonObject = {
        "maxOutputTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "stopSequences": request.stop or None,
        "seed": _seed(request.seed),
        "candidateCount": request.n if request.n != 1 else None,
        "presencePenalty": request.presence_penalty,
        "frequencyPenalty": request.frequency_penalty,
        "responseLogprobs": request.logprobs or None,
        "logprobs": request.top_logprobs if request.logprobs else None,
        "thinkingConfig": _thinking(request, upstream_model),
    }
    wanted = request.response_format
    if wanted is not None and wanted.kind != "text":
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = wanted.schema
    return {name: value for name, value in config.items() if value is not None}


def _seed(seed: int | None) -> int | None:
    """Gemini's seeds have 32 bits; a longer one is folded, so that equal seeds stay equal."""
    return seed if seed is None or -_INT32 <= seed < _INT32 else seed % _INT32


def _thinking(request: ChatRequest, upstream_model: str) -> JsonObject | None:
    """A budget is the more exact wish, and sending both is an error. Who names a budget wants to see the thoughts."""
    if request.thinking_budget is not None:
        shown: JsonObject = {"includeThoughts": True} if request.thinking_budget != 0 else {}
        return {"thinkingBudget": request.thinking_budget, **shown}
    effort = request.reasoning_effort
    if effort is None:
        return None
    if effort not in EFFORTS:
        raise UnsupportedParameter(f"Gemini knows the efforts {', '.join(EFFORTS)}.", param="reasoning_effort")
    if effort == "none" and always_thinks(upstream_model):
        raise UnsupportedParameter("This model always thinks: ask for low effort.", param="reasoning_effort")
    if before_gemini_3(upstream_model):
        return {"thinkingBudget": effort_budget(effort)}
    return {"thinkingLevel": effort_level(effort, upstream_model)}


def _service_tier(tier: str | None) -> str | None:
    return tier if tier in ("flex", "priority") else None


def _ignored(request: ChatRequest) -> set[str]:
    """Gemini may answer with several calls where the client asked for one at a time; SDKs set that by default for
    structured output, where one function is offered, so it is told rather than refused."""
    said = {
        "user": request.user is not None,
        "metadata": request.metadata is not None,
        "parallel_tool_calls": request.parallel_tool_calls is False and bool(request.tools),
        "service_tier": request.service_tier not in (None, "auto", "default", "flex", "priority"),
    }
    return {name for name, is_said in said.items() if is_said}


def _merge_extra(request: ChatRequest, body: JsonObject, config: JsonObject) -> set[str]:
    """Puts parameters that Gemini knows (by either spelling, at the top, in `generationConfig`, or under `google` as
    its OpenAI layer has it) where they belong, over ours; the rest travels as it is. Returns what was left out."""
    native = request.native.value if request.native is not None and request.native.dialect != DIALECT else {}
    for name, value in [*native.items(), *request.extra.items()]:
        if name in _NEEDED and value is not None and value != []:
            raise UnsupportedParameter(_NEEDED[name], param=name)
    ignored = {name for name in native if name in _HARMLESS}
    for name, value in _flattened(request.extra).items():
        known = camel(name)
        if known == "generationConfig" and isinstance(value, dict):
            config |= {camel(member): inner for member, inner in value.items()}
        elif known == "toolConfig" and isinstance(value, dict):
            body["toolConfig"] = body.get("toolConfig", {}) | {camel(member): inner for member, inner in value.items()}
        elif known == "tools" and isinstance(value, list):
            body["tools"] = [*body.get("tools", []), *value]
        elif known in _IN_CONFIG:
            config[known] = value
        elif name in _HARMLESS:
            ignored.add(name)
        else:
            body[known if known in _BESIDE_CONFIG else name] = value
    return ignored


def _flattened(extra: JsonObject) -> JsonObject:
    """`google` holds Gemini's own parameters; the OpenAI SDK sends it inside `extra_body` when told so literally."""
    said = {name: value for name, value in extra.items() if value is not None}
    flat: dict[str, Any] = {name: value for name, value in said.items() if name not in ("google", "extra_body")}
    nested = extra.get("extra_body")
    for google in (extra.get("google"), nested.get("google") if isinstance(nested, dict) else None):
        if isinstance(google, dict):
            flat |= google
    return flat
