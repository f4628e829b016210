"""Checks a request body once: JSON, types, ranges, duplicate keys, nesting, and what nobody here can do.

Every body that is refused is refused with InvalidRequest, in the words OpenAI uses.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import ValidationError, convert

from tenfold.core.chat import JsonObject
from tenfold.core.errors import InvalidRequest, UnsupportedParameter
from tenfold.core.json_guard import load_json
from tenfold.edge.dialects.openai.checks import reworded
from tenfold.edge.dialects.responses.schema import FILE_SEARCH, Body, Item, Output

_INCLUDABLE = frozenset(
    {
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "message.input_image.image_url",
        "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
        "reasoning.encrypted_content",
        "message.output_text.logprobs",
    }
)
_ITEMS = frozenset(
    {
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "file_search_call",
        "reasoning",
    }
)
_TOOLS = frozenset({"function", "custom", FILE_SEARCH})
_CHOICES = ("none", "auto", "required")
_ELSEWHERE = {
    "conversation": "Conversations are not kept here: send `previous_response_id`, or the items themselves in `input`.",
    "prompt": "Prompts are not kept here yet: send the prompt's text in `instructions` or `input`.",
    "moderation": "Moderation settings are not known here: leave them out.",
    "context_management": "Contexts are not compacted here: leave it out, and shorten `input` yourself.",
}
_INSTEAD = {
    "web_search": "offer a function tool that searches, or use Anthropic's web_search tool through /v1/messages",
    "mcp": "call the MCP server yourself, and offer its tools as functions",
    "code_interpreter": "offer a function tool that runs code",
    "image_generation": "offer a function tool that makes images",
    "computer": "offer a function tool for each action",
    "local_shell": "offer a function tool that runs commands",
    "shell": "offer a function tool that runs commands",
    "apply_patch": "offer a function tool that applies patches",
    "tool_search": "list the tools themselves",
    "namespace": "list the tools themselves",
}
_NO_SEARCH = (
    "Files are searched by POST /v1/responses itself: in a batch there is no file_search. Search the vector store"
    " first, and send what was found in `input`."
)
_NO_STORE = "It is answered by POST /v1/responses itself, and has no place in a batch: send the items in `input`."


def look(body: bytes) -> tuple[JsonObject, Body]:
    """The body as JSON and as its type, of a request that may be stored, chained or run in the background. Raises
    InvalidRequest."""
    value = load_json(body)
    if isinstance(value, dict):
        _refuse_elsewhere(value)
    try:
        typed = convert(value, Body)
    except ValidationError as error:
        raise reworded(str(error)) from error
    for number, wanted in enumerate(typed.include or ()):
        if wanted not in _INCLUDABLE:
            known = ", ".join(f"'{name}'" for name in sorted(_INCLUDABLE))
            raise InvalidRequest(
                f"Invalid value: '{wanted[:80]}'. Supported values are: {known}.", param=f"include[{number}]"
            )
    check_choice(typed.tool_choice, typed.tools or ())
    searches = [number for number, tool in enumerate(typed.tools or ()) if tool.type == FILE_SEARCH]
    if len(searches) > 1:
        raise InvalidRequest(
            "One `file_search` searches all its vector stores: name them in one tool.", param=f"tools[{searches[1]}]"
        )
    if typed.reasoning is not None and typed.reasoning.mode not in (None, "standard"):
        raise UnsupportedParameter(
            "Only the mode 'standard' is known here: use a larger `reasoning.effort`.", param="reasoning.mode"
        )
    if isinstance(typed.input, list):
        for number, item in enumerate(typed.input):
            _check_output(item, number)
    return value, typed


def look_alone(body: bytes, *, counting: bool = False) -> tuple[JsonObject, Body]:
    """As `look`, of a request that needs nothing but itself. Raises InvalidRequest."""
    value, typed = look(body)
    if typed.previous_response_id is not None:
        raise UnsupportedParameter(_NO_STORE, param="previous_response_id")
    if typed.background and not counting:
        raise UnsupportedParameter(_NO_STORE, param="background")
    for number, tool in enumerate(typed.tools or ()):
        if tool.type == FILE_SEARCH and not counting:
            raise UnsupportedParameter(_NO_SEARCH, param=f"tools[{number}]")
    if not typed.input and not typed.instructions:
        raise InvalidRequest("Missing required parameter: 'input'.", param="input")
    if isinstance(typed.input, list):
        _check_calls(typed.input, counting=counting)
    return value, typed


def _refuse_elsewhere(value: JsonObject) -> None:
    """What is known, and done by OpenAI alone. It is told by its type, whatever else its shape is."""
    for name, instead in _ELSEWHERE.items():
        if value.get(name) is not None:
            raise UnsupportedParameter(instead, param=name)
    for number, kind in _types(value.get("tools")):
        if kind not in _TOOLS:
            raise UnsupportedParameter(
                f"The tool '{kind[:60]}' is run by OpenAI and by nobody here: {_instead_of(kind)}.",
                param=f"tools[{number}]",
            )
    for number, kind in _types(value.get("input")):
        if kind == "item_reference":
            raise UnsupportedParameter(
                "Items are not looked up by their id here: send the item itself, or `previous_response_id`.",
                param=f"input[{number}]",
            )
        if kind not in _ITEMS:
            raise UnsupportedParameter(
                f"Items of the type '{kind[:60]}' belong to tools that OpenAI runs, and mean nothing to other models:"
                " leave it out, or tell what it says in a message.",
                param=f"input[{number}]",
            )


def _types(given: Any) -> Iterator[tuple[int, str]]:
    """The place and the type of each member that names one. An item without one is a message, or a bare id."""
    for number, one in enumerate(given if isinstance(given, list) else ()):
        if isinstance(one, dict):
            kind = one.get("type")
            if kind is None and "role" not in one and "id" in one:
                kind = "item_reference"
            if isinstance(kind, str):
                yield number, kind


def _instead_of(kind: str) -> str:
    return next((way for name, way in _INSTEAD.items() if kind.startswith(name)), "offer a function tool")


def check_choice(choice: Any, tools: Any) -> None:
    """Raises InvalidRequest for a choice that is none, or names a tool that is not offered."""
    if choice is None:
        return
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise InvalidRequest(
                f"Invalid value: '{choice[:80]}'. Supported values are: 'none', 'auto', and 'required'.",
                param="tool_choice",
            )
        return
    kind, offered = choice.get("type"), {(tool.type, tool.name) for tool in tools}
    if kind == FILE_SEARCH:
        _check_offered(kind, None, offered, "tool_choice")
    elif kind in ("function", "custom"):
        _check_offered(kind, choice.get("name"), offered, "tool_choice")
    elif kind == "allowed_tools":
        if choice.get("mode") not in ("auto", "required"):
            raise InvalidRequest(
                "Invalid value. Supported values are: 'auto' and 'required'.", param="tool_choice.mode"
            )
        allowed = choice.get("tools")
        if not isinstance(allowed, list) or not allowed:
            raise InvalidRequest("Missing required parameter: 'tool_choice.tools'.", param="tool_choice.tools")
        for number, tool in enumerate(allowed):
            param = f"tool_choice.tools[{number}]"
            if not isinstance(tool, dict):
                raise InvalidRequest(f"Invalid type for '{param}': expected an object.", param=param)
            _check_offered(tool.get("type"), tool.get("name"), offered, param)
    else:
        raise UnsupportedParameter(
            f"Tools of the type {str(kind)[:60]!r} are run by nobody here: {_instead_of(str(kind))}.",
            param="tool_choice",
        )


def _check_offered(kind: Any, name: Any, offered: set[tuple[str, str | None]], param: str) -> None:
    if kind == FILE_SEARCH:  # it has no name but its type
        name, offered = FILE_SEARCH, {(tool, tool) for tool, _ in offered}
    if not isinstance(name, str):
        raise InvalidRequest(f"Missing required parameter: '{param}.name'.", param=f"{param}.name")
    if not isinstance(kind, str) or (kind, name) not in offered:
        raise InvalidRequest(f"Tool choice '{name[:80]}' not found in 'tools' parameter.", param=param)


def _check_output(item: Item, number: int) -> None:
    """What a tool gave: its type is known once its item is."""
    if item.output is not None:
        try:
            item.output = convert(item.output, Output)
        except ValidationError as error:
            raise reworded(_inside(str(error), f"input[{number}].output")) from error


def _inside(complaint: str, path: str) -> str:
    """The complaint of a part, told of the whole."""
    what, _, at = complaint.partition(" - at `$")
    return f"{what} - at `$.{path}{at.removesuffix('`')}`"


def _check_calls(items: list[Item], *, counting: bool) -> None:
    """Each output has its call before it, and each call its output."""
    open_calls: dict[str | None, None] = {}
    seen: set[str | None] = set()
    for number, item in enumerate(items):
        if item.kind in ("function_call", "custom_tool_call"):
            seen.add(item.call_id)
            open_calls[item.call_id] = None
        elif item.kind in ("function_call_output", "custom_tool_call_output"):
            if item.call_id not in seen:
                raise InvalidRequest(
                    f"No tool call found for function call output with call_id {str(item.call_id)[:80]}.",
                    param=f"input[{number}]",
                )
            open_calls.pop(item.call_id, None)
    if open_calls and not counting:
        raise InvalidRequest(
            f"No tool output found for function call {str(next(iter(open_calls)))[:80]}.", param="input"
        )
