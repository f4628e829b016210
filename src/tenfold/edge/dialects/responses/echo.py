"""What a Response object says beside the model's answer: whose it is, and what was asked."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, field

from tenfold.core.chat import JsonObject
from tenfold.core.errors import TenfoldError
from tenfold.edge.dialects.responses.schema import FILE_SEARCH

Status = Literal["completed", "failed", "in_progress", "cancelled", "queued", "incomplete"]

_RANKING = {"ranker": "auto", "score_threshold": 0}
_SAID = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
)
_SAID_IF_GIVEN = ("user", "prompt_cache_retention", "prompt_cache_options")
_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
_PASSED_ON = frozenset({"rate_limit_exceeded", "invalid_prompt"})  # codes of ours that a response's error may have


class Echo(Struct, frozen=True, kw_only=True):
    """`id`: "resp_" and 32 hexadecimal digits. `created_at`: Unix seconds. `request`: the client's body."""

    id: str
    created_at: int
    previous_response_id: str | None = None
    store: bool = True
    background: bool = False
    request: JsonObject = field(default_factory=dict)

    @property
    def hex(self) -> str:
        """What the ids of its items begin with, after their prefix."""
        return self.id.removeprefix("resp_")


def head(echo: Echo) -> JsonObject:
    """The members that the echo alone tells."""
    return {
        "id": echo.id,
        "object": "response",
        "created_at": echo.created_at,
        "background": echo.background,
        "previous_response_id": echo.previous_response_id,
        "store": echo.store,
        **_of_request(echo.request),
    }


def blank(
    echo: Echo,
    status: Status = "queued",
    error: TenfoldError | None = None,
    output: Sequence[JsonObject] = (),
) -> JsonObject:
    """A whole Response object without an answer, or with as much as there is."""
    told = head(echo)
    return {
        **told,
        "status": status,
        "error": None if error is None else error_object(error),
        "incomplete_details": None,
        "model": echo.request.get("model") or "",
        "output": list(output),
        "service_tier": tier(None, echo.request),
    }


def error_object(error: TenfoldError) -> JsonObject:
    """ResponseError: its codes are few, and most failures are the server's."""
    code = "rate_limit_exceeded" if error.status == 429 else error.code
    return {"code": code if code in _PASSED_ON else "server_error", "message": error.message}


def tier(served: str | None, request: JsonObject) -> str:
    """Of those that OpenAI's SDKs have a word for: what the provider said, else what was asked for."""
    for word in (served, request.get("service_tier")):
        if word in _TIERS:
            return str(word)
    return "default"


def _of_request(request: JsonObject) -> JsonObject:
    text = request.get("text") or {}
    reasoning = request.get("reasoning") or {}
    said = {
        **{name: request.get(name) for name in _SAID},
        "metadata": request.get("metadata") or {},
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "reasoning": {
            "effort": reasoning.get("effort"),
            "summary": reasoning.get("summary") or reasoning.get("generate_summary"),
        },
        "temperature": _or_default(request, "temperature", 1.0),
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in request.get("tools") or ()],
        "top_logprobs": _or_default(request, "top_logprobs", 0),
        "top_p": _or_default(request, "top_p", 1.0),
        "truncation": "disabled",  # nothing is ever cut from the input here
    }
    return said | {name: request[name] for name in _SAID_IF_GIVEN if request.get(name) is not None}


def _or_default(request: JsonObject, name: str, default: float) -> float:
    value: float | None = request.get(name)
    return default if value is None else value


def _tool(tool: JsonObject) -> JsonObject:
    """A function as FunctionTool has it: what was not said is said to be not there."""
    if tool.get("type") == FILE_SEARCH:
        return {"max_num_results": 20, "filters": None, "ranking_options": _RANKING, **tool}
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, **tool, "strict": tool.get("strict") is True}
