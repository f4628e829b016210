"""Responses requests to canonical ones. The body was checked before: here its types are trusted."""

from typing import Literal

from msgspec import Struct

from tenfold.core.call import Reach
from tenfold.core.chat import ChatRequest, JsonObject, Message, OpaquePart, ResponseFormat, TextPart, Tool, ToolChoice
from tenfold.core.errors import InvalidRequest
from tenfold.edge.dialects.responses.checks import look_alone
from tenfold.edge.dialects.responses.items import messages_of
from tenfold.edge.dialects.responses.reach import reach_of
from tenfold.edge.dialects.responses.schema import FILE_SEARCH, Body
from tenfold.providers.openai.content import DIALECT as OPENAI

DIALECT = "openai_responses"

_LOGPROBS = "message.output_text.logprobs"
_CARRIED = ("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "safety_identifier")
_KNOWN = frozenset(Body.__struct_fields__)
_MODES: dict[str, Literal["auto", "none", "required"]] = {"auto": "auto", "none": "none", "required": "required"}


class Peek(Struct, frozen=True, kw_only=True):
    """What routing, admission and the cache need of a request."""

    model: str
    stream: bool = False
    include_usage: bool = True  # a stream of this API always tells its usage
    n: int = 1
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    user: str | None = None
    has_tools: bool = False
    wants_json: bool = False
    reach: Reach | None = None  # what else the model may read; see `core.call.Reach`


def peek_response(body: bytes, *, counting: bool = False) -> Peek:
    """Raises InvalidRequest."""
    value, typed = look_alone(body, counting=counting)
    form = typed.text.format if typed.text is not None else None
    return Peek(
        model=typed.model,
        stream=typed.stream is True and not counting,
        max_tokens=typed.max_output_tokens,
        temperature=typed.temperature,
        user=typed.user or None,
        has_tools=bool(typed.tools),
        wants_json=form is not None and form.type != "text",
        reach=reach_of(typed, value.keys() - _KNOWN),
    )


def decode_chat(body: bytes) -> ChatRequest:
    """Calls that are not yet answered may stand at the end, as in a body whose tokens are counted; the front door
    looks. What the client said is kept for the reply, which repeats it. Raises InvalidRequest."""
    value, typed = look_alone(body, counting=True)
    tools, choice, own_choice = _tools(value, typed)
    extra = {name: value[name] for name in _CARRIED if value.get(name) is not None}
    extra |= {name: member for name, member in value.items() if name not in _KNOWN}
    if own_choice is not None:
        extra["tool_choice"] = own_choice
    if typed.text is not None and typed.text.verbosity is not None:
        extra["verbosity"] = typed.text.verbosity
    messages = messages_of(typed.input)
    if typed.instructions:
        messages.insert(0, Message(role="system", parts=[TextPart(text=typed.instructions)]))
    if not messages:
        raise InvalidRequest("Invalid 'input': there is nothing to answer in it.", param="input")
    return ChatRequest(
        model=typed.model,
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=typed.parallel_tool_calls,
        response_format=_format(typed),
        max_tokens=typed.max_output_tokens,
        temperature=typed.temperature,
        top_p=typed.top_p,
        logprobs=_LOGPROBS in (typed.include or ()) or bool(typed.top_logprobs),
        top_logprobs=typed.top_logprobs or None,
        reasoning_effort=typed.reasoning.effort if typed.reasoning is not None else None,
        user=typed.user,
        service_tier=typed.service_tier,
        stream=typed.stream is True,
        include_usage=True,
        extra=extra,
        native=OpaquePart(dialect=DIALECT, value={"request": value}),
    )


def asked(request: ChatRequest) -> JsonObject:
    """The request as the client wrote it; {} where it came another way."""
    native = request.native
    value: JsonObject = native.value["request"] if native is not None and native.dialect == DIALECT else {}
    return value


def _format(typed: Body) -> ResponseFormat | None:
    form = typed.text.format if typed.text is not None else None
    if form is None:
        return None
    return ResponseFormat(
        kind=form.type, name=form.name, description=form.description, schema=form.schema, strict=form.strict
    )


def _tools(value: JsonObject, typed: Body) -> tuple[list[Tool], ToolChoice | None, JsonObject | None]:
    """The tools that may be called, the choice, and a choice that only OpenAI's upstreams can be told."""
    # A search of files is no model's: where it is a function of the model's, it was made one before.
    tools = [_tool(tool) for tool in value.get("tools") or () if tool["type"] != FILE_SEARCH]
    choice = typed.tool_choice
    if choice is None or isinstance(choice, str):
        return tools, ToolChoice(mode=_MODES[choice]) if choice is not None else None, None
    if choice["type"] == "function":
        return tools, ToolChoice(mode="named", name=choice["name"]), None
    if choice["type"] == FILE_SEARCH:
        return tools, None, None
    if choice["type"] == "custom":
        return tools, None, {"type": "custom", "custom": {"name": choice["name"]}}
    # Allowed tools are the only ones that are told of, which holds with every upstream.
    names = {(tool["type"], tool.get("name")) for tool in choice["tools"]}
    allowed = [tool for tool in tools if ("custom" if tool.opaque is not None else "function", tool.name) in names]
    return allowed, ToolChoice(mode=_MODES[choice["mode"]]), None


def _tool(tool: JsonObject) -> Tool:
    if tool["type"] == "custom":
        return Tool(name=tool["name"], opaque=OpaquePart(dialect=OPENAI, value=_custom(tool)))
    return Tool(
        name=tool["name"],
        description=tool.get("description"),
        parameters=tool.get("parameters"),
        strict=tool.get("strict"),
    )


def _custom(tool: JsonObject) -> JsonObject:
    """A custom tool as chat completions have it: there a grammar stands one level deeper."""
    custom: JsonObject = {"name": tool["name"]}
    if tool.get("description") is not None:
        custom["description"] = tool["description"]
    form = tool.get("format")
    if form is not None and form.get("type") == "grammar":
        custom["format"] = {"type": "grammar", "grammar": {name: form[name] for name in form if name != "type"}}
    elif form is not None:
        custom["format"] = form
    return {"type": "custom", "custom": custom}
