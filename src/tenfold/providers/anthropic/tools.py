"""Tools, the choice among them, and answers in JSON: by structured output, or by a tool whose input is the answer."""

from tenfold.core.chat import ChatRequest, JsonObject, Tool, ToolChoice
from tenfold.core.errors import UnsupportedParameter
from tenfold.providers.anthropic.blocks import DIALECT, own
from tenfold.providers.anthropic.models import ModelFacts
from tenfold.providers.anthropic.schemas import supported_schema

ANSWER_TOOL = "tenfold_json_answer"
"""Its input is the answer, where the model cannot be held to JSON otherwise; replies unwrap it to text."""


def encode_tools(request: ChatRequest, facts: ModelFacts, *, adapt: bool) -> JsonObject:
    """The `tools` and `tool_choice` members. `adapt`: fit strict schemas to the subset the API takes."""
    if not request.tools:
        return {}
    body: JsonObject = {"tools": [_encode_tool(tool, facts, adapt=adapt) for tool in request.tools]}
    choice = _encode_choice(request.tool_choice, facts)
    if request.parallel_tool_calls is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    if choice:
        body["tool_choice"] = choice
    return body


def forces_a_tool(body: JsonObject) -> bool:
    return body.get("tool_choice", {}).get("type") in ("any", "tool")


def encode_format(request: ChatRequest, facts: ModelFacts, body: JsonObject) -> JsonObject:
    """The output_config members for response_format; or, for a model without them, the answer tool put into `body`."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text" or forces_a_tool(body):
        return {}  # a forced tool call is the whole answer
    if wanted.kind == "json_schema" and facts.structured:
        return {"format": {"type": "json_schema", "schema": supported_schema(wanted.schema or {"type": "object"})}}
    if not facts.forced_tools:
        raise UnsupportedParameter(
            "This Claude model needs a schema for a JSON answer: use response_format json_schema.",
            param="response_format",
        )
    schema = wanted.schema or {"type": "object", "additionalProperties": True}
    if schema.get("type") != "object":
        raise UnsupportedParameter(
            "This Claude model takes a response_format schema only with an object at its root.",
            param="response_format.json_schema.schema",
        )
    tools = body.setdefault("tools", [])
    if body.get("tool_choice", {}).get("type") == "none":
        tools.clear()  # they may not be called, and the answer tool must be
    single = not tools or request.parallel_tool_calls is False
    body["tool_choice"] = {"type": "any"} if tools else {"type": "tool", "name": ANSWER_TOOL}
    if single:
        body["tool_choice"]["disable_parallel_tool_use"] = True
    said = wanted.description or "The answer to the user, as a JSON object. Put the whole answer into it."
    tools.append({"name": ANSWER_TOOL, "description": said, "input_schema": schema})
    return {}


def _encode_tool(tool: Tool, facts: ModelFacts, *, adapt: bool) -> JsonObject:
    if tool.opaque is not None:
        if tool.opaque.dialect != DIALECT:
            raise UnsupportedParameter(
                f"The tool {tool.name!r} is run by {tool.opaque.dialect}; Claude models need a function tool.",
                param="tools",
            )
        return tool.opaque.value
    schema = tool.parameters or {"properties": {}}
    if "type" not in schema:
        schema = {"type": "object", **schema}
    block: JsonObject = {"name": tool.name}
    if tool.description is not None:
        block["description"] = tool.description
    if tool.strict is not None and facts.structured:
        block["strict"] = tool.strict
        schema = supported_schema(schema) if tool.strict and adapt else schema
    block["input_schema"] = schema
    if tool.cache_control is not None:
        block["cache_control"] = tool.cache_control
    return block | own(tool.native)


def _encode_choice(choice: ToolChoice | None, facts: ModelFacts) -> JsonObject:
    if choice is None:
        return {}
    if choice.mode in ("required", "named") and not facts.forced_tools:
        raise UnsupportedParameter(
            "This Claude model cannot be forced to call a tool; use 'auto'.", param="tool_choice"
        )
    match choice.mode:
        case "named":
            return {"type": "tool", "name": choice.name}
        case "required":
            return {"type": "any"}
        case mode:
            return {"type": mode}
