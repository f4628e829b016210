"""Forms of a Messages request that mean the same, brought to one form, so that requests can be compared by meaning."""

from typing import Any

from tenfold.core.chat import JsonObject


def normal_request(body: JsonObject) -> JsonObject:
    """Strings become the text block they stand for, turns of one role become one, defaults are left out."""
    out = {name: value for name, value in body.items() if value is not None}
    if not out.get("stream"):
        out.pop("stream", None)
    if out.get("system"):
        out["system"] = _blocks(out["system"])
    out["messages"] = _turns(out["messages"])
    out["tools"] = [_tool(tool) for tool in out.get("tools", [])]
    return out


def _turns(messages: list[JsonObject]) -> list[JsonObject]:
    turns: list[JsonObject] = []
    for message in messages:
        turn = {**message, "content": _blocks(message["content"])}
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["content"] += turn["content"]
        else:
            turns.append(turn)
    if turns and turns[-1]["role"] == "assistant":
        last = turns[-1]["content"][-1]
        if last["type"] == "text":
            last["text"] = last["text"].rstrip()
    return turns


def _blocks(content: Any) -> list[JsonObject]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [_block(block) for block in content]


def _block(block: JsonObject) -> JsonObject:
    out = {name: value for name, value in block.items() if value is not None}
    if out["type"] == "tool_result":
        out["content"] = _blocks(out.get("content") or [])
        if not out.get("is_error"):
            out.pop("is_error", None)
    return out


def _tool(tool: JsonObject) -> JsonObject:
    return {name: value for name, value in tool.items() if value is not None}
