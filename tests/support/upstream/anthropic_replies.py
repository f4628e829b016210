"""Anthropic Messages: writing an answer whole, as stream frames, and as an error."""

import json
from collections.abc import Iterator

from tests.support.upstream import words
from tests.support.upstream.anthropic_requests import sign
from tests.support.upstream.conversation import Answer, Counted, Json, Prompt, Said

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_USAGE_AT_END = (
    *("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
    *("output_tokens", "output_tokens_details"),
)
_FINISH = {"stop": "end_turn", "length": "max_tokens", "stop_sequence": "stop_sequence", "tool_calls": "tool_use"}


def error(status: int, message: str, request_id: str, details: Json | None = None) -> Json:
    stated = {"type": _KINDS.get(status, "api_error"), "message": message, "details": details}
    return {"type": "error", "error": stated, "request_id": request_id}


def whole(prompt: Prompt, answer: Answer) -> Json:
    said = answer.choices[0]
    reply = _head(prompt, answer) | {"content": _blocks(prompt, said), "stop_reason": _FINISH[said.finish]}
    reply["stop_sequence"] = said.stopped_by
    if not answer.faulty_usage:
        reply["usage"] = _usage(answer.usage)
    return reply


def frames(prompt: Prompt, answer: Answer) -> list[bytes]:
    return [_event(event) for event in _events(prompt, answer)]


def error_event(message: str) -> bytes:
    return _event({"type": "error", "error": {"type": "overloaded_error", "message": message}})


def models(names: list[str]) -> Json:
    listed = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2025-09-29T00:00:00Z"} for name in names
    ]
    return {"data": listed, "has_more": False, "first_id": names[0], "last_id": names[-1]}


def _head(prompt: Prompt, answer: Answer) -> Json:
    return {"model": prompt.model, "id": f"msg_{answer.id}", "type": "message", "role": "assistant"}


def _blocks(prompt: Prompt, said: Said) -> list[Json]:
    blocks: list[Json] = []
    if said.thought:
        shown = said.thought if prompt.shows_thoughts else ""
        blocks.append({"type": "thinking", "thinking": shown, "signature": sign(said.thought)})
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    blocks += [
        {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": call.arguments}
        for call in said.calls
    ]
    return blocks


def _events(prompt: Prompt, answer: Answer) -> Iterator[Json]:
    said = answer.choices[0]
    start = _head(prompt, answer) | {"content": [], "stop_reason": None, "stop_sequence": None}
    if not answer.faulty_usage:
        start["usage"] = _usage(answer.usage) | {"output_tokens": 1}
        del start["usage"]["output_tokens_details"]  # told at the end
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(_blocks(prompt, said)):
        empty: Json = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}, "tool_use": {"input": {}}}
        yield {"type": "content_block_start", "index": index, "content_block": block | empty[block["type"]]}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end: Json = {
        "type": "message_delta",
        "delta": {"stop_reason": _FINISH[said.finish], "stop_sequence": said.stopped_by},
    }
    if not answer.faulty_usage:
        told = _usage(answer.usage)
        end["usage"] = {name: told[name] for name in _USAGE_AT_END}
    yield end
    yield {"type": "message_stop"}


def _deltas(block: Json) -> Iterator[Json]:
    match block["type"]:
        case "thinking":
            for token in words.tokens(block["thinking"]):
                yield {"type": "thinking_delta", "thinking": token}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "text":
            for token in words.tokens(block["text"]):
                yield {"type": "text_delta", "text": token}
        case _:
            yield {"type": "input_json_delta", "partial_json": ""}
            if block["input"]:
                for piece in words.pieces(block["input"]):
                    yield {"type": "input_json_delta", "partial_json": piece}


def _usage(usage: Counted) -> Json:
    return {
        "input_tokens": usage.input - usage.cache_read - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def _event(value: Json) -> bytes:
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"event: {value['type']}\ndata: {data}\n\n".encode()
