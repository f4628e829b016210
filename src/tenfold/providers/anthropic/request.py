"""Canonical chat requests to Messages API requests: what is refused, what is left out and told, what stands for what.

A request that an Anthropic client made comes out as it was: its own members stand in `native`, and no fact about the
model is held against it, as the upstream answers for itself.
"""

import re

from msgspec import Struct, field

from tenfold.core.chat import ChatRequest, JsonObject
from tenfold.core.errors import UnsupportedParameter
from tenfold.providers.anthropic.blocks import DIALECT
from tenfold.providers.anthropic.models import ModelFacts, Thinks, default_max_tokens, model_facts
from tenfold.providers.anthropic.thinking import Effort, plan_thinking
from tenfold.providers.anthropic.tools import encode_format, encode_tools, forces_a_tool
from tenfold.providers.anthropic.turns import encode_conversation

_AS_GIVEN = ModelFacts(thinking=Thinks.EITHER, system_turns=True)

_HARMLESS = frozenset(
    (
        "store",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "verbosity",
        "prediction",
    )
)
"""Parameters of other dialects whose absence changes nothing that was promised; the client is told."""

_SERVED = frozenset(("stream_options", "safety_identifier"))
"""Parameters of other dialects that are answered without a word to the upstream of the same name."""

_REFUSED = {
    "audio": "Claude models produce no audio.",
    "web_search_options": "Use Anthropic's web_search tool through /v1/messages.",
    "functions": "Use `tools`.",
    "function_call": "Use `tool_choice`.",
    "moderation": "Claude models take no moderation settings.",
    "tool_choice": "This form of it is known to another provider only.",
    "response_format": "This form of it is known to another provider only.",
}
_CHOSEN = ("tool_choice", "response_format")
"""Members that stand in another dialect's `native` when only that dialect can say them."""

_COUNTED = (
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "cache_control",
    "mcp_servers",
    "context_management",
    "speed",
)
_IDENTIFYING = re.compile(r"@|^\+?[\d\s().-]{7,}$")
"""Mail addresses and telephone numbers: the API refuses a user_id that names a person."""

_TIERS = {"auto": "auto", "priority": "auto", "default": "standard_only"}


class EncodedRequest(Struct, kw_only=True):
    body: JsonObject
    ignored: list[str] = field(default_factory=list)


def encode_request(request: ChatRequest, upstream_model: str) -> EncodedRequest:
    """Raises UnsupportedParameter for what no Claude model, or not this one, can do; InvalidRequest."""
    _refuse(request)
    own = request.native if request.native is not None and request.native.dialect == DIALECT else None
    facts = model_facts(upstream_model) if own is None else _AS_GIVEN
    out = EncodedRequest(body={"model": upstream_model})
    out.body |= encode_conversation(request.messages, facts)
    out.body |= encode_tools(request, facts, adapt=own is None)
    effort = Effort()
    if not facts.structured and any(tool.strict for tool in request.tools):
        out.ignored.append("tools.strict")
    if own is None:
        answer = encode_format(request, facts, out.body)
        effort = plan_thinking(request, facts, forced=forces_a_tool(out.body))
        _encode_effort(effort, answer, out)
    maximum = request.max_tokens
    if maximum is None:
        maximum = min(default_max_tokens(upstream_model) + effort.budget, facts.max_output)
    out.body["max_tokens"] = maximum
    _encode_sampling(request, fixed=effort.chosen or not facts.sampling, out=out)
    _encode_rest(request, out)
    if own is not None:
        out.body |= own.value
    return out


def counted(body: JsonObject) -> JsonObject:
    """The part of a request that count_tokens takes."""
    return {name: body[name] for name in _COUNTED if name in body}


def _refuse(request: ChatRequest) -> None:
    if request.n > 1:
        raise UnsupportedParameter("Claude models give one choice a call: send n=1, or several calls.", param="n")
    if request.logprobs or request.top_logprobs:
        raise UnsupportedParameter("Claude models give no log probabilities.", param="logprobs")
    if request.logit_bias:
        raise UnsupportedParameter("Claude models take no logit_bias.", param="logit_bias")
    if request.modalities and set(request.modalities) != {"text"}:
        raise UnsupportedParameter("Claude models answer in text only.", param="modalities")
    if any(not sequence.strip() for sequence in request.stop):
        raise UnsupportedParameter("Claude models take no stop sequence made of white space only.", param="stop")
    if request.temperature is not None and not 0 <= request.temperature <= 1:
        raise UnsupportedParameter("Claude models take a temperature from 0 to 1.", param="temperature")
    foreign = request.native.value if request.native is not None and request.native.dialect != DIALECT else {}
    for name, reason in _REFUSED.items():
        asked = request.extra.get(name) not in (None, [], False)  # an empty object asks for a tool with its defaults
        if asked or (name in _CHOSEN and foreign.get(name)):
            raise UnsupportedParameter(f"{name} is not supported by Claude models. {reason}", param=name)


def _encode_effort(effort: Effort, answer: JsonObject, out: EncodedRequest) -> None:
    if effort.output_config or answer:
        out.body["output_config"] = effort.output_config | answer
    if effort.thinking is not None:
        out.body["thinking"] = effort.thinking
    out.ignored += effort.ignored


def _encode_sampling(request: ChatRequest, *, fixed: bool, out: EncodedRequest) -> None:
    """`fixed`: the model, or its thinking, takes the default values only."""
    given = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    for name, value in given.items():
        if value is None or (name == "top_p" and value == 1 and request.temperature is not None):
            continue  # current models take one of temperature and top_p, and top_p 1 says nothing
        if not fixed:
            out.body[name] = value
        elif name == "top_k" or value != 1:
            out.ignored.append(name)


def _encode_rest(request: ChatRequest, out: EncodedRequest) -> None:
    if request.stop:
        out.body["stop_sequences"] = request.stop
    if request.stream:
        out.body["stream"] = True
    user = request.user or request.extra.get("safety_identifier")
    named = isinstance(user, str) and _IDENTIFYING.search(user) is None
    if named:
        out.body["metadata"] = {"user_id": user}
    tier = request.service_tier
    if tier in _TIERS:
        out.body["service_tier"] = _TIERS[tier]
    without_word = {
        "user": bool(user) and not named,
        "service_tier": tier is not None and tier not in _TIERS,
        "seed": request.seed is not None,
        "presence_penalty": bool(request.presence_penalty),
        "frequency_penalty": bool(request.frequency_penalty),
        "metadata": bool(request.metadata),
    }
    out.ignored += [name for name, given in without_word.items() if given]
    for name, value in request.extra.items():
        if name in _HARMLESS:
            out.ignored.append(name)
        elif name not in _REFUSED and name not in _SERVED:
            out.body[name] = value
