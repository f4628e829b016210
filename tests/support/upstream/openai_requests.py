"""OpenAI chat completions: reading a request as strictly as the API does."""

import json
import re
from typing import Any

from tests.support.upstream.conversation import FORCED_ANY, Called, Json, Offered, Prompt, Refused, Turn

_PARAMETERS = frozenset(
    (
        *(
            "audio",
            "frequency_penalty",
            "function_call",
            "functions",
            "logit_bias",
            "logprobs",
            "max_completion_tokens",
        ),
        *("max_tokens", "messages", "metadata", "modalities", "model", "moderation", "n", "parallel_tool_calls"),
        *("prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        *(
            "reasoning_effort",
            "response_format",
            "safety_identifier",
            "seed",
            "service_tier",
            "stop",
            "store",
            "stream",
        ),
        *("stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity"),
        "web_search_options",
    )
)
_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MEDIA = {"image_url": "image", "file": "document", "input_audio": "audio"}


def thinks(model: str) -> bool:
    return re.match(r"o\d|gpt-5", model) is not None


def read_chat(body: Json) -> Prompt:
    """Raises Refused."""
    for name in body:
        if name not in _PARAMETERS:
            raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    model = body["model"]
    _check(body, thinking=thinks(model))
    answer_format = body.get("response_format") or {"type": "text"}
    system, turns = _read_messages(body["messages"])
    schema = None
    if answer_format["type"] == "json_schema":
        schema = answer_format["json_schema"].get("schema", {})
        if answer_format["json_schema"].get("strict"):
            _check_strict(schema, f"Invalid schema for response_format '{answer_format['json_schema']['name']}'")
    choice = body.get("tool_choice") or "auto"
    stop = body.get("stop") or []
    return Prompt(
        model=model,
        turns=tuple(turns),
        system=system,
        tools=tuple(_read_tool(tool) for tool in body.get("tools") or []),
        calling=choice != "none",
        forced=choice["function"]["name"] if isinstance(choice, dict) else FORCED_ANY if choice == "required" else None,
        parallel=body.get("parallel_tool_calls") is not False,
        schema=schema,
        json_object=answer_format["type"] == "json_object",
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        n=body.get("n") or 1,
        logprobs=body.get("top_logprobs") or 0 if body.get("logprobs") else None,
        thinks=thinks(model) and body.get("reasoning_effort") not in ("none", "minimal"),
        stream=body.get("stream") or False,
        stream_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def _check(body: Json, *, thinking: bool) -> None:
    if not body.get("messages"):
        raise Refused("Invalid 'messages': empty array.", param="messages", code="empty_array")
    if body.get("tools") == []:
        raise Refused("Invalid 'tools': empty array.", param="tools", code="empty_array")
    for name in ("tool_choice", "parallel_tool_calls"):
        if body.get(name) is not None and not body.get("tools"):
            raise Refused(f"Invalid value for '{name}': only allowed when 'tools' are specified.", param=name)
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Refused("'logprobs' must be true when 'top_logprobs' is set.", param="top_logprobs")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    temperature = body.get("temperature")
    if temperature is not None and not 0 <= temperature <= 2:
        raise Refused("Invalid 'temperature': expected a value between 0 and 2.", param="temperature")
    if thinking and body.get("max_tokens") is not None:
        raise Refused("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", param="max_tokens")
    if thinking and temperature not in (None, 1):
        raise Refused("Unsupported value: 'temperature' only takes the default (1).", param="temperature")
    for name, lowest, highest in (("n", 1, 128), ("max_tokens", 1, 128_000), ("max_completion_tokens", 1, 128_000)):
        if body.get(name) is not None and not lowest <= body[name] <= highest:
            raise Refused(f"Invalid '{name}': expected {lowest} to {highest}.", param=name)
    if isinstance(body.get("stop"), list) and len(body["stop"]) > 4:
        raise Refused("Invalid 'stop': array too long.", param="stop")
    wanted = (body.get("response_format") or {}).get("type")
    if wanted == "json_object" and "json" not in json.dumps(body["messages"]).lower():
        raise Refused("'messages' must contain the word 'json' to use 'response_format' of type 'json_object'.")


def _read_messages(messages: list[Json]) -> tuple[str, list[Turn]]:
    system, turns = [], []
    waiting: dict[str, str] = {}  # calls without a result yet: id -> name
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role, text, media = message["role"], *_read_content(message.get("content"), where)
        if waiting and role != "tool":
            raise Refused(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                f"'tool_call_id'. The following did not have one: {', '.join(waiting)}",
                param="messages",
            )
        if role in ("system", "developer"):
            system.append(text)
        elif role == "user":
            turns.append(Turn(role="user", text=text, media=media))
        elif role == "assistant":
            calls = tuple(_read_call(call, where) for call in message.get("tool_calls") or [])
            if not calls and message.get("content") is None and message.get("refusal") is None:
                raise Refused("Invalid value for 'content': expected a string, got null.", param=f"{where}.content")
            waiting = {call.id: call.name for call in calls}
            turns.append(Turn(role="assistant", text=text, calls=calls))
        elif role == "tool":
            if message["tool_call_id"] not in waiting:
                raise Refused(
                    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
                    param=f"{where}.role",
                )
            result = (waiting.pop(message["tool_call_id"]), text)
            if turns[-1].role == "tool":
                turns[-1] = Turn(role="tool", results=(*turns[-1].results, result), media=turns[-1].media + media)
            else:
                turns.append(Turn(role="tool", results=(result,), media=media))
        else:
            raise Refused(f"Invalid value: '{role}'.", param=f"{where}.role", code="invalid_value")
    if waiting:
        raise Refused("An assistant message with 'tool_calls' must be followed by tool messages.", param="messages")
    return "\n".join(system), turns


def _read_content(content: Any, where: str) -> tuple[str, tuple[str, ...]]:
    if content is None or isinstance(content, str):
        return content or "", ()
    texts, media = [], []
    for part in content:
        kind = part.get("type")
        if kind in ("text", "refusal"):
            texts.append(part[kind])
        elif kind in _MEDIA:
            media.append(_MEDIA[kind])
            _check_media(part, where)
        else:
            raise Refused(f"Invalid value: '{kind}'.", param=f"{where}.content", code="invalid_value")
    return "\n".join(texts), tuple(media)


def _check_media(part: Json, where: str) -> None:
    kind = part["type"]
    if kind == "image_url" and not part["image_url"]["url"].startswith(("https://", "http://", "data:image/")):
        raise Refused("Invalid image.", param=where, code="invalid_image_url")
    if kind == "file" and not (part["file"].get("file_id") or part["file"].get("file_data", "").startswith("data:")):
        raise Refused("Missing required parameter: 'file_data' or 'file_id'.", param=where)


def _read_call(call: Json, where: str) -> Called:
    arguments = call["function"]["arguments"]
    if not isinstance(arguments, str):
        raise Refused("Invalid type for 'arguments': expected a string.", param=f"{where}.tool_calls")
    return Called(id=call["id"], name=call["function"]["name"], arguments=json.loads(arguments or "{}"))


def _read_tool(tool: Json) -> Offered:
    if tool.get("type") != "function":
        raise Refused(f"Invalid value: '{tool.get('type')}'. Supported values are: 'function'.", param="tools")
    function = tool["function"]
    if not _FUNCTION_NAME.fullmatch(function["name"]):
        raise Refused("Invalid 'tools[0].function.name': string does not match pattern.", param="tools")
    schema = function.get("parameters") or {}
    if schema and schema.get("type") != "object":
        raise Refused(f"Invalid schema for function '{function['name']}': type must be 'object'.", param="tools")
    if function.get("strict"):
        _check_strict(schema, f"Invalid schema for function '{function['name']}'")
    return Offered(name=function["name"], description=function.get("description") or "", schema=schema)


def _check_strict(schema: Any, what: str) -> None:
    """Structured outputs take closed objects with every member required."""
    if isinstance(schema, list):
        for inner in schema:
            _check_strict(inner, what)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise Refused(f"{what}: 'additionalProperties' is required to be supplied and to be false.")
        if set(schema.get("required", [])) != set(schema.get("properties", {})):
            raise Refused(f"{what}: 'required' is required to include every key in properties.")
    for name, inner in schema.items():
        if name == "properties" or name == "$defs":
            for each in inner.values():
                _check_strict(each, what)
        elif name in ("items", "anyOf"):
            _check_strict(inner, what)
