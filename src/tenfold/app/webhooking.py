"""Webhooks put together: for a serving process, for a worker, for the console, and for a command."""

from tenfold.providers.transport import Timeouts
from tenfold.providers.transport.egress import Answer, GuardedClient
from tenfold.webhooks.types import MAX_REPLY_BYTES

TIMEOUT_S = 15.0


class GuardedSender:
    """Implements webhooks.ports.Sender. Standard Webhooks recommends to give a receiver 15 to 30 s."""

    def __init__(self, client: GuardedClient, *, timeout_s: float = TIMEOUT_S) -> None:
        self._client = client
        self._timeouts = Timeouts(
            connect_s=5, acquire_s=5, first_byte_s=timeout_s, between_bytes_s=5, total_s=timeout_s + 5
        )

    async def check(self, url: str) -> None:
        """See `Sender.check`."""
        await self._client.check(url)

    async def post(self, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Answer:
        """See `Sender.post`."""
        return await self._client.post(url, headers, body, timeouts=self._timeouts, most_bytes=MAX_REPLY_BYTES)
