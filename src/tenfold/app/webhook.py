"""A webhook endpoint: events posted to it, signed after Standard Webhooks 1.0.0. Its caller tries again, if anybody."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tenfold.core.clock import Clock
from tenfold.core.errors import UpstreamError
from tenfold.providers.transport import InvalidOrigin, Origin, Timeouts, Transport

_PREFIX = "whsec_"
_KEY_BYTES = (24, 64)

TIMEOUTS = Timeouts(connect_s=5, acquire_s=5, first_byte_s=20, between_bytes_s=5, total_s=25)
"""The specification recommends to give a receiver 15 to 30 s."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where events go and what they are signed with."""

    origin: Origin
    target: str  # path and query
    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, url: str, secret: str) -> "Endpoint":
        """Raises ValueError saying what is wrong, without the secret."""
        parts = urlsplit(url)
        try:
            origin = Origin.parse(f"{parts.scheme}://{parts.netloc}")
        except InvalidOrigin as error:
            raise ValueError(str(error).replace("the base URL", "the URL")) from None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not target.isascii() or not target.isprintable() or " " in target:
            raise ValueError("the URL holds characters that must be percent-encoded")
        return cls(origin=origin, target=target, key=signing_key(secret))


class Webhook:
    def __init__(self, transport: Transport, endpoint: Endpoint, clock: Clock) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._clock = clock

    async def post(self, event_id: str, body: bytes) -> str | None:
        """None when the receiver has taken it (2xx), else in words why not. Redirects are not followed."""
        at = int(self._clock.now().timestamp())
        headers = [
            (b"content-type", b"application/json"),
            (b"webhook-id", event_id.encode("ascii")),
            (b"webhook-timestamp", str(at).encode()),
            (b"webhook-signature", signature(self._endpoint.key, event_id, at, body).encode()),
        ]
        try:
            exchange = await self._transport.post(self._endpoint.target, headers, body, timeouts=TIMEOUTS)
            await exchange.read()
        except UpstreamError as error:
            return error.message
        return None if 200 <= exchange.status < 300 else f"it answered {exchange.status}"


def signature(key: bytes, event_id: str, at: int, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 over `{id}.{timestamp}.{body}`."""
    digest = hmac.new(key, f"{event_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def signing_key(secret: str) -> bytes:
    """The key behind `whsec_<base64>`. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    least, most = _KEY_BYTES
    if not secret.startswith(_PREFIX) or not least <= len(key) <= most:
        raise ValueError(
            f"a webhook secret is whsec_ and {least} to {most} random bytes in base64; "
            'make one with: echo "whsec_$(openssl rand -base64 32)"'
        )
    return key
