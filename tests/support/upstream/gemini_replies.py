"""Gemini generateContent: writing an answer whole, as stream frames, and as an error."""

import base64
import hashlib
import json
from collections.abc import Iterator
from itertools import zip_longest

from tests.support.upstream import words
from tests.support.upstream.conversation import Answer, Counted, Json, Prompt, Said

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_FINISH = {"length": "MAX_TOKENS"}


def error(status: int, message: str) -> Json:
    return {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}}


def whole(prompt: Prompt, answer: Answer) -> Json:
    reply = _tail(prompt, answer)
    reply["candidates"] = [
        _candidate(number, _parts(prompt, said), said, prompt) for number, said in enumerate(answer.choices)
    ]
    return reply


def frames(prompt: Prompt, answer: Answer) -> list[bytes]:
    """Each a reply of its own with a part of the text; only the last states how it finished."""
    out = []
    streams = [list(_stream(prompt, number, said)) for number, said in enumerate(answer.choices)]
    for together in zip_longest(*streams):
        out += [_tail(prompt, answer) | {"candidates": [candidate]} for candidate in together if candidate is not None]
    return [b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\r\n\r\n" for chunk in out]


def error_event(message: str) -> bytes:
    """As the API has it: a bare JSON object between the events."""
    return json.dumps(error(503, message), indent=2).encode() + b"\r\n\r\n"


def embeddings(vectors: list[list[float]]) -> Json:
    return {"embeddings": [{"values": vector} for vector in vectors]}


def models(names: list[str]) -> Json:
    return {"models": [{"name": f"models/{name}", "displayName": name, "version": "001"} for name in names]}


def sign(call: str) -> str:
    return base64.b64encode(b"\x0a" + hashlib.sha512(call.encode()).digest()).decode()


def _parts(prompt: Prompt, said: Said) -> list[Json]:
    parts: list[Json] = []
    if said.thought and prompt.shows_thoughts:
        parts.append({"text": said.thought, "thought": True})
    if said.text:
        parts.append({"text": said.text})
    for place, call in enumerate(said.calls):
        part: Json = {"functionCall": {"name": call.name, "args": call.arguments}}
        if place == 0:
            part["thoughtSignature"] = sign(call.id)
        parts.append(part)
    return parts


def _stream(prompt: Prompt, number: int, said: Said) -> Iterator[Json]:
    for part in _parts(prompt, said):
        if "text" in part:
            for token in words.tokens(part["text"]):
                chunk = _candidate(number, [part | {"text": token}])
                if prompt.logprobs is not None and not part.get("thought"):
                    chunk["logprobsResult"] = _logprobs(token, prompt.logprobs)
                yield chunk
        else:
            yield _candidate(number, [part])
    yield _candidate(number, [{"text": ""}], said)


def _candidate(number: int, parts: list[Json], said: Said | None = None, prompt: Prompt | None = None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": number}
    if said is not None:
        candidate["finishReason"] = _FINISH.get(said.finish, "STOP")
    if said is not None and prompt is not None and prompt.logprobs is not None:
        candidate["avgLogprobs"] = -0.25
        candidate["logprobsResult"] = _logprobs(said.text, prompt.logprobs)
    return candidate


def _logprobs(text: str, alternatives: int) -> Json:
    def told(token: str, rank: int) -> Json:
        return {"token": token, "tokenId": 1 + rank, "logProbability": -0.25 * (rank + 1)}

    chosen = words.tokens(text)
    return {
        "chosenCandidates": [told(token, 0) for token in chosen],
        "topCandidates": [
            {"candidates": [told(token if rank == 0 else f"{token}{rank}", rank) for rank in range(alternatives)]}
            for token in chosen
        ],
    }


def _tail(prompt: Prompt, answer: Answer) -> Json:
    reply: Json = {"modelVersion": prompt.model, "responseId": f"r{answer.id}"}
    if not answer.faulty_usage:
        reply["usageMetadata"] = _usage(answer.usage)
    return reply


def _usage(usage: Counted) -> Json:
    told = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": usage.input + usage.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}],
    }
    if usage.reasoning:
        told["thoughtsTokenCount"] = usage.reasoning
    if usage.cache_read:
        told["cachedContentTokenCount"] = usage.cache_read
    return told
