"""Request heads: what may stand in one, and the constant part encoded once. Refuses anything that could end a line."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from tenfold.core.errors import InvalidRequest
from tenfold.providers.ports import Headers

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # token of RFC 9110, section 5.6.2
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")  # field-value of RFC 9110, section 5.5, folding refused
_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*")  # origin-form, no fragment

_KNOWN_NAMES = 256  # whose check is remembered

# The transport's own business: framing, connection control, and where the request goes.
_OWNED = frozenset(
    (
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"te",
        b"trailer",
        b"upgrade",
        b"expect",
        b"keep-alive",
        b"accept-encoding",
        b"proxy-authorization",
        b"proxy-connection",
    )
)


class InvalidHeader(InvalidRequest):
    """A header or path that cannot be sent. The message names the header, never its value."""


@dataclass(frozen=True, slots=True)
class PreparedHeaders:
    """Headers that are the same for many requests, encoded. They hold keys: neither shown nor logged."""

    block: bytes = field(repr=False)  # whole lines, CRLF included
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    names: frozenset[bytes]

    @classmethod
    def of(cls, fixed: Headers, headers: Headers) -> "PreparedHeaders":
        """`fixed` come from the transport and are not checked. Raises InvalidHeader."""
        lines = b"".join(b"%b: %b\r\n" % pair for pair in fixed) + encode(headers)
        return cls(lines, (*fixed, *headers), frozenset(name.lower() for name, _ in headers))

    def without(self, names: Iterable[bytes]) -> bytes:
        """The block less the headers of these names."""
        drop = frozenset(names)
        return b"".join(b"%b: %b\r\n" % pair for pair in self.headers if pair[0].lower() not in drop)


def encode(headers: Headers) -> bytes:
    """Header lines. Raises InvalidHeader."""
    lines = []
    for name, value in headers:
        lines.append(_line_start(name))
        if not _VALUE.fullmatch(value):
            raise InvalidHeader(f"the header {name.decode('ascii').lower()} holds a control character")
        lines += (value, b"\r\n")
    return b"".join(lines)


@lru_cache(_KNOWN_NAMES)
def _line_start(name: bytes) -> bytes:
    if not _NAME.fullmatch(name):
        raise InvalidHeader("a header has a name that is not a token")
    if name.lower() in _OWNED:
        raise InvalidHeader(f"the header {name.decode('ascii').lower()} is set by the transport")
    return name + b": "


def encode_target(path: str) -> bytes:
    """The path with its query, as it stands in the request line. Raises InvalidHeader."""
    if not _TARGET.fullmatch(path):
        raise InvalidHeader("the request path must begin with / and hold printable ASCII only")
    return path.encode("ascii")
