"""What the generations of Gemini models take differently, as dated facts (state of October 2026). No prices."""

_BEFORE_3 = ("gemini-1", "gemini-2", "gemini-pro", "gemini-exp", "gemini-robotics", "gemma-", "learnlm-")

_EFFORT_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
_EFFORT_LEVELS = {"none": "minimal", "minimal": "minimal", "xhigh": "high", "max": "high"}

EFFORTS = tuple(_EFFORT_BUDGETS)


def before_gemini_3(model: str) -> bool:
    """Models whose thinking is steered by a token budget, and that do not check thought signatures."""
    return model.removeprefix("models/").startswith(_BEFORE_3)


def always_thinks(model: str) -> bool:
    """The Pro models cannot be told to answer without thinking."""
    return "-pro" in model


def effort_budget(effort: str) -> int:
    """Tokens that stand for an OpenAI effort: the table of Google's own OpenAI compatibility layer."""
    return _EFFORT_BUDGETS[effort]


def effort_level(effort: str, model: str) -> str:
    """The `thinkingLevel` for an OpenAI effort, by the same table. The Pro models start at `low`."""
    level = _EFFORT_LEVELS.get(effort, effort)
    return "low" if level == "minimal" and always_thinks(model) else level
