"""A chat completion of the offline model: what of a request it can honour, what it refuses, and the reply's text. Pure.

Tokens are estimated, as the model has none: four bytes of UTF-8 each, rounded up.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from msgspec import json

from tenfold.core.errors import InvalidRequest, ModelNotFound, UnsupportedParameter
from tenfold.providers.offline.answers import CHAT_MODEL, Turn, answer
from tenfold.providers.offline.shapes import ChatBody, Format, MessageBody, ReplyText, UsageBody

BYTES_PER_TOKEN: Final = 4
_MAX_CHOICES = 8
_TEXT_PARTS = frozenset({"text", "refusal"})
_PIECE = re.compile(r"\s*(?:\S+\s*){1,4}")  # what one stream frame carries

# Members of a JSON Schema beside which any string, and any object with its one required member, is valid.
_FREE_STRING = frozenset({"type", "description", "title", "default"})
_FREE_OBJECT = frozenset({"type", "properties", "required", "additionalProperties", "title", "description", "$schema"})

Wrapper = Callable[[str], str]


def reply(body: ChatBody, reply_id: str, created: int) -> ReplyText:
    """Raises InvalidRequest, UnsupportedParameter, ModelNotFound."""
    if body.model != CHAT_MODEL:
        raise ModelNotFound(f"The offline chat model is {CHAT_MODEL}.", param="model")
    if not body.messages:
        raise InvalidRequest("There is no message.", param="messages")
    n = _choices(body)
    _refuse_unsupported(body)
    wrap = _wrapper(body.response_format)
    turns = [_turn(place, message) for place, message in enumerate(body.messages)]
    text, finish_reason = _limited(wrap(answer(turns)), body)
    prompt_tokens = sum(estimated_tokens(turn.text) for turn in turns)
    completion_tokens = n * estimated_tokens(text)
    return ReplyText(
        id=reply_id,
        created=created,
        model=CHAT_MODEL,
        pieces=_PIECE.findall(text),
        finish_reason=finish_reason,
        usage=UsageBody(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            total_tokens=prompt_tokens + completion_tokens,
        ),
        n=n,
    )


def estimated_tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def _choices(body: ChatBody) -> int:
    n = 1 if body.n is None else body.n
    if not 1 <= n <= _MAX_CHOICES:
        raise InvalidRequest(f"n must be 1 to {_MAX_CHOICES}.", param="n")
    return n


def _refuse_unsupported(body: ChatBody) -> None:
    if body.logprobs:
        raise UnsupportedParameter(f"{CHAT_MODEL} has no token probabilities.", param="logprobs")
    # With "auto" a model may answer in words, and this one always does.
    if body.tool_choice not in (None, "auto", "none"):
        raise UnsupportedParameter(
            f"{CHAT_MODEL} cannot call tools: leave tool_choice at auto, or configure a language model.",
            param="tool_choice",
        )


def _turn(place: int, message: MessageBody) -> Turn:
    if not isinstance(message.content, list):
        return Turn(role=message.role, text=message.content or "")
    texts = []
    for position, part in enumerate(message.content):
        kind = part.get("type")
        text = part.get(kind) if kind in _TEXT_PARTS else None
        if not isinstance(text, str):
            raise UnsupportedParameter(f"{CHAT_MODEL} reads text only.", param=f"messages[{place}].content[{position}]")
        texts.append(text)
    return Turn(role=message.role, text="\n\n".join(texts))


def _limited(text: str, body: ChatBody) -> tuple[str, str]:
    """The text up to the first stop sequence and the token limit, and why it ends."""
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    ends = [end for stop in stops if stop and (end := text.find(stop)) >= 0]
    if ends:
        text = text[: min(ends)]
    limits = [limit for limit in (body.max_tokens, body.max_completion_tokens) if limit is not None]
    if limits and min(limits) < 1:
        raise InvalidRequest("The token limit must be at least 1.", param="max_tokens")
    if limits and estimated_tokens(text) > min(limits):
        return text.encode("utf-8", "replace")[: min(limits) * BYTES_PER_TOKEN].decode("utf-8", "ignore"), "length"
    return text, "stop"


def _wrapper(wanted: Format | None) -> Wrapper:
    """Puts the answer into the form that was asked for, where a sentence fits it."""
    if wanted is None or wanted.type == "text":
        return str
    if wanted.type == "json_object":
        return lambda text: _as_json("answer", text)
    name = _one_free_string(wanted.json_schema.schema) if wanted.type == "json_schema" and wanted.json_schema else None
    if name is None:
        raise UnsupportedParameter(
            f"{CHAT_MODEL} can fill a JSON schema only when its one required property is a plain string.",
            param="response_format",
        )
    return lambda text: _as_json(name, text)


def _as_json(name: str, text: str) -> str:
    return json.encode({name: text}).decode()


def _one_free_string(schema: dict[str, Any]) -> str | None:
    """The property that any sentence can fill such that the whole fits the schema."""
    required, properties = schema.get("required"), schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict) or not isinstance(required, list):
        return None
    if len(required) != 1 or not schema.keys() <= _FREE_OBJECT:
        return None
    wanted = properties.get(required[0])
    if not isinstance(wanted, dict) or wanted.get("type") != "string" or not wanted.keys() <= _FREE_STRING:
        return None
    return str(required[0])
