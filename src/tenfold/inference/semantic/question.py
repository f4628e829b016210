"""What of a call is the question, and what has to be equal for the answer to another one to serve: everything else of
the body, and what the call says beside it. Of the client dialects it knows no more than where they put the messages.
"""

import hashlib
from typing import Any

from msgspec import DecodeError, Struct, json

from tenfold.cache.semantic.rows import ScopeFacts
from tenfold.core.call import Call
from tenfold.inference.lookup import NOT_PART_OF_THE_QUESTION

MAX_QUESTION_BYTES = 1_000
"""Longer ones are not looked up: the embedder reads 512 tokens, and two questions must not differ beyond."""

_ASKED = "\x00the question\x00"  # in its place, where the scope is made
_ASKING = frozenset(("system", "developer", "user"))
_TEXTS = frozenset(("text", "input_text"))

_normal = json.Encoder(order="deterministic")
_decoder: json.Decoder[Any] = json.Decoder()


class NotAQuestion(Exception):
    """Why a call is no matter for the semantic cache, in a word."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Asked(Struct, frozen=True, kw_only=True):
    """`text` is the question; `digest` stands for all that is not."""

    text: str
    facts: ScopeFacts


def asked_in(call: Call, *, embedder: str, max_false_hits: float, conversations: bool = True) -> Asked:
    """`embedder`: whose vectors are compared, by its fingerprint. `conversations`: also where somebody has answered
    before; such a scope is its own, and hardly anybody asks in it again. Raises NotAQuestion."""
    grounds = call.options.grounds
    try:
        body = _decoder.decode(call.body)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAQuestion("unreadable") from None
    for name in NOT_PART_OF_THE_QUESTION:
        body.pop(name, None)
    text = _take_out(body, conversations)
    if grounds is not None and grounds.question is not None:
        text = grounds.question
    text = text.strip()
    if not text or len(text.encode("utf-8", "replace")) > MAX_QUESTION_BYTES:
        raise NotAQuestion("too long" if text else "empty question")
    assert call.peek is not None
    digest = hashlib.blake2b(digest_size=32)
    for part in (
        embedder.encode(),
        call.operation.encode(),
        call.dialect.encode(),
        _normal.encode([[name.hex(), value.hex()] for name, value in call.options.upstream_headers]),
        b"" if grounds is None or grounds.question is None else b"grounds",
        _normal.encode(body),
    ):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    facts = ScopeFacts(
        digest=digest.digest(),
        dialect=call.dialect,
        model=call.model,
        stream=call.peek.stream,
        max_false_hits=max_false_hits,
    )
    return Asked(text=text, facts=facts)


def _take_out(body: dict[str, Any], conversations: bool) -> str:
    """The last text of the user, which is left out of the body. Raises NotAQuestion: nobody asked last, or not in
    words alone."""
    where = "messages" if "messages" in body else "input"
    turns = body.get(where)
    if isinstance(turns, str):
        body[where] = _ASKED
        return turns
    if not isinstance(turns, list) or not turns:
        raise NotAQuestion("not asked by a user")
    last = turns[-1]
    if not isinstance(last, dict) or last.get("role") != "user":
        raise NotAQuestion("not asked by a user")
    if not conversations and any(not isinstance(turn, dict) or turn.get("role") not in _ASKING for turn in turns):
        raise NotAQuestion("a conversation")
    inside = "parts" if "parts" in last else "content"
    content = last.get(inside)
    if isinstance(content, str):
        last[inside] = _ASKED
        return content
    if not isinstance(content, list):
        raise NotAQuestion("not in words")
    if any(not isinstance(part, dict) or part.get("type") not in _TEXTS for part in content):
        raise NotAQuestion("not in words")
    if not content or not isinstance(content[-1].get("text"), str):
        raise NotAQuestion("empty question")
    text: str = content[-1]["text"]
    content[-1]["text"] = _ASKED
    return text
