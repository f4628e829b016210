"""What a provider says afterwards that a call used, asked by the id its request carried. It knows no receipts.

The protocol, for providers, gateways and proxies that keep the figures: GET of the configured path answers 200 with
the usage in the dialect's own member, as in a whole reply (`{"usage": {...}}`, Gemini: `usageMetadata`), the sum of
everything billed under that id; or 404 with the error code `request_not_found`: no request of that id was ever served.
Every other answer, a bare 404 included, says nothing.
"""

from msgspec import DecodeError, Struct, ValidationError, json

from tenfold.core.errors import UpstreamError
from tenfold.core.usage import Usage
from tenfold.providers.ports import Wire
from tenfold.providers.transport import PreparedHeaders, Transport

REQUEST_ID = b"x-client-request-id"
"""Carries our id of a request to the provider: OpenAI documents it (ASCII, at most 512 characters, unique for each
request); others ignore it."""

DEADLINE = b"tenfold-deadline-ms"
"""Carries the milliseconds that are left of the call, to an upstream that is a Tenfold itself."""

NEVER_SERVED = "request_not_found"


def attempt_id(request_id: str, number: int) -> str:
    """The id that the attempt at a route's target `number` (from 0) carries: of each attempt the provider can be asked
    apart from the others."""
    return f"{request_id}-{number}" if number else request_id


class _Error(Struct):
    code: str | None = None


class _Missing(Struct):
    error: _Error


class UsageFacts:
    """`lookup`: a path under the provider's base URL with `{request_id}` in it."""

    def __init__(self, *, wire: Wire, transport: Transport, prepared: PreparedHeaders, lookup: str) -> None:
        self._wire = wire
        self._transport = transport
        self._prepared = prepared
        self._lookup = lookup

    async def usage(self, request_id: str) -> Usage | None:
        """None: the provider never served it, so it bills nothing. Raises UpstreamError: it does not say (yet)."""
        path = self._lookup.replace("{request_id}", request_id)
        exchange = await self._transport.get(path, [], prepared=self._prepared)
        try:
            body = await exchange.read()
        finally:
            exchange.abort()
        if exchange.status == 200:
            usage = self._wire.usage_of_reply(body)
            if usage is None:
                raise UpstreamError("answered a usage lookup without usage", status=502, kind="malformed_reply")
            return usage
        if exchange.status == 404 and _says_never_served(body):
            return None
        if exchange.status < 400:
            raise UpstreamError(f"answered a usage lookup with {exchange.status}", status=502)
        raise self._wire.decode_error(exchange.status, exchange.headers, body)


def _says_never_served(body: bytes) -> bool:
    """A 404 for any other reason, a wrong path above all, must not make a call free."""
    try:
        return json.decode(body, type=_Missing).error.code == NEVER_SERVED
    except (DecodeError, ValidationError):
        return False
