"""Messages of the Gemini API as typed structs: only the members that are read, each as tolerant as its use allows."""

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder

UNREADABLE = (ValueError, RecursionError)
"""What decoding untrusted bytes raises: msgspec's errors and UnicodeDecodeError are ValueErrors."""


class PartialArg(Struct, rename="camel"):
    """A piece of the arguments of a call that is still being written."""

    json_path: str
    string_value: str | UnsetType = UNSET
    number_value: int | float | UnsetType = UNSET
    bool_value: bool | UnsetType = UNSET
    null_value: object = UNSET
    will_continue: bool | None = None


class FunctionCall(Struct, rename="camel"):
    name: str | None = None
    id: str | None = None
    args: dict[str, Any] | None = None
    partial_args: list[PartialArg] | None = None
    will_continue: bool | None = None


class Part(Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None


class Content(Struct):
    parts: list[Raw] | None = None  # each is read as Part, or kept whole when it is of a kind only Gemini has


class LogprobsCandidate(Struct, rename="camel"):
    token: str = ""
    log_probability: float | None = None


class TopCandidates(Struct):
    candidates: list[LogprobsCandidate] | None = None


class LogprobsResult(Struct, rename="camel"):
    chosen_candidates: list[LogprobsCandidate] | None = None
    top_candidates: list[TopCandidates] | None = None


class Candidate(Struct, rename="camel"):
    index: int | None = None
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    logprobs_result: LogprobsResult | None = None
    grounding_metadata: object = None
    citation_metadata: object = None
    url_context_metadata: object = None


class PromptFeedback(Struct, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None

    @property
    def blocked(self) -> bool:
        return bool(self.block_reason or self.block_reason_message)


class GenerateContentResponse(Struct, rename="camel"):
    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: object = None
    model_version: str | None = None
    response_id: str | None = None
    create_time: str | None = None
    error: object = None  # an error object, alone, where a reply was due


class UsageOnly(Struct, rename="camel"):
    usage_metadata: object = None


RESPONSE = Decoder(GenerateContentResponse)
PART = Decoder(Part)
USAGE_ONLY = Decoder(UsageOnly)
