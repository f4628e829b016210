"""A webhook endpoint: events posted to it, signed after Standard Webhooks 1.0.0. Its caller tries again, if anybody."""

from dataclasses import dataclass, field

from tenfold.core.clock import Clock
from tenfold.core.errors import UpstreamError
from tenfold.providers.transport import Origin, Timeouts, Transport
from tenfold.providers.transport.origin import split_url
from tenfold.webhooks.signing import signed_headers, signing_key

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
        origin, target = split_url(url)
        return cls(origin=origin, target=target, key=signing_key(secret))


class Webhook:
    def __init__(self, transport: Transport, endpoint: Endpoint, clock: Clock) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._clock = clock

    async def post(self, event_id: str, body: bytes) -> str | None:
        """None when the receiver has taken it (2xx), else in words why not. Redirects are not followed."""
        at = int(self._clock.now().timestamp())
        headers = signed_headers([self._endpoint.key], event_id, at, body)
        try:
            exchange = await self._transport.post(self._endpoint.target, headers, body, timeouts=TIMEOUTS)
            await exchange.read()
        except UpstreamError as error:
            return error.message
        return None if 200 <= exchange.status < 300 else f"it answered {exchange.status}"
