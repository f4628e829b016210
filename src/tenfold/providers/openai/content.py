"""Content parts of a message: OpenAI's objects to canonical parts and back. Both sides of the gateway use it."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any

from tenfold.core.chat import (
    AudioPart,
    FilePart,
    ImagePart,
    JsonObject,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
)
from tenfold.core.errors import UnsupportedParameter
from tenfold.providers.openai.facts import UpstreamFacts

DIALECT = "openai"

_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+);base64,")


def native(members: JsonObject) -> OpaquePart | None:
    """Members only this dialect has, to go back to it unchanged."""
    return OpaquePart(dialect=DIALECT, value=members) if members else None


def native_members(part: OpaquePart | None) -> JsonObject:
    """The members kept by `native`; nothing of another dialect's."""
    return part.value if part is not None and part.dialect == DIALECT else {}


def rest_of(value: JsonObject, *known: str) -> JsonObject:
    """The members of `value` that are not `known`."""
    return {name: member for name, member in value.items() if name not in known}


# -- from the wire ---------------------------------------------------------------------------


def decode_content(content: object) -> list[Part]:
    """Of a message whose types were checked: a string, a list of parts, or None."""
    if isinstance(content, str):
        return [TextPart(text=content)]
    return [decode_part(part) for part in content] if isinstance(content, list) else []


def decode_part(part: JsonObject) -> Part:
    """Types that are not OpenAI's, and parts that are not as OpenAI has them, stay opaque."""
    kind = part.get("type")
    body = part.get(kind) if isinstance(kind, str) else None
    if kind == "text" and isinstance(body, str):
        return TextPart(
            text=body,
            cache_control=_object(part.get("cache_control")),
            native=native(rest_of(part, "type", "text")),
        )
    if kind == "image_url" and isinstance(body, str | dict):
        return _decode_image(part, {"url": body} if isinstance(body, str) else body)
    if kind == "input_audio" and isinstance(body, dict):
        data, form = body.get("data"), body.get("format")
        if isinstance(data, str) and isinstance(form, str):
            return AudioPart(data=data, format=form)
    if kind == "file" and isinstance(body, dict):
        return _decode_file(part, body)
    if kind == "refusal" and isinstance(body, str):
        return RefusalPart(text=body)
    return OpaquePart(dialect=DIALECT, value=part)


def _decode_image(part: JsonObject, image: JsonObject) -> Part:
    url, detail = image.get("url"), image.get("detail")
    if not isinstance(url, str):
        return OpaquePart(dialect=DIALECT, value=part)
    media_type, data = split_data_url(url)
    return ImagePart(
        url=None if data is not None else url,
        media_type=media_type,
        data=data,
        detail=detail if isinstance(detail, str) else None,
        cache_control=_object(part.get("cache_control")),
        native=native(rest_of(part, "type", "image_url")),
    )


def _decode_file(part: JsonObject, file: JsonObject) -> Part:
    file_id, given, name = file.get("file_id"), file.get("file_data"), file.get("filename")
    media_type, data = split_data_url(given) if isinstance(given, str) else (None, None)
    is_url = isinstance(given, str) and given.startswith(("https://", "http://"))
    if not isinstance(file_id, str) and data is None and not is_url:
        return OpaquePart(dialect=DIALECT, value=part)
    return FilePart(
        url=given if is_url else None,
        media_type=media_type,
        data=data,
        file_id=file_id if isinstance(file_id, str) else None,
        name=name if isinstance(name, str) else None,
        cache_control=_object(part.get("cache_control")),
        native=native(rest_of(part, "type", "file")),
    )


def split_data_url(url: str) -> tuple[str | None, str | None]:
    """`data:image/png;base64,AAAA` -> ("image/png", "AAAA"); (None, None) for any other URL."""
    head = _DATA_URL.match(url)
    return (head["type"], url[head.end() :]) if head is not None else (None, None)


def _object(value: object) -> JsonObject | None:
    return value if isinstance(value, dict) else None


# -- to the wire -----------------------------------------------------------------------------


def encode_content(parts: Sequence[Part], facts: UpstreamFacts) -> str | list[JsonObject] | None:
    """A single plain text as a string, as most servers like it best; None when there is nothing to say."""
    values = [value for part in parts if (value := encode_part(part, facts)) is not None]
    if len(values) == 1 and values[0].keys() == {"type", "text"}:
        text: str = values[0]["text"]
        return text
    return values or None


def encode_part(part: Part, facts: UpstreamFacts) -> JsonObject | None:
    """None for parts that have no place in content. Raises UnsupportedParameter."""
    match part:
        case TextPart():
            return _dressed({"type": "text", "text": part.text}, part, facts)
        case ImagePart():
            return _dressed({"type": "image_url", "image_url": encode_image(part)}, part, facts)
        case FilePart():
            return _dressed(_encode_file(part, facts), part, facts)
        case AudioPart():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case RefusalPart():
            return {"type": "refusal", "refusal": part.text}
        case OpaquePart() if part.dialect == DIALECT:
            return part.value
    return None


def encode_image(part: ImagePart) -> JsonObject:
    url = part.url if part.data is None else f"data:{part.media_type or 'image/png'};base64,{part.data}"
    return {"url": url or ""} | ({"detail": part.detail} if part.detail is not None else {})


def _encode_file(part: FilePart, facts: UpstreamFacts) -> JsonObject:
    if part.file_id is not None:
        file: JsonObject = {"file_id": part.file_id}
    elif part.data is not None:
        if part.media_type is not None and part.media_type.startswith("text/"):
            return {"type": "text", "text": _text_of(part.data)}  # OpenAI takes only PDF as a file
        media_type = part.media_type or "application/pdf"
        file = {"filename": part.name or "document.pdf", "file_data": f"data:{media_type};base64,{part.data}"}
        return {"type": "file", "file": file}
    elif part.url is not None and facts.file_urls:
        file = {"file_data": part.url}
    else:
        raise UnsupportedParameter(
            "This upstream takes documents as base64 data, not by URL: send the file's content.", param="messages"
        )
    return {"type": "file", "file": file | ({"filename": part.name} if part.name is not None else {})}


def _text_of(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return data  # Anthropic's text documents hold the text itself


def _dressed(value: JsonObject, part: TextPart | ImagePart | FilePart, facts: UpstreamFacts) -> JsonObject:
    """With the caching mark, where it is known, and the members of this dialect."""
    marks: JsonObject = {}
    if part.cache_control is not None and facts.cache_control:
        marks["cache_control"] = part.cache_control
    return value | marks | native_members(part.native)


def text_of_parts(parts: list[Any]) -> str:
    """The texts of a list of wire parts, joined."""
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
