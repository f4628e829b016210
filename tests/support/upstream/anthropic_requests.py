"""Anthropic Messages: reading a request as strictly as the API does."""

import base64
import binascii
import hashlib
import json
import re
from typing import Any

from tests.support.upstream.conversation import FORCED_ANY, Called, Json, Offered, Prompt, Refused, Turn

_COUNTED = frozenset(
    (
        *("cache_control", "context_management", "mcp_servers", "messages", "model", "output_config", "speed"),
        *("output_format", "system", "thinking", "tool_choice", "tools", "user_profile_id", "workspace_id"),
    )
)
_PARAMETERS = _COUNTED | frozenset(
    (
        *("billing_policy", "compaction", "container", "diagnostics", "fallback_credit_token", "fallbacks"),
        *("inference_geo", "max_tokens", "metadata", "service_tier", "stop_sequences", "stream", "temperature"),
        *("thread", "top_k", "top_p"),
    )
)
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_CURRENT = re.compile(r"claude-(opus-4-8|opus-5|sonnet-5|haiku-5)")
"""They take a system turn among the messages, think as they see fit, and take no sampling parameters."""

_MAX_CACHE_MARKS = 4


def sign(thought: str) -> str:
    return base64.b64encode(b"\x12" + hashlib.sha512(thought.encode()).digest()).decode()


def read_messages(body: Json, *, counting: bool = False) -> Prompt:
    """Raises Refused."""
    known = _COUNTED if counting else _PARAMETERS
    for name in body:
        if name not in known:
            raise Refused(f"{name}: Extra inputs are not permitted")
    for name in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if name not in body:
            raise Refused(f"{name}: Field required")
    thinking = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    choice = body.get("tool_choice") or {"type": "auto"}
    _check(body, thinking=thinking, forced=choice["type"] in ("any", "tool"))
    answer_format = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    if answer_format:
        _check_closed(answer_format["schema"])
    reader = _Reader(body["model"])
    system = reader.content(body.get("system", ""), "system")
    return Prompt(
        model=body["model"],
        turns=tuple(reader.turns(body["messages"])),
        system=system.text,
        tools=tuple(_read_tool(tool, number) for number, tool in enumerate(body.get("tools") or [])),
        calling=choice["type"] != "none",
        forced=choice["name"] if choice["type"] == "tool" else FORCED_ANY if choice["type"] == "any" else None,
        parallel=not choice.get("disable_parallel_tool_use", False),
        schema=answer_format.get("schema"),
        stop=tuple(body.get("stop_sequences") or ()),
        max_tokens=body.get("max_tokens"),
        thinks=thinking,
        shows_thoughts=thinking and body["thinking"].get("display") != "omitted",
        stream=body.get("stream") or False,
        cached_prefix=reader.cached_prefix,
    )


def _check(body: Json, *, thinking: bool, forced: bool) -> None:
    maximum = body.get("max_tokens", 1)
    if not isinstance(maximum, int) or maximum < 0:  # 0 warms the cache
        raise Refused("max_tokens: Input should be greater than or equal to 0")
    if not body["messages"]:
        raise Refused("messages: at least one message is required")
    temperature = body.get("temperature")
    if temperature is not None and not 0 <= temperature <= 1:
        raise Refused("temperature: range: 0..1")
    if _CURRENT.match(body["model"]):
        _check_current(body)
    if temperature is not None and body.get("top_p") is not None:
        raise Refused("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if thinking:
        budget = body["thinking"].get("budget_tokens")
        if body["thinking"]["type"] == "enabled" and (budget is None or budget < 1024):
            raise Refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget is not None and budget >= body.get("max_tokens", budget + 1):
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if temperature not in (None, 1):
            raise Refused("`temperature` may only be set to 1 when thinking is enabled.")
        if forced:
            raise Refused("Thinking may not be enabled when tool_choice forces tool use.")
    if body.get("tool_choice") and not body.get("tools"):
        raise Refused("tool_choice may only be specified while providing tools.")
    if any(not sequence.strip() for sequence in body.get("stop_sequences") or ()):
        raise Refused("stop_sequences: each stop sequence must contain non-whitespace")
    if json.dumps(body).count('"cache_control": {') > _MAX_CACHE_MARKS:
        raise Refused("A maximum of 4 blocks with cache_control may be provided.")


def _check_current(body: Json) -> None:
    for name in ("temperature", "top_p", "top_k"):
        if body.get(name) not in (None, 1):
            raise Refused(f"{name}: this model does not support sampling parameters.")
    if (body.get("thinking") or {}).get("type") == "enabled":
        raise Refused("thinking.type: 'enabled' is not supported for this model. Use 'adaptive'.")


class _Reader:
    def __init__(self, model: str) -> None:
        self._model = model
        self._seen = ""
        self.cached_prefix: str | None = None

    def turns(self, messages: list[Json]) -> list[Turn]:
        turns: list[Turn] = []
        waiting: list[str] = []
        for number, message in enumerate(messages):
            where, role = f"messages.{number}", message["role"]
            if set(message) - {"role", "content"}:
                raise Refused(f"{where}.{min(set(message) - {'role', 'content'})}: Extra inputs are not permitted")
            if role == "system" and not _CURRENT.match(self._model):
                raise Refused('messages: Unexpected role "system". The Messages API accepts a top-level `system`.')
            if role not in ("user", "assistant", "system"):
                raise Refused(f"{where}.role: Input should be 'user' or 'assistant'")
            turn = self.content(message["content"], where, role=role, last=number == len(messages) - 1)
            answered = [call for call, _ in turn.results]
            if sorted(answered) != sorted(waiting):
                raise Refused(
                    f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after, or the "
                    f"other way round: {sorted(set(waiting) ^ set(answered))}."
                )
            waiting = [call.id for call in turn.calls]
            turns.append(turn)
        if waiting:
            raise Refused("messages: `tool_use` ids were found without `tool_result` blocks immediately after.")
        if messages[0]["role"] == "assistant":
            raise Refused('messages: first message must use the "user" role')
        return turns

    def content(self, content: Any, where: str, *, role: str = "user", last: bool = False) -> Turn:
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if (
            isinstance(content, str)
            and where != "system"
            and not content.strip()
            and not (last and role == "assistant")
        ):
            raise Refused(f"{where}: user messages must have non-empty content")
        texts, calls, results = [], [], []
        media: list[str] = []
        for place, block in enumerate(blocks):
            at = f"{where}.content.{place}"
            match block["type"]:
                case "text":
                    if isinstance(content, list) and not block["text"].strip():
                        raise Refused(f"{at}: text content blocks must contain non-whitespace text")
                    texts.append(block["text"])
                case "tool_use" if role == "assistant":
                    calls.append(_read_call(block, at))
                case "tool_result" if role == "user":
                    if texts or media:
                        raise Refused(f"{at}: `tool_result` blocks must come first in the content")
                    inner = self.content(block["content"], at) if block.get("content") else Turn(role="user")
                    results.append((block["tool_use_id"], inner.text))
                    media += inner.media
                case "image" | "document" as kind:
                    _check_source(block["source"], at)
                    media.append(str(kind))
                case "thinking" if role == "assistant":
                    _check_thought(block, at)
                case "redacted_thinking" if role == "assistant":
                    pass
                case kind:
                    raise Refused(f"{at}: Input tag '{kind}' found does not match any of the expected tags")
            self._seen += json.dumps({key: value for key, value in block.items() if key != "cache_control"})
            if block.get("cache_control"):
                self.cached_prefix = self._seen
        said = "assistant" if role == "assistant" else "user"
        return Turn(
            role="assistant" if said == "assistant" else "user",
            text="\n".join(texts),
            calls=tuple(calls),
            results=tuple(results),
            media=tuple(media),
        )


def _read_call(block: Json, where: str) -> Called:
    if not _ID.fullmatch(block["id"]):
        raise Refused(f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if not isinstance(block["input"], dict):
        raise Refused(f"{where}.tool_use.input: Input should be a valid dictionary")
    return Called(id=block["id"], name=block["name"], arguments=block["input"])


def _check_source(source: Json, where: str) -> None:
    if source["type"] == "base64":
        try:
            base64.b64decode(source["data"], validate=True)
        except binascii.Error:
            raise Refused(f"{where}.source.base64: invalid base64 data") from None
        if source["media_type"] not in ("image/jpeg", "image/png", "image/gif", "image/webp", "application/pdf"):
            raise Refused(f"{where}.source.base64.media_type: Input should be 'image/jpeg', 'image/png', ...")
    elif source["type"] not in ("url", "text", "content", "file"):
        raise Refused(f"{where}.source: Input tag '{source['type']}' does not match")


def _check_thought(block: Json, where: str) -> None:
    """Only that a signature is one: histories of other sessions hold others than ours."""
    try:
        base64.b64decode(block["signature"], validate=True)
    except binascii.Error:
        raise Refused(f"{where}: Invalid `signature` in `thinking` block") from None
    if not block["signature"]:
        raise Refused(f"{where}: Invalid `signature` in `thinking` block")


def _read_tool(tool: Json, number: int) -> Offered:
    if tool.get("type", "custom") != "custom":
        return Offered(name=tool["name"])
    schema = tool.get("input_schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise Refused(f"tools.{number}.custom.input_schema.type: Input should be 'object'")
    if tool.get("strict"):
        _check_closed(schema)
    return Offered(name=tool["name"], description=tool.get("description", ""), schema=schema)


def _check_closed(schema: Any) -> None:
    """Structured output takes closed objects only."""
    if isinstance(schema, list):
        for inner in schema:
            _check_closed(inner)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise Refused("output_config.format.schema: For 'object' type, 'additionalProperties' must be set to false")
    for inner in schema.values():
        _check_closed(list(inner.values()) if isinstance(inner, dict) and "type" not in inner else inner)
