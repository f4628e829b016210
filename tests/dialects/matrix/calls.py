"""One answer of each upstream that thinks, says a line and calls two tools at once: whole, and streamed in pieces."""

import json

from tenfold.core.chat import JsonObject

SIGNATURE = "c2lnbmF0dXJl"
CALLS: list[tuple[str, JsonObject]] = [("get_weather", {"city": "Łódź"}), ("get_time", {})]
_FIRST_HALF, _SECOND_HALF = '{"city":', '"Łódź"}'

_OPENAI_CALLS = [
    {"id": "call_a", "type": "function", "function": {"name": "get_weather", "arguments": _FIRST_HALF + _SECOND_HALF}},
    {"id": "call_b", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
]
_GEMINI_PARTS: list[JsonObject] = [
    {"text": "hm", "thought": True},
    {"text": "I look."},
    {"functionCall": {"name": "get_weather", "args": {"city": "Łódź"}}, "thoughtSignature": SIGNATURE},
    {"functionCall": {"name": "get_time", "args": {}}},
]
_ANTHROPIC_BLOCKS: list[JsonObject] = [
    {"type": "thinking", "thinking": "hm", "signature": SIGNATURE},
    {"type": "text", "text": "I look."},
    {"type": "tool_use", "id": "toolu_a", "name": "get_weather", "input": {"city": "Łódź"}},
    {"type": "tool_use", "id": "toolu_b", "name": "get_time", "input": {}},
]
_WHOLE: dict[str, JsonObject] = {
    "openai": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "I look.", "tool_calls": _OPENAI_CALLS},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    },
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": _ANTHROPIC_BLOCKS,
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
    },
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": _GEMINI_PARTS}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r",
    },
}


def calling(upstream: str, *, stream: bool) -> bytes:
    """The answer's bytes."""
    if not stream:
        return json.dumps(_WHOLE[upstream]).encode()
    return {"openai": _openai_stream, "anthropic": _anthropic_stream, "gemini": _gemini_stream}[upstream]()


def _data(*values: JsonObject) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def _openai_stream() -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}

    def begin(index: int, call_id: str, name: str) -> JsonObject:
        opening = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        return {"tool_calls": [opening]}

    def go_on(index: int, arguments: str) -> JsonObject:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}

    deltas: list[JsonObject] = [
        {"role": "assistant", "content": "I "},
        {"content": "look."},
        begin(0, "call_a", "get_weather"),
        go_on(0, _FIRST_HALF),
        go_on(0, _SECOND_HALF),
        begin(1, "call_b", "get_time"),
        go_on(1, "{}"),
    ]
    chunks: list[JsonObject] = [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    chunks.append(head | {"choices": [], "usage": _WHOLE["openai"]["usage"]})
    return _data(*chunks) + b"data: [DONE]\n\n"


def _anthropic_stream() -> bytes:
    start = _WHOLE["anthropic"] | {"content": [], "stop_reason": None, "usage": {"input_tokens": 3, "output_tokens": 1}}
    deltas: list[list[JsonObject]] = [
        [{"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": SIGNATURE}],
        [{"type": "text_delta", "text": "I "}, {"type": "text_delta", "text": "look."}],
        [{"type": "input_json_delta", "partial_json": piece} for piece in ("", _FIRST_HALF, _SECOND_HALF)],
        [{"type": "input_json_delta", "partial_json": ""}],
    ]
    empty: list[JsonObject] = [{"thinking": "", "signature": ""}, {"text": ""}, {"input": {}}, {"input": {}}]
    events: list[JsonObject] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(_ANTHROPIC_BLOCKS):
        events.append({"type": "content_block_start", "index": index, "content_block": block | empty[index]})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas[index]]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "tool_use", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 4}})
    events.append({"type": "message_stop"})
    return b"".join(b"event: " + event["type"].encode() + b"\n" + _data(event) for event in events)


def _gemini_stream() -> bytes:
    chunks: list[JsonObject] = [
        {"candidates": [{"content": {"role": "model", "parts": [part]}}], "modelVersion": "m", "responseId": "r"}
        for part in _GEMINI_PARTS
    ]
    last = {"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}]}
    return _data(*chunks, last | {"usageMetadata": _WHOLE["gemini"]["usageMetadata"]})
