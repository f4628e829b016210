"""Content blocks of the Messages API to canonical parts, and back; shared by the upstream wire and the client dialect.

What a part has no word for travels in its `native`, and a whole block of an unknown kind in an OpaquePart.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Any

import msgspec

from tenfold.core.chat import (
    AudioPart,
    FilePart,
    ImagePart,
    JsonObject,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from tenfold.core.errors import InvalidRequest, UnsupportedParameter

DIALECT = "anthropic"
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
INVALID_JSON = "INVALID_JSON"  # the wrapper the vendor documents for arguments a model left unfinished

_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")


def native(members: JsonObject) -> OpaquePart | None:
    """What only this dialect knows; None when there is nothing."""
    return OpaquePart(dialect=DIALECT, value=members) if members else None


def own(part: OpaquePart | None) -> JsonObject:
    """The members that came from this dialect."""
    return part.value if part is not None and part.dialect == DIALECT else {}


def _rest(block: JsonObject, *known: str) -> OpaquePart | None:
    return native({key: value for key, value in block.items() if key not in known})


# -- block to part -----------------------------------------------------------------------------


def decode_content(content: Any) -> list[Part]:
    """A string, or a list of blocks; None counts as empty."""
    if content is None:
        return []
    if isinstance(content, str):
        return [TextPart(text=content)]
    return [decode_block(block) for block in content]


def decode_block(block: JsonObject) -> Part:
    """Never raises on a block that is an object: what does not have the known form stays opaque."""
    decode = _DECODERS.get(block.get("type", ""))
    part = decode(block) if decode is not None else None
    return part if part is not None else OpaquePart(dialect=DIALECT, value=block)


def _text(block: JsonObject) -> Part | None:
    if not isinstance(text := block.get("text"), str):
        return None
    return TextPart(
        text=text,
        cache_control=block.get("cache_control"),
        citations=block.get("citations") or None,
        native=_rest(block, "type", "text", "cache_control", "citations"),
    )


def _image(block: JsonObject) -> Part | None:
    source = block.get("source")
    kept: JsonObject = {
        "cache_control": block.get("cache_control"),
        "native": _rest(block, "type", "source", "cache_control"),
    }
    match source:
        case {"type": "url", "url": str(url)}:
            return ImagePart(url=url, **kept)
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            return ImagePart(media_type=media_type, data=data, **kept)
    return None


def _document(block: JsonObject) -> Part | None:
    title = block.get("title")
    if title is not None and not isinstance(title, str):
        return None
    kept: JsonObject = {
        "name": title,
        "cache_control": block.get("cache_control"),
        "native": _rest(block, "type", "source", "title", "cache_control"),
    }
    match block.get("source"):
        case {"type": "url", "url": str(url)}:
            return FilePart(url=url, **kept)
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            return FilePart(media_type=media_type, data=data, **kept)
        case {"type": "text", "media_type": str(media_type), "data": str(data)}:
            return FilePart(media_type=media_type, data=b64encode(data.encode()).decode(), **kept)
        case {"type": "file", "file_id": str(file_id)}:
            return FilePart(file_id=file_id, **kept)
    return None


def _thinking(block: JsonObject) -> Part | None:
    text, signature = block.get("thinking"), block.get("signature")
    if not isinstance(text, str) or not isinstance(signature, str | None) or block.keys() - _THINKING_KEYS:
        return None
    return ThinkingPart(text=text, signature=signature)


def _redacted(block: JsonObject) -> Part | None:
    data = block.get("data")
    return ThinkingPart(redacted=data) if isinstance(data, str) and len(block) == 2 else None


def _tool_use(block: JsonObject) -> Part | None:
    signature = block.get("signature")
    match block:
        case {"id": str(id_), "name": str(name), "input": dict(arguments)}:
            return ToolCallPart(
                id=id_,
                name=name,
                arguments=msgspec.json.encode(arguments).decode(),
                cache_control=block.get("cache_control"),
                signature=signature if isinstance(signature, str) else None,
                native=_rest(block, "type", "id", "name", "input", "cache_control", "signature"),
            )
    return None


def _tool_result(block: JsonObject) -> Part | None:
    content = block.get("content")
    if not isinstance(call_id := block.get("tool_use_id"), str):
        return None
    if not (content is None or isinstance(content, str) or _all_objects(content)):
        return None
    return ToolResultPart(
        call_id=call_id,
        content=decode_content(content),
        is_error=block.get("is_error") is True,
        cache_control=block.get("cache_control"),
        native=_rest(block, "type", "tool_use_id", "content", "is_error", "cache_control"),
    )


def _all_objects(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(block, dict) for block in content)


_THINKING_KEYS = {"type", "thinking", "signature"}
_DECODERS = {
    "text": _text,
    "image": _image,
    "document": _document,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}

# -- part to block -----------------------------------------------------------------------------


def encode_part(part: Part) -> JsonObject | None:
    """The block of a part; None for what has no meaning upstream. Raises UnsupportedParameter."""
    match part:
        case TextPart():
            return _marked({"type": "text", "text": part.text, **_citations(part)}, part)
        case RefusalPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return _marked({"type": "image", "source": _image_source(part)}, part)
        case FilePart():
            title = {} if part.name is None else {"title": part.name}
            return _marked({"type": "document", "source": _document_source(part), **title}, part)
        case ThinkingPart():
            return _encode_thinking(part)
        case ToolCallPart():
            call = {"type": "tool_use", "id": call_id(part.id), "name": part.name, "input": arguments(part.arguments)}
            return _marked(call, part)
        case ToolResultPart():
            return _marked(_encode_result(part), part)
        case OpaquePart():
            return _encode_opaque(part)
        case AudioPart():
            raise UnsupportedParameter("Claude models take no audio input; send a transcript.", param="messages")


def encode_content(parts: list[Part]) -> list[JsonObject]:
    """Blocks of a message. Blank texts are left out, as the API refuses them."""
    blocks = (encode_part(part) for part in parts)
    return [block for block in blocks if block is not None and not _is_blank(block)]


def plain(blocks: list[JsonObject]) -> str | list[JsonObject]:
    """The short form: the string a single bare text block stands for."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} and blocks[0]["type"] == "text":
        text: str = blocks[0]["text"]
        return text
    return blocks


def call_id(raw: str) -> str:
    """A tool call id in the letters the API allows; the same in a call and in its result."""
    return _NOT_IN_AN_ID.sub("_", raw)


def arguments(text: str) -> JsonObject:
    """Arguments as the object the API wants; unfinished JSON is shown to the model as what it is."""
    if not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {INVALID_JSON: text}
    return value if isinstance(value, dict) else {INVALID_JSON: text}


def _marked(block: JsonObject, part: TextPart | ImagePart | FilePart | ToolCallPart | ToolResultPart) -> JsonObject:
    if part.cache_control is not None:
        block["cache_control"] = part.cache_control
    block.update(own(part.native))
    return block


def _citations(part: TextPart) -> JsonObject:
    """Only Anthropic's own: other vendors' annotations have another form."""
    if part.citations and all("cited_text" in citation for citation in part.citations):
        return {"citations": part.citations}
    return {}


def _is_blank(block: JsonObject) -> bool:
    text = block.get("text")
    return block.get("type") == "text" and isinstance(text, str) and not text.strip() and "citations" not in block


def _encode_thinking(part: ThinkingPart) -> JsonObject | None:
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    if not part.signature:
        return None  # the API takes back only thinking it signed
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _encode_result(part: ToolResultPart) -> JsonObject:
    block: JsonObject = {"type": "tool_result", "tool_use_id": call_id(part.call_id)}
    if part.content:
        blocks = [block for block in (encode_part(inner) for inner in part.content) if block is not None]
        if len(blocks) > 1:
            blocks = [block for block in blocks if not _is_blank(block)] or blocks[:1]
        block["content"] = plain(blocks)
    if part.is_error:
        block["is_error"] = True
    return block


def _encode_opaque(part: OpaquePart) -> JsonObject:
    if part.dialect != DIALECT:
        kind = part.value.get("type", "unknown")
        raise UnsupportedParameter(
            f"A content part of type {kind!r} is known to {part.dialect} models only.", param="messages"
        )
    return part.value


def _image_source(part: ImagePart) -> JsonObject:
    if part.data is not None:
        media_type = (part.media_type or "image/png").lower().replace("image/jpg", "image/jpeg")
        if media_type not in IMAGE_TYPES:
            raise UnsupportedParameter(
                f"Claude models read images of type {', '.join(IMAGE_TYPES)}, not {media_type}.", param="messages"
            )
        return {"type": "base64", "media_type": media_type, "data": part.data}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    raise UnsupportedParameter("An image needs a URL or base64 data.", param="messages")


def _document_source(part: FilePart) -> JsonObject:
    if part.file_id is not None:
        if part.file_id.startswith("file-"):  # OpenAI's; Anthropic's begin with file_
            raise UnsupportedParameter(
                f"The file {part.file_id!r} is stored at another provider; send its content as base64.",
                param="messages",
            )
        return {"type": "file", "file_id": part.file_id}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.data is None:
        raise UnsupportedParameter("A file needs a URL, base64 data or a file id.", param="messages")
    media_type = _media_type(part, part.data)
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": part.data}
    if media_type.startswith("text/") or media_type in ("application/json", "application/xml"):
        return {"type": "text", "media_type": "text/plain", "data": _decoded(part.data)}
    raise UnsupportedParameter(f"Claude models read PDF and text files, not {media_type}.", param="messages")


def _media_type(part: FilePart, data: str) -> str:
    if part.media_type:
        return part.media_type.partition(";")[0].strip().lower()
    if data.startswith("JVBERi0") or (part.name or "").lower().endswith(".pdf"):  # "%PDF-" in base64
        return "application/pdf"
    if (part.name or "").lower().endswith((".txt", ".md", ".csv", ".json", ".xml", ".html")):
        return "text/plain"
    return "application/octet-stream"


def _decoded(data: str) -> str:
    try:
        return b64decode(data, validate=True).decode()
    except (Base64Error, UnicodeDecodeError) as error:
        raise InvalidRequest("A text file's data is not base64 of UTF-8 text.", param="messages") from error
