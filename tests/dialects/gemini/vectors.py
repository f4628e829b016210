"""The real Gemini traffic the tests read: official fixtures and recorded calls, as bytes."""

import json
from typing import Any

from tests.support.shared_data import json_lines, shared_data

FOLDERS = ("gemini_googleai", "gemini_vertexai", "vercel_google")


def unary_fixtures() -> dict[str, bytes]:
    """Bodies of whole replies by file name."""
    return {
        f"{folder}/{path.name}": path.read_bytes()
        for folder in FOLDERS
        for path in sorted(shared_data(f"wire_fixtures/{folder}").iterdir())
        if path.suffix == ".json" or path.name.startswith("unary")
    }


def stream_fixtures() -> dict[str, bytes]:
    """Bodies of streams by file name; recordings kept as JSON lines are put back into SSE as the API frames it."""
    streams: dict[str, bytes] = {}
    for folder in FOLDERS:
        for path in sorted(shared_data(f"wire_fixtures/{folder}").iterdir()):
            if path.suffix == ".txt" and not path.name.startswith("unary"):
                body = path.read_bytes()
                if path.name.endswith(".chunks.txt"):
                    body = b"".join(b"data: " + line + b"\r\n\r\n" for line in body.splitlines() if line)
                streams[f"{folder}/{path.name}"] = body
    return streams


def recorded(endpoint: str) -> list[dict[str, Any]]:
    """Recorded calls: "generate", "stream" or "embeddings"."""
    rows = json_lines(shared_data("wire_recorded") / "interactions.jsonl.gz")
    return [row for row in rows if row["provider"] == "gemini" and row["endpoint"] == endpoint]


def recorded_streams() -> list[bytes]:
    return [row["response_text"].encode() for row in recorded("stream")]


def body_of(row: dict[str, Any]) -> bytes:
    return json.dumps(row["response_json"]).encode()


def all_streams() -> dict[str, bytes]:
    return stream_fixtures() | {f"recorded/{number}": body for number, body in enumerate(recorded_streams())}
