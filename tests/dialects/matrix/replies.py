"""Real answers of each upstream, whole and streamed, by a name that says where they are from."""

import json
from collections.abc import Iterator

from tenfold.core.chat import JsonObject
from tests.support.shared_data import json_lines, shared_data

_ENDPOINTS = {"openai": "chat", "anthropic": "messages", "gemini": "generate"}
_FOLDERS = {
    "openai": ("vercel_openai_chat", "vercel_xai", "vercel_deepseek_chat"),
    "anthropic": ("vercel_anthropic",),
    "gemini": ("gemini_googleai", "gemini_vertexai", "vercel_google"),
}
_ANSWERS = {"openai": "choices", "anthropic": "stop_reason", "gemini": "candidates"}

HELLO: dict[str, JsonObject] = {
    "openai": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    },
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r",
    },
}


def hello(upstream: str) -> bytes:
    """The shortest whole answer."""
    return json.dumps(HELLO[upstream]).encode()


def whole_replies(upstream: str) -> Iterator[tuple[str, bytes]]:
    for row in json_lines(shared_data("wire_recorded") / "interactions.jsonl.gz"):
        if (row["provider"], row["endpoint"], row["status"]) != (upstream, _ENDPOINTS[upstream], 200):
            continue
        if row["response_json"] is not None and not row["streaming"]:
            yield row["id"], json.dumps(row["response_json"]).encode()
    for folder in _FOLDERS[upstream]:
        for path in sorted(shared_data(f"wire_fixtures/{folder}").glob("*.json")):
            if json.loads(path.read_bytes()).get(_ANSWERS[upstream]):
                yield path.name, path.read_bytes()


def streams(upstream: str) -> Iterator[tuple[str, bytes]]:
    for row in json_lines(shared_data("wire_recorded") / "interactions.jsonl.gz"):
        if (row["provider"], row["status"], row["streaming"]) == (upstream, 200, True) and "responses" not in row[
            "path"
        ]:
            yield row["id"], row["response_text"].encode()
    for folder in _FOLDERS[upstream]:
        for path in sorted(shared_data(f"wire_fixtures/{folder}").glob("*.txt")):
            if path.name.startswith("spliced"):
                continue  # two messages in one stream: a fault, held in the dialect's own tests
            if path.name.endswith(".chunks.txt"):
                yield path.name, _sse(upstream, path.read_bytes())
            elif "stream" in path.name and path.read_bytes().startswith(b"data:"):
                yield path.name, path.read_bytes()


def _sse(upstream: str, chunks: bytes) -> bytes:
    """Recordings kept as JSON lines, framed as each API frames them."""
    frames = []
    for line in chunks.splitlines():
        if line.strip():
            event = json.loads(line).get("type", "") if upstream == "anthropic" else ""
            frames.append((f"event: {event}\n".encode() if event else b"") + b"data: " + line.strip() + b"\n\n")
    return b"".join(frames) + (b"data: [DONE]\n\n" if upstream == "openai" else b"")
