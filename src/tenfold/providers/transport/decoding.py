"""Content codings an upstream applied though identity was asked for: gzip and deflate, a bounded piece at a time."""

import zlib

from tenfold.core.errors import UpstreamError

PIECE_BYTES = 64 * 1024  # most that one call gives, whatever the ratio of the coding is

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS


def decoder_for(coding: bytes, host: str) -> "BodyDecoder | None":
    """None for identity. Raises UpstreamError for a coding that cannot be undone."""
    name = coding.strip().lower()
    if name in (b"", b"identity"):
        return None
    if name in (b"gzip", b"x-gzip", b"deflate"):
        return BodyDecoder(host, gzip=name != b"deflate")
    raise UpstreamError(f"{host} sent a body in a content coding that was not asked for", kind="malformed_reply")


class BodyDecoder:
    """Push what arrived, pull until nothing comes. Memory: what was pushed and one piece."""

    def __init__(self, host: str, *, gzip: bool) -> None:
        self._host = host
        self._gzip = gzip
        self._stream = zlib.decompressobj(_GZIP) if gzip else None
        self._input = b""
        self._started = False

    def push(self, block: bytes) -> None:
        self._input += block
        self._started = True

    def pull(self) -> bytes:
        """The next piece, b"" when more input is needed. Raises UpstreamError."""
        stream = self._stream
        if stream is None:
            if len(self._input) < 2:
                return b""
            stream = self._stream = zlib.decompressobj(_deflate_window(self._input))
        while self._input:
            if stream.eof:
                if not self._gzip:
                    raise self._malformed()
                stream = self._stream = zlib.decompressobj(_GZIP)  # the next member, RFC 1952 section 2.2
            try:
                piece = stream.decompress(self._input, PIECE_BYTES)
            except zlib.error as error:
                raise self._malformed() from error
            self._input = stream.unused_data if stream.eof else stream.unconsumed_tail
            if piece:
                return piece
        # A full piece may have left output inside zlib with no input over; it comes with the next call.
        try:
            return b"" if stream.eof else stream.decompress(b"", PIECE_BYTES)
        except zlib.error as error:
            raise self._malformed() from error

    def check_complete(self) -> None:
        """At the end of the body. Raises UpstreamError when the coded stream is not whole; an empty body is."""
        if self._started and (self._input or self._stream is None or not self._stream.eof):
            raise self._malformed()

    def _malformed(self) -> UpstreamError:
        coding = "gzip" if self._gzip else "deflate"
        return UpstreamError(f"{self._host} sent a body that is not valid {coding}", kind="malformed_reply")


def _deflate_window(start: bytes) -> int:
    """Some servers send bare DEFLATE for "deflate", which means the zlib format (RFC 9110, section 8.4.1.2)."""
    is_zlib = start[0] & 0x0F == 8 and int.from_bytes(start[:2], "big") % 31 == 0
    return _ZLIB if is_zlib else _RAW_DEFLATE
