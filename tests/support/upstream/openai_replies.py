"""OpenAI chat completions: writing an answer whole, as stream frames, and as an error."""

import base64
import hashlib
import itertools
import json
import math
import struct
from collections.abc import Iterator

from tests.support.upstream import words
from tests.support.upstream.conversation import Answer, Counted, Json, Prompt, Said

_KINDS = {401: "invalid_request_error", 404: "invalid_request_error", 429: "requests", 400: "invalid_request_error"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
_FINISH = {"stop_sequence": "stop"}


def error(status: int, message: str, param: str | None = None, code: str | None = None) -> Json:
    kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code or _CODES.get(status)}}


def whole(prompt: Prompt, answer: Answer) -> Json:
    reply = _head(prompt, answer, "chat.completion")
    reply["choices"] = [_choice(prompt, number, said) for number, said in enumerate(answer.choices)]
    if not answer.faulty_usage:
        reply["usage"] = _usage(answer.usage)
    return reply


def frames(prompt: Prompt, answer: Answer) -> list[bytes]:
    head = _head(prompt, answer, "chat.completion.chunk")
    if prompt.stream_usage:
        head["usage"] = None
    out = [head | {"choices": [chunk]} for chunk in _chunks(prompt, answer)]
    if prompt.stream_usage and not answer.faulty_usage:
        out.append(head | {"choices": [], "usage": _usage(answer.usage)})
    return [_data(chunk) for chunk in out] + [b"data: [DONE]\n\n"]


def error_event(message: str) -> bytes:
    return _data(error(500, message))


def embeddings(model: str, vectors: list[list[float]], encoding: str, tokens: int) -> Json:
    def shown(vector: list[float]) -> list[float] | str:
        if encoding != "base64":
            return vector
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": number, "embedding": shown(vector)}
            for number, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def embed(text: str, size: int) -> list[float]:
    """A unit vector that only the text decides."""
    stream = hashlib.shake_256(text.encode()).digest(2 * size)
    values = [number / 32768 - 1 for number in struct.unpack(f"<{size}H", stream)]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def models(names: list[str]) -> Json:
    listed = [{"id": name, "object": "model", "created": 1686935002, "owned_by": "openai"} for name in names]
    return {"object": "list", "data": listed}


def _head(prompt: Prompt, answer: Answer, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": answer.created,
        "model": prompt.model,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }


def _choice(prompt: Prompt, number: int, said: Said) -> Json:
    message: Json = {"role": "assistant", "content": said.text or None, "refusal": None, "annotations": []}
    if said.calls:
        message["tool_calls"] = [
            {
                "id": f"call_{call.id}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call in said.calls
        ]
    logprobs = None if prompt.logprobs is None else {"content": _logprobs(said.text, prompt.logprobs), "refusal": None}
    return {"index": number, "message": message, "logprobs": logprobs, "finish_reason": _finish(said)}


def _chunks(prompt: Prompt, answer: Answer) -> Iterator[Json]:
    """The choices' chunks, mixed as they come from the API."""
    streams = [_chunks_of(prompt, number, said) for number, said in enumerate(answer.choices)]
    for together in itertools.zip_longest(*streams):
        yield from (chunk for chunk in together if chunk is not None)


def _chunks_of(prompt: Prompt, number: int, said: Said) -> Iterator[Json]:
    def chunk(delta: Json, finish: str | None = None, text: str = "") -> Json:
        logprobs = None
        if prompt.logprobs is not None and text:
            logprobs = {"content": _logprobs(text, prompt.logprobs), "refusal": None}
        return {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": finish}

    yield chunk({"role": "assistant", "content": None if said.calls else "", "refusal": None})
    for token in words.tokens(said.text):
        yield chunk({"content": token}, text=token)
    for place, call in enumerate(said.calls):
        opening = {"index": place, "id": f"call_{call.id}", "type": "function"}
        yield chunk({"tool_calls": [opening | {"function": {"name": call.name, "arguments": ""}}]})
        for piece in words.pieces(call.arguments):
            yield chunk({"tool_calls": [{"index": place, "function": {"arguments": piece}}]})
    yield chunk({}, finish=_finish(said))


def _finish(said: Said) -> str:
    return _FINISH.get(said.finish, said.finish)


def _logprobs(text: str, alternatives: int) -> list[Json]:
    def told(token: str, rank: int) -> Json:
        return {"token": token, "logprob": -0.25 * (rank + 1), "bytes": list(token.encode())}

    return [
        told(token, 0)
        | {"top_logprobs": [told(token if rank == 0 else f"{token}{rank}", rank) for rank in range(alternatives)]}
        for token in words.tokens(text)
    ]


def _usage(usage: Counted) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _data(value: Json) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
