"""What the Claude models accept, as dated facts. Only what changes the shape of a request stands here; prices do not.

State of October 2026, from the vendor's model pages and SDK. An unknown name gets the forms every current model takes.
"""

from enum import Enum

from msgspec import Struct

STATE_OF = "2026-10"
USUAL_MAX_TOKENS = 16_384
"""Anthropic wants `max_tokens`; a client that names none gets this, or the model's own maximum when that is less."""

_EFFORTS = ("low", "medium", "high", "xhigh", "max")


class Thinks(Enum):
    NEVER = "never"
    BUDGET = "budget"  # thinking.type "enabled" with budget_tokens
    EITHER = "either"
    ADAPTIVE = "adaptive"  # thinking.type "adaptive"; budgets are refused


class ModelFacts(Struct, frozen=True, kw_only=True):
    max_output: int = 128_000
    thinking: Thinks = Thinks.ADAPTIVE
    efforts: tuple[str, ...] = _EFFORTS  # words of output_config.effort; () = the parameter is refused
    sampling: bool = True  # temperature, top_p and top_k other than the default
    structured: bool = True  # output_config.format and strict tools
    system_turns: bool = False  # role "system" inside messages
    forced_tools: bool = True  # tool_choice any and tool
    thinking_off: bool = True  # thinking can be disabled


_OLD = ModelFacts(max_output=4_096, thinking=Thinks.NEVER, efforts=(), structured=False)
_BUDGET = ModelFacts(max_output=64_000, thinking=Thinks.BUDGET, efforts=())
_CURRENT = ModelFacts(sampling=False, system_turns=True)
_ALWAYS_THINKS = ModelFacts(sampling=False, system_turns=True, thinking_off=False)
_NEVER_FORCED = ModelFacts(sampling=False, system_turns=True, forced_tools=False, thinking_off=False)

FACTS: dict[str, ModelFacts] = {
    "claude-2": _OLD,
    "claude-instant": _OLD,
    "claude-3-": _OLD,
    "claude-3-5-": ModelFacts(max_output=8_192, thinking=Thinks.NEVER, efforts=(), structured=False),
    "claude-3-7-": ModelFacts(max_output=64_000, thinking=Thinks.BUDGET, efforts=(), structured=False),
    "claude-sonnet-4-0": ModelFacts(max_output=64_000, thinking=Thinks.BUDGET, efforts=(), structured=False),
    "claude-sonnet-4-2": ModelFacts(max_output=64_000, thinking=Thinks.BUDGET, efforts=(), structured=False),
    "claude-opus-4-0": ModelFacts(max_output=32_000, thinking=Thinks.BUDGET, efforts=(), structured=False),
    "claude-opus-4-2": ModelFacts(max_output=32_000, thinking=Thinks.BUDGET, efforts=(), structured=False),
    "claude-opus-4-1": ModelFacts(max_output=32_000, thinking=Thinks.BUDGET, efforts=()),
    "claude-sonnet-4-5": _BUDGET,
    "claude-haiku-4-5": _BUDGET,
    "claude-opus-4-5": ModelFacts(max_output=64_000, thinking=Thinks.BUDGET, efforts=("low", "medium", "high")),
    "claude-sonnet-4-6": ModelFacts(thinking=Thinks.EITHER, efforts=("low", "medium", "high", "max")),
    "claude-opus-4-6": ModelFacts(thinking=Thinks.EITHER, efforts=("low", "medium", "high", "max")),
    "claude-opus-4-7": ModelFacts(sampling=False),
    "claude-opus-4-8": _CURRENT,
    "claude-opus-5": _CURRENT,
    "claude-opus-5-5": _NEVER_FORCED,
    "claude-sonnet-5": _CURRENT,
    "claude-sonnet-5-5": _NEVER_FORCED,
    "claude-haiku-5-5": _CURRENT,
    "claude-fable-5": _ALWAYS_THINKS,
    "claude-fable-5-": _NEVER_FORCED,
    "claude-mythos": _ALWAYS_THINKS,
}
"""By the beginning of the model's name; the longest match counts."""

_UNKNOWN = ModelFacts()


def model_facts(model: str) -> ModelFacts:
    """Facts about an upstream model. What resellers write before the name ("us.anthropic.") is skipped."""
    start = model.find("claude-")
    name = model[start:] if start > 0 else model
    best = max((prefix for prefix in FACTS if name.startswith(prefix)), key=len, default=None)
    return _UNKNOWN if best is None else FACTS[best]


def default_max_tokens(model: str) -> int:
    """What `max_tokens` is sent as when the client named none."""
    return min(USUAL_MAX_TOKENS, model_facts(model).max_output)
