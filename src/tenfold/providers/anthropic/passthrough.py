"""A client's own Messages body with another model name: at the byte level where that is provably the same edit."""

import re

import msgspec
from msgspec import Raw

from tenfold.core.errors import InvalidRequest

_KEY = b'"model"'
_LEADING = re.compile(rb'\s*\{\s*"model"\s*:\s*"([^"\\]*)"')
_VALUE = re.compile(rb'"model"\s*:\s*"([^"\\]*)"')
_DECODER = msgspec.json.Decoder(dict[str, Raw])


def rename_model(body: bytes, model: str) -> bytes:
    """`body` is a JSON object, checked before, with one `model` at its top and no key twice. Raises InvalidRequest.

    The bytes `"model"` can only be a string of their own, or the tail of one after an escaped quotation mark. When
    they open the object they are its key. When they stand there once, and no letter of the word can hide behind an
    escape (all are \\u006x), that once is the key at the top, which is known to exist.
    """
    name = msgspec.json.encode(model)
    found = _LEADING.match(body)
    if found is None and body.count(_KEY) == 1 and b"\\u006" not in body:
        found = _VALUE.search(body)
    if found is not None:
        return body[: found.start(1) - 1] + name + body[found.end(1) + 1 :]
    try:
        members = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("The request body is not a JSON object.") from error
    members["model"] = Raw(name)
    return msgspec.json.encode(members)
