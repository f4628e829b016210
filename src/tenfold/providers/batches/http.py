"""What the vendors' batch tiers share: requests whose reply is read whole, and replies of a line for each result."""

from collections.abc import AsyncGenerator
from typing import TypeVar

from msgspec import DecodeError, ValidationError
from msgspec.json import Decoder

from tenfold.core.errors import UpstreamError
from tenfold.providers.ports import Headers, Wire
from tenfold.providers.transport import PreparedHeaders, Transport

Kind = TypeVar("Kind")

MAX_LINE_BYTES = 64 * 1024 * 1024


class Channel:
    """Requests to one provider with its key."""

    def __init__(self, *, wire: Wire, transport: Transport, prepared: PreparedHeaders) -> None:
        self._wire = wire
        self._transport = transport
        self._prepared = prepared

    async def get(self, path: str) -> bytes:
        """Raises UpstreamError for a status that is no success."""
        return await self._whole(path, None, [])

    async def post(self, path: str, body: bytes, headers: Headers | None = None) -> bytes:
        """The same."""
        return await self._whole(path, body, headers or [])

    async def lines(self, path: str) -> AsyncGenerator[bytes, None]:
        """The lines of a reply that may be large, empty ones left out. Raises as `get`."""
        exchange = await self._transport.get(path, [], prepared=self._prepared)
        try:
            if exchange.status >= 300:
                raise self._wire.decode_error(exchange.status, exchange.headers, await exchange.read())
            rest = b""
            async for block in exchange.blocks():
                *whole, rest = (rest + block).split(b"\n")
                for line in whole:
                    if line.strip():
                        yield line
                if len(rest) > MAX_LINE_BYTES:
                    raise malformed("a result that is too large")
            if rest.strip():
                yield rest
        finally:
            exchange.abort()

    async def _whole(self, path: str, body: bytes | None, headers: Headers) -> bytes:
        if body is None:
            exchange = await self._transport.get(path, headers, prepared=self._prepared)
        else:
            exchange = await self._transport.post(path, headers, body, prepared=self._prepared)
        try:
            reply = await exchange.read()
        finally:
            exchange.abort()
        if exchange.status >= 300:
            raise self._wire.decode_error(exchange.status, exchange.headers, reply)
        return reply


def malformed(what: str) -> UpstreamError:
    """A good status with something that cannot be used."""
    return UpstreamError(f"The provider's batch tier sent {what}.", status=502, kind="malformed_reply")


def read_json(decoder: "Decoder[Kind]", body: bytes) -> Kind:
    """Raises UpstreamError."""
    try:
        return decoder.decode(body)
    except (DecodeError, ValidationError, UnicodeDecodeError) as error:
        raise malformed("something that cannot be read") from error
