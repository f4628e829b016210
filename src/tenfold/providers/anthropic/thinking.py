"""How much a model shall think: reasoning_effort and thinking budgets in the words of the model at hand.

Current models take an effort and think as they see fit; older ones take a number of tokens; the oldest neither.
"""

from msgspec import Struct, field

from tenfold.core.chat import ChatRequest, JsonObject, ThinkingPart, ToolCallPart
from tenfold.providers.anthropic.models import ModelFacts, Thinks

_WORDS = ("low", "medium", "high", "xhigh", "max")
_BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 32_768}
LEAST_BUDGET = 1_024  # of the API


class Effort(Struct, kw_only=True):
    thinking: JsonObject | None = None
    output_config: JsonObject = field(default_factory=dict)
    budget: int = 0  # tokens of thinking to add to a max_tokens that the client did not name
    chosen: bool = False  # thinking was turned on here, for a reasoning_effort
    ignored: list[str] = field(default_factory=list)


def plan_thinking(request: ChatRequest, facts: ModelFacts, *, forced: bool) -> Effort:
    """`forced`: a tool call is forced, which the API refuses together with thinking."""
    wanted = request.reasoning_effort
    plan = Effort()
    if wanted is not None and facts.efforts:
        plan.output_config = {"effort": _nearest(wanted, facts.efforts)}
    if request.thinking_budget is not None:
        plan.thinking = _from_budget(request.thinking_budget, facts)
    elif wanted == "none":
        if facts.thinking_off:
            plan.output_config = {}
            plan.thinking = {"type": "disabled"} if facts.thinking is Thinks.ADAPTIVE else None
    elif wanted is not None and facts.thinking in (Thinks.ADAPTIVE, Thinks.EITHER):
        plan.thinking = None if forced else {"type": "adaptive"}
        plan.chosen = plan.thinking is not None
    elif wanted is not None:
        _choose_budget(request, wanted, facts, plan, forced=forced)
    return plan


def _nearest(wanted: str, efforts: tuple[str, ...]) -> str:
    """The highest word the model knows that is not above the wanted one."""
    if wanted not in _WORDS:
        return efforts[0]
    allowed = [word for word in _WORDS[: _WORDS.index(wanted) + 1] if word in efforts]
    return allowed[-1]


def _from_budget(budget: int, facts: ModelFacts) -> JsonObject | None:
    if budget == 0:
        return {"type": "disabled"} if facts.thinking_off and facts.thinking is not Thinks.NEVER else None
    match facts.thinking:
        case Thinks.NEVER:
            return None
        case Thinks.ADAPTIVE:
            return {"type": "adaptive"}
        case _:
            return {"type": "enabled", "budget_tokens": budget}


def _choose_budget(request: ChatRequest, wanted: str, facts: ModelFacts, plan: Effort, *, forced: bool) -> None:
    budget = _BUDGETS.get(wanted, _BUDGETS["medium"])
    if request.max_tokens is not None:
        budget = min(budget, request.max_tokens // 2)
    if facts.thinking is Thinks.NEVER or forced or budget < LEAST_BUDGET or not _may_start(request):
        if not plan.output_config:
            plan.ignored.append("reasoning_effort")
        return
    plan.thinking = {"type": "enabled", "budget_tokens": budget}
    plan.chosen = True
    if request.max_tokens is None:
        plan.budget = min(budget, facts.max_output - LEAST_BUDGET)


def _may_start(request: ChatRequest) -> bool:
    """Budgeted thinking cannot begin in the middle of a tool loop: the assistant turn that called the tools
    must open with its own signed thinking, which clients of other dialects do not keep."""
    for message in reversed(request.messages):
        if message.role == "user":
            return True
        if message.role == "assistant":
            calls = any(isinstance(part, ToolCallPart) for part in message.parts)
            signed = any(isinstance(part, ThinkingPart) and (part.signature or part.redacted) for part in message.parts)
            return signed or not calls
    return True
