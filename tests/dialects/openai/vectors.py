"""The real OpenAI-compatible traffic the tests read: recorded replies and calls of seven providers, as bytes."""

import json
from typing import Any

from tests.support.shared_data import json_lines, shared_data

CHAT_FOLDERS = (
    "vercel_openai_chat",
    "vercel_openai-compatible_chat",
    "vercel_groq",
    "vercel_deepseek_chat",
    "vercel_xai",
    "vercel_mistral",
)
PROVIDERS = ("openai", "groq", "openrouter", "mistral")


def recorded(endpoint: str, *providers: str) -> list[dict[str, Any]]:
    """Recorded calls of "chat" or "embeddings"."""
    rows = json_lines(shared_data("wire_recorded") / "interactions.jsonl.gz")
    return [row for row in rows if row["provider"] in (providers or PROVIDERS) and row["endpoint"] == endpoint]


def requests(*providers: str) -> dict[str, bytes]:
    return {row["id"]: json.dumps(row["request"]).encode() for row in recorded("chat", *providers)}


def whole_replies() -> dict[str, bytes]:
    """Bodies of successful whole replies."""
    found = {
        f"{folder}/{path.name}": path.read_bytes()
        for folder in CHAT_FOLDERS
        for path in sorted(shared_data(f"wire_fixtures/{folder}").glob("*.json"))
    }
    for row in recorded("chat"):
        if row["response_json"] is not None and row["status"] == 200:
            found[row["id"]] = json.dumps(row["response_json"]).encode()
    return found


def streams() -> dict[str, bytes]:
    """Bodies of streams that ended well; recordings kept as JSON lines are framed as the APIs do."""
    found: dict[str, bytes] = {}
    for folder in CHAT_FOLDERS:
        for path in sorted(shared_data(f"wire_fixtures/{folder}").iterdir()):
            if path.suffix == ".sse":
                found[f"{folder}/{path.name}"] = path.read_bytes()
            elif path.name.endswith(".chunks.txt"):
                lines = [line for line in path.read_bytes().splitlines() if line]
                body = b"".join(b"data: " + line + b"\n\n" for line in lines)
                found[f"{folder}/{path.name}"] = body + b"data: [DONE]\n\n"
    return found | {row_id: body for row_id, body in recorded_streams().items() if not fails(body)}


def recorded_streams() -> dict[str, bytes]:
    return {row["id"]: row["response_text"].encode() for row in recorded("chat") if row["streaming"]}


def fails(stream: bytes) -> bool:
    """Whether a frame of the stream is the provider's error."""
    return any(chunk.get("error") for chunk in chunks(stream))


def chunks(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of every data line."""
    lines = (line[5:].strip() for line in stream.splitlines() if line.startswith(b"data:"))
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [spot for key, inner in items for spot in [(value, key), *spots(inner)]]
