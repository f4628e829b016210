"""Images, documents and sound as Gemini parts: inline base64, or a place Gemini itself can read."""

from urllib.parse import urlsplit

from tenfold.core.chat import AudioPart, FilePart, ImagePart, JsonObject
from tenfold.core.errors import InvalidRequest, UnsupportedParameter

_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "csv": "text/csv",
    "json": "application/json",
    "xml": "text/xml",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "webm": "video/webm",
}
_AUDIO = {"mpeg": "audio/mp3", "pcm16": "audio/pcm", "opus": "audio/ogg"}
_FILES_API = "https://generativelanguage.googleapis.com/v1beta/"
_HOSTED = ("files/", _FILES_API + "files/")


def image(part: ImagePart, where: str) -> JsonObject:
    if part.data is not None:
        return _inline(part.data, part.media_type, where)
    return _at(part.url, part.media_type, where)


def document(part: FilePart, where: str) -> JsonObject:
    if part.data is not None:
        return _inline(part.data, part.media_type or _type_of(part.name), where)
    if part.file_id is None:
        return _at(part.url, part.media_type or _type_of(part.name), where)
    if not part.file_id.startswith(_HOSTED):
        raise UnsupportedParameter(
            f"The file {part.file_id!r} is not kept by Gemini: send its content as base64, or an https URL.",
            param=where,
        )
    uri = part.file_id if part.file_id.startswith("https:") else _FILES_API + part.file_id
    return _reference(uri, part.media_type or _type_of(part.name))


def audio(part: AudioPart) -> JsonObject:
    kind = _AUDIO.get(part.format) or _TYPES.get(part.format) or f"audio/{part.format}"
    return {"inlineData": {"mimeType": kind, "data": part.data}}


def _inline(data: str, media_type: str | None, where: str) -> JsonObject:
    if media_type is None:
        raise InvalidRequest("Inline media needs its media type.", param=where)
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _at(url: str | None, media_type: str | None, where: str) -> JsonObject:
    """Gemini fetches https URLs itself (since January 2026; not its 2.0 models, which say so)."""
    if url is None:
        raise InvalidRequest("Media needs data or a URL.", param=where)
    if not url.startswith(("https://", "gs://")):
        raise UnsupportedParameter("Gemini fetches media from https URLs only: send it as base64 instead.", param=where)
    return _reference(url, media_type or _type_of(urlsplit(url).path))


def _reference(uri: str, media_type: str | None) -> JsonObject:
    return {"fileData": ({"mimeType": media_type} if media_type else {}) | {"fileUri": uri}}


def _type_of(name: str | None) -> str | None:
    return _TYPES.get(name.rpartition(".")[2].lower()) if name else None
