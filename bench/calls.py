"""Where a call goes, the bodies that are sent, and single calls outside timed sections."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from bench.processes import BenchError


class Upstream(Enum):
    """The paces of the mock upstream, by the prefix of its path."""

    AT_ONCE = "/v1"
    AFTER_1_S = "/d1000/v1"
    EVENT_EACH_10_MS = "/g10/v1"


@dataclass(frozen=True, kw_only=True)
class Target:
    """How one gateway is asked for one upstream."""

    url: str
    model: str = "gpt-4o-mini"
    headers: Mapping[str, str] = field(default_factory=dict)


Targets = Mapping[Upstream, Target]


def plain_targets(port: int) -> Targets:
    """Of a server that keeps the path: the mock itself, or a proxy that passes everything on."""
    return {upstream: Target(url=f"http://127.0.0.1:{port}{upstream.value}/chat/completions") for upstream in Upstream}


def chat_body(model: str, *, stream: bool = False, cacheable: bool = False) -> bytes:
    """About 6 KB, 1,200 tokens. Only a cacheable one may be answered from an exact cache: its temperature is 0."""
    sentence = (
        "The gateway receives each request from a caller, checks the key and the limits, picks a provider, "
        "sends the prompt on, and returns the answer with the tokens counted. "
    )
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a careful assistant. Answer in plain words. " * 6},
            {"role": "user", "content": sentence * 18},
            {"role": "assistant", "content": sentence * 6},
            {"role": "user", "content": "Summarise the notes above in three paragraphs. " + sentence * 10},
        ],
        "temperature": 0 if cacheable else 0.2,
        "max_tokens": 400,
    }
    if stream:
        body["stream"] = True
    return json.dumps(body).encode()


def post(target: Target, body: bytes, timeout_s: float = 20) -> tuple[int, bytes]:
    """Status and body of one reply. Raises OSError or HTTPException when there is none."""
    parts = urlsplit(target.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("POST", parts.path, body, {"Content-Type": "application/json", **target.headers})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def check(target: Target, name: str, *, stream: bool) -> None:
    """Raises BenchError unless one call gives the whole reply: a fast refusal would look like a fast gateway."""
    try:
        status, reply = post(target, chat_body(target.model, stream=stream))
    except (OSError, HTTPException) as error:
        raise BenchError(f"{name} gives no reply: {error!r}") from error
    end = b"data: [DONE]" if stream else b'"finish_reason"'
    if status != 200 or end not in reply:
        raise BenchError(f"{name} answers {status}: {reply[:300].decode(errors='replace')}")
