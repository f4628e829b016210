"""What stands inside a candidate, read the same way for a whole reply and for a chunk of a stream."""

import hashlib
from typing import Any

import msgspec
from msgspec import Raw

from tenfold.core.chat import FinishReason, JsonObject, OpaquePart
from tenfold.providers.gemini.schema import PART, Candidate, LogprobsCandidate, LogprobsResult, Part

DIALECT = "gemini"

_BLOCKED = frozenset(
    (
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
    )
)
_FAILED = frozenset(
    (
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        "NO_IMAGE",
        "IMAGE_OTHER",
    )
)


def finish_reason(reason: str, *, said_something: bool, called: bool) -> FinishReason | None:
    """None: the model failed, and what it said (if anything) is not an answer.

    A reason that is unknown, or OTHER, cut the answer short; `content_filter` is the one canonical word for that.
    """
    if reason == "STOP":
        return "tool_calls" if called else "stop"
    if reason == "MAX_TOKENS":
        return "length"
    if reason in _BLOCKED:
        return "content_filter"
    return "content_filter" if said_something and reason not in _FAILED else None


class CallIds:
    """Ids for calls that Gemini gave none: unique in a conversation and the same each time the same bytes are read."""

    def __init__(self, response_id: str | None, first_bytes: bytes) -> None:
        self._seed = response_id.encode() if response_id else first_bytes
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return "call_" + hashlib.blake2b(self._seed, digest_size=12, salt=self._count.to_bytes(8)).hexdigest()


def reply_id(response_id: str | None, first_bytes: bytes) -> str:
    """The provider's id, else one made from the bytes."""
    return response_id or "gemini-" + hashlib.blake2b(first_bytes, digest_size=12).hexdigest()


def raw_parts(candidate: Candidate) -> list[Raw]:
    return (candidate.content.parts if candidate.content else None) or []


def read_part(raw: Raw) -> tuple[Part, OpaquePart | None]:
    """The part; and the whole of it as it came when only Gemini knows its kind (code it ran, media, server tools).
    Raises msgspec's errors."""
    part = PART.decode(raw)
    if part.text is not None or part.function_call is not None:
        return part, None
    value: JsonObject = msgspec.json.decode(raw)
    return part, OpaquePart(dialect=DIALECT, value=value) if value else None


def signature_part(signature: str) -> OpaquePart:
    """A signature that came on text: canonical text has no room for it, and Gemini takes it back on an empty text."""
    return OpaquePart(dialect=DIALECT, value={"text": "", "thoughtSignature": signature})


def metadata_parts(candidate: Candidate) -> list[OpaquePart]:
    """Sources of the answer: they are about the candidate, so they are never sent back."""
    found: dict[str, object] = {
        "groundingMetadata": candidate.grounding_metadata,
        "citationMetadata": candidate.citation_metadata,
        "urlContextMetadata": candidate.url_context_metadata,
    }
    return [OpaquePart(dialect=DIALECT, value={name: value}) for name, value in found.items() if value]


def arguments_text(args: dict[str, Any] | None) -> str:
    return msgspec.json.encode(args or {}).decode()


def openai_logprobs(result: LogprobsResult | None) -> JsonObject | None:
    """`logprobsResult` in OpenAI's shape."""
    if result is None or not result.chosen_candidates:
        return None
    tops = result.top_candidates or []
    content: list[JsonObject] = []
    for position, chosen in enumerate(result.chosen_candidates):
        top = tops[position].candidates if position < len(tops) else None
        content.append(_logprob(chosen) | {"top_logprobs": [_logprob(other) for other in top or []]})
    return {"content": content, "refusal": None}


def _logprob(candidate: LogprobsCandidate) -> JsonObject:
    return {
        "token": candidate.token,
        "logprob": candidate.log_probability or 0.0,
        "bytes": list(candidate.token.encode()),
    }
