"""Items of the input: to canonical messages, and in the normal form they are stored and listed in."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Any

from msgspec import DecodeError, json

from tenfold.core.chat import (
    AudioPart,
    FilePart,
    ImagePart,
    JsonObject,
    Message,
    OpaquePart,
    Part,
    RefusalPart,
    Role,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from tenfold.edge.dialects.responses.schema import Content, Item
from tenfold.providers.openai.content import DIALECT as OPENAI
from tenfold.providers.openai.content import split_data_url

_SEAL = "tenfold1."
_SEALED: json.Decoder[ThinkingPart | OpaquePart] = json.Decoder(ThinkingPart | OpaquePart)
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "file_search_call": "fs",
    "reasoning": "rs",
}
_ROLES: dict[str, Role] = {"user": "user", "system": "system", "developer": "developer"}


# -- to messages -----------------------------------------------------------------------------


def messages_of(given: str | list[Item] | None) -> list[Message]:
    """The conversation: what the assistant thought, said and called in one go is one message."""
    if given is None or isinstance(given, str):
        return [Message(role="user", parts=[TextPart(text=given)])] if given else []
    turns = _Turns()
    for item in given:
        parts = _assistant_parts(item)
        if parts is None:
            turns.other(_other_message(item))
        else:
            turns.add(item.kind, parts)
    return turns.finish()


class _Turns:
    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._parts: list[Part] = []
        self._said = self._called = False

    def add(self, kind: str, parts: list[Part]) -> None:
        """Of the assistant. A text and no calls so far: the next text is another message. Calls stay together, as their
        results follow all of them."""
        if self._said and not self._called and kind in ("message", "reasoning"):
            self._end()
        self._parts += parts
        self._said = self._said or (kind == "message" and bool(parts))
        self._called = self._called or kind in ("function_call", "custom_tool_call")

    def other(self, message: Message) -> None:
        self._end()
        self._messages.append(message)

    def finish(self) -> list[Message]:
        self._end()
        return self._messages

    def _end(self) -> None:
        if self._parts:
            self._messages.append(Message(role="assistant", parts=self._parts))
            self._parts, self._said, self._called = [], False, False


def _assistant_parts(item: Item) -> list[Part] | None:
    """None for what is not the assistant's."""
    match item.kind:
        case "message" if item.role == "assistant":
            return _content(item.content)
        case "function_call":
            return [
                ToolCallPart(
                    id=item.call_id or "",
                    name=item.name or "",
                    arguments=item.arguments or "",
                    signature=item.thought_signature,
                )
            ]
        case "custom_tool_call":
            custom = {"name": item.name, "input": item.input}
            return [OpaquePart(dialect=OPENAI, value={"id": item.call_id, "type": "custom", "custom": custom})]
        case "file_search_call":
            return []  # what was found is told where it was found; later it is searched for again
        case "reasoning":
            thought = _thought(item)
            return [] if thought == ThinkingPart() else [thought]
    return None


def _other_message(item: Item) -> Message:
    if item.kind in ("function_call_output", "custom_tool_call_output"):
        content = _content(item.output)
        return Message(role="tool", parts=[ToolResultPart(call_id=item.call_id or "", content=content)])
    return Message(role=_ROLES[item.role or "user"], parts=_content(item.content))


def _thought(item: Item) -> Part:
    """As it was sealed here; a thought that another server sealed is only its text."""
    sealed = unseal(item.encrypted_content)
    if isinstance(sealed, OpaquePart):
        return sealed
    said = item.content if isinstance(item.content, list) and item.content else item.summary or []
    text = "".join(part.text or "" for part in said)
    if sealed is None:
        return ThinkingPart(text=text)
    return ThinkingPart(text=text, signature=sealed.signature, redacted=sealed.redacted)


def _content(content: str | list[Content] | None) -> list[Part]:
    if content is None or isinstance(content, str):
        return [TextPart(text=content)] if content else []
    return [_part(part) for part in content if part.text != ""]


def _part(part: Content) -> Part:
    match part.type:
        case "refusal":
            return RefusalPart(text=part.refusal or "")
        case "input_image":
            return _image(part)
        case "input_file":
            return _file(part)
        case "input_audio" if part.input_audio is not None:
            return AudioPart(data=part.input_audio.data, format=part.input_audio.format)
    return TextPart(text=part.text or "")


def _image(part: Content) -> Part:
    url = part.image_url or ""
    media_type, data = split_data_url(url)
    detail = part.detail if part.detail != "auto" else None
    return ImagePart(url=url if data is None else None, media_type=media_type, data=data, detail=detail)


def _file(part: Content) -> Part:
    if part.file_data is not None:
        media_type, data = split_data_url(part.file_data)
        return FilePart(media_type=media_type, data=data or part.file_data, name=part.filename)
    return FilePart(url=part.file_url, file_id=part.file_id, name=part.filename)


# -- sealed thoughts -------------------------------------------------------------------------


def seal(part: Part) -> str | None:
    """What of a thought must come back unchanged for the model to go on with it, as `encrypted_content`: signatures
    and what the provider encrypted. It is encoded, not encrypted. None: nothing must."""
    match part:
        case ThinkingPart(signature=None, redacted=None):
            return None
        case ThinkingPart():
            kept: Part = ThinkingPart(signature=part.signature, redacted=part.redacted)
        case OpaquePart() if _is_signature(part):
            kept = part
        case _:
            return None
    return _SEAL + urlsafe_b64encode(json.encode(kept)).decode()


def unseal(text: str | None) -> ThinkingPart | OpaquePart | None:
    """None for what was not sealed here."""
    if text is None or not text.startswith(_SEAL):
        return None
    try:
        part = _SEALED.decode(urlsafe_b64decode(text[len(_SEAL) :].encode()))
    except (Base64Error, DecodeError, UnicodeError, ValueError, RecursionError):
        return None
    return part if isinstance(part, ThinkingPart) or _is_signature(part) else None


def _is_signature(part: OpaquePart) -> bool:
    """Gemini's signature of a text. Nothing else may come in sealed: it would not be accounted for."""
    return part.dialect == "gemini" and part.value.keys() == {"text", "thoughtSignature"} and not part.value["text"]


# -- the normal form -------------------------------------------------------------------------


def input_items(request: JsonObject, salt: str) -> list[JsonObject]:
    """The input of a checked request as ItemResource objects of OpenAI's API description, each with an id: its own, or
    one made of `salt` (the response's id) and its place."""
    given = request.get("input")
    if not given:
        return []
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    return [_normal(item, salt, number) for number, item in enumerate(given)]


def _normal(item: JsonObject, salt: str, number: int) -> JsonObject:
    said = {name: member for name, member in item.items() if member is not None}
    kind = said.get("type", "message")
    id_ = said.pop("id", None) or f"{_PREFIXES.get(kind, 'item')}_{_digest(salt, number)}"
    out: JsonObject = {"id": id_, "type": kind, **said}
    if kind == "message":
        out["content"] = _normal_content(said["content"], said["role"])
    if kind == "reasoning":
        out.setdefault("summary", [])
    if kind in ("function_call", "custom_tool_call", "message", "function_call_output", "custom_tool_call_output"):
        out.setdefault("status", "completed")
    return out


def _normal_content(content: Any, role: str) -> list[JsonObject]:
    kind = "output_text" if role == "assistant" else "input_text"
    parts = [{"type": kind, "text": content}] if isinstance(content, str) else content
    return [_whole(part) for part in parts]


def _whole(part: JsonObject) -> JsonObject:
    if part["type"] == "output_text":
        return {"annotations": [], "logprobs": [], **part}
    return {"detail": "auto", **part} if part["type"] == "input_image" else part


def _digest(salt: str, number: int) -> str:
    return hashlib.blake2b(f"{salt}:{number}".encode(), digest_size=16).hexdigest()
