"""Every rule a Messages request must keep, and the words in which Anthropic says that one is broken.

The slow and complete half of the front door: it runs for bodies that do not have the common shape, and stops at the
first fault. Members and block types it does not know are none of its business.
"""

import re
from typing import Any, NoReturn

from tenfold.core.chat import JsonObject
from tenfold.core.errors import InvalidRequest

_LEAST_BUDGET = 1024
_LONGEST_NAME = 128
_INDEX = re.compile(r"\.(\d+)")


def check_request(body: Any, *, counting: bool) -> JsonObject:
    """`counting`: a count_tokens request, which needs no max_tokens. Raises InvalidRequest."""
    if not isinstance(body, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    if not _string(body, "model", "model"):
        _refuse("model", "String should have at least 1 character")
    _check_messages(body)
    if not counting:
        _required(body, "max_tokens", "max_tokens")
    if body.get("max_tokens") is not None or not counting:
        _integer(body["max_tokens"], "max_tokens", 0)  # 0 warms the upstream's cache
    system = body.get("system")
    if system is not None and not isinstance(system, str):
        for index, block in _blocks(system, "system"):
            if block.get("type") != "text":
                _refuse(f"system.{index}.type", "Input should be 'text'")
            _check_block(block, f"system.{index}", None)
    _check_options(body)
    _check_tools(body)
    return body


def _check_messages(body: JsonObject) -> None:
    messages = _list(_required(body, "messages", "messages"), "messages")
    if not messages:
        _refuse("messages", "at least one message is required")
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        if not isinstance(message, dict):
            _refuse(path, "Input should be a valid dictionary")
        role = _required(message, "role", path + ".role")
        if role not in ("user", "assistant", "system"):
            _refuse(path + ".role", "Input should be 'user' or 'assistant'")
        content = message.get("content") if role == "system" else _required(message, "content", path + ".content")
        if content is None and role == "system":
            continue  # a system turn may carry settings alone
        if not isinstance(content, str):
            for position, block in _blocks(content, path + ".content"):
                _check_block(block, f"{path}.content.{position}", role)


def _check_block(block: JsonObject, path: str, role: str | None) -> None:
    kind = _string(block, "type", path + ".type")
    check = _BLOCKS.get(kind)
    if check is not None:
        check(block, path)
    if kind in _ASSISTANT_ONLY and role == "user":
        _refuse(path, f"`{kind}` blocks can only be in `assistant` messages")
    if kind in _USER_ONLY and role == "assistant":
        _refuse(path, f"`{kind}` blocks can only be in `user` messages")
    if block.get("cache_control") is not None:
        _object(block["cache_control"], path + ".cache_control")


def _check_text(block: JsonObject, path: str) -> None:
    _string(block, "text", path + ".text")
    citations = block.get("citations")
    if citations is not None:
        for _ in _blocks(citations, path + ".citations"):
            pass


def _check_source(block: JsonObject, path: str) -> None:
    source = _object(_required(block, "source", path + ".source"), path + ".source")
    kind = _string(source, "type", path + ".source.type")
    for name in {"base64": ("media_type", "data"), "url": ("url",), "file": ("file_id",)}.get(kind, ()):
        _string(source, name, f"{path}.source.{name}")
    if kind == "text" and block["type"] == "document":
        _string(source, "data", path + ".source.data")
    for name in ("title", "context"):
        if block.get(name) is not None:
            _string(block, name, f"{path}.{name}")


def _check_thinking(block: JsonObject, path: str) -> None:
    _string(block, "thinking", path + ".thinking")
    _string(block, "signature", path + ".signature")


def _check_redacted(block: JsonObject, path: str) -> None:
    _string(block, "data", path + ".data")


def _check_tool_use(block: JsonObject, path: str) -> None:
    _string(block, "id", path + ".id")
    _string(block, "name", path + ".name")
    _object(_required(block, "input", path + ".input"), path + ".input")


def _check_tool_result(block: JsonObject, path: str) -> None:
    _string(block, "tool_use_id", path + ".tool_use_id")
    content = block.get("content")
    if content is not None and not isinstance(content, str):
        for index, inner in _blocks(content, path + ".content"):
            _check_block(inner, f"{path}.content.{index}", None)
    if not isinstance(block.get("is_error", False), bool):
        _refuse(path + ".is_error", "Input should be a valid boolean")


_BLOCKS = {
    "text": _check_text,
    "image": _check_source,
    "document": _check_source,
    "thinking": _check_thinking,
    "redacted_thinking": _check_redacted,
    "tool_use": _check_tool_use,
    "tool_result": _check_tool_result,
}
_ASSISTANT_ONLY = ("tool_use", "thinking", "redacted_thinking")
_USER_ONLY = ("tool_result", "image", "document")


def _check_options(body: JsonObject) -> None:
    if not isinstance(body.get("stream", False), bool):
        _refuse("stream", "Input should be a valid boolean")
    for name in ("temperature", "top_p"):
        fraction(body.get(name), name)
    if body.get("top_k") is not None:
        _integer(body["top_k"], "top_k", 0)
    if body.get("stop_sequences") is not None:
        for index, sequence in enumerate(_list(body["stop_sequences"], "stop_sequences")):
            if not isinstance(sequence, str):
                _refuse(f"stop_sequences.{index}", "Input should be a valid string")
    for name in ("metadata", "output_config", "cache_control", "thinking"):
        if body.get(name) is not None:
            _object(body[name], name)
    if (body.get("metadata") or {}).get("user_id") is not None:
        _string(body["metadata"], "user_id", "metadata.user_id")
    config = body.get("output_config") or {}
    if config.get("format") is not None:
        _object(config["format"], "output_config.format")
    for path, value in (
        ("output_config.effort", config.get("effort")),
        ("inference_geo", body.get("inference_geo")),
        ("speed", body.get("speed")),
    ):
        if value is not None and not isinstance(value, str):
            _refuse(path, "Input should be a valid string")
    if body.get("service_tier") not in (None, "auto", "standard_only"):
        _refuse("service_tier", "Input should be 'auto' or 'standard_only'")
    thinking = body.get("thinking") or {}
    if thinking and _string(thinking, "type", "thinking.type") == "enabled":
        path = "thinking.enabled.budget_tokens"
        _integer(_required(thinking, "budget_tokens", path), path, _LEAST_BUDGET)


def _check_tools(body: JsonObject) -> None:
    names: set[str] = set()
    tools = body.get("tools")
    for index, tool in _blocks(tools, "tools") if tools is not None else ():
        path = f"tools.{index}"
        if tool.get("type") in (None, "custom"):
            name = _string(tool, "name", path + ".custom.name")
            if not 1 <= len(name) <= _LONGEST_NAME:
                _refuse(path + ".custom.name", f"String should have from 1 to {_LONGEST_NAME} characters")
            schema_path = path + ".custom.input_schema"
            _object(_required(tool, "input_schema", schema_path), schema_path)
            if name in names:
                _refuse("tools", "Tool names must be unique.")
            names.add(name)
            if tool.get("description") is not None:
                _string(tool, "description", path + ".custom.description")
        else:
            _string(tool, "type", path + ".type")
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = _string(_object(choice, "tool_choice"), "type", "tool_choice.type")
    if kind not in ("auto", "any", "tool", "none"):
        _refuse("tool_choice.type", "Input should be 'auto', 'any', 'tool' or 'none'")
    if kind == "tool":
        _string(choice, "name", "tool_choice.tool.name")
    if not isinstance(choice.get("disable_parallel_tool_use") or False, bool):
        _refuse("tool_choice.disable_parallel_tool_use", "Input should be a valid boolean")


# -- values ------------------------------------------------------------------------------------


def fraction(value: Any, path: str) -> float | None:
    """A number from 0 to 1; None where the client said nothing. Raises InvalidRequest."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(path, "Input should be a valid number")
    if not 0 <= value <= 1:
        _refuse(path, "range: 0..1")
    return float(value)


def _required(value: JsonObject, name: str, path: str) -> Any:
    if name not in value:
        _refuse(path, "Field required")
    return value[name]


def _string(value: JsonObject, name: str, path: str) -> str:
    text = _required(value, name, path)
    if not isinstance(text, str):
        _refuse(path, "Input should be a valid string")
    return text


def _integer(value: Any, path: str, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(path, "Input should be a valid integer")
    if value < least:
        _refuse(path, f"Input should be greater than or equal to {least}")


def _object(value: Any, path: str) -> JsonObject:
    if not isinstance(value, dict):
        _refuse(path, "Input should be a valid dictionary")
    return value


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        _refuse(path, "Input should be a valid list")
    return value


def _blocks(value: Any, path: str) -> list[tuple[int, JsonObject]]:
    return [(index, _object(block, f"{path}.{index}")) for index, block in enumerate(_list(value, path))]


def _refuse(path: str, fault: str) -> NoReturn:
    raise InvalidRequest(f"{path}: {fault}", param=_INDEX.sub(r"[\1]", path))
