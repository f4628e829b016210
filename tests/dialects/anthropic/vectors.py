"""Real Anthropic traffic from the evaluation data: requests, whole replies, event streams."""

import json
from typing import Any

from msgspec import Struct

from tests.support.shared_data import json_lines, shared_data


class Vector(Struct, frozen=True):
    name: str
    request: Any  # None where only the reply was kept
    reply: Any = None
    stream: bytes = b""
    status: int = 200


def recorded() -> list[Vector]:
    """Live calls of /v1/messages and count_tokens."""
    path = shared_data("wire_recorded") / "interactions.jsonl.gz"
    return [
        Vector(
            name=str(row["id"]),
            request=row["request"],
            reply=row["response_json"],
            stream=(row["response_text"] or "").encode() if row["streaming"] else b"",
            status=row["status"],
        )
        for row in json_lines(path)
        if row["provider"] == "anthropic"
    ]


def sdk_recorded() -> list[Vector]:
    """What the vendor's own SDK recorded."""
    out: list[Vector] = []
    for path in sorted((shared_data("wire_fixtures") / "anthropic_sdk_recorded").glob("*.json")):
        for index, call in enumerate(json.loads(path.read_text())):
            body = call["response"]["body"]
            status = call["response"]["status_code"]
            if isinstance(body, dict):
                out.append(Vector(f"{path.stem}-{index}", call["request"]["body"], body, b"", status))
            else:  # a stream is kept as its text, in pieces
                stream = "".join(body).encode()
                out.append(Vector(f"{path.stem}-{index}", call["request"]["body"], None, stream, status))
    return out


def reply_fixtures() -> list[Vector]:
    out: list[Vector] = []
    for path in sorted((shared_data("wire_fixtures") / "vercel_anthropic").glob("*.json")):
        body = json.loads(path.read_text())
        if isinstance(body, dict) and body.get("type") == "message":
            out.append(Vector(path.stem, None, body))
    return out


def stream_fixtures() -> list[Vector]:
    base = shared_data("wire_fixtures")
    out = [Vector(path.stem, None, None, path.read_bytes()) for path in sorted((base / "anthropic_sdk_sse").iterdir())]
    for path in sorted((base / "vercel_anthropic").glob("*.chunks.txt")):
        name = path.name.removesuffix(".chunks.txt")
        frames = b""
        for line in filter(str.strip, path.read_text().splitlines()):
            kind = json.loads(line)["type"]
            frames += f"event: {kind}\ndata: {line}\n\n".encode()
            if kind == "message_stop":  # some files hold the streams of several calls
                out.append(Vector(f"{name}-{len(out)}", None, None, frames))
                frames = b""
        assert not frames, path
    return out


def requests() -> list[Vector]:
    return [vector for vector in [*recorded(), *sdk_recorded()] if vector.request]


def replies() -> list[Vector]:
    found = [*recorded(), *sdk_recorded(), *reply_fixtures()]
    return [vector for vector in found if isinstance(vector.reply, dict) and vector.reply.get("type") == "message"]


def streams() -> list[Vector]:
    return [vector for vector in [*recorded(), *sdk_recorded(), *stream_fixtures()] if vector.stream]
