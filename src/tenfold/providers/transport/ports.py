"""The seam of the transport: what a provider may ask of whoever moves its bytes."""

from typing import Protocol

from tenfold.providers.ports import Exchange, Headers
from tenfold.providers.transport.headers import PreparedHeaders
from tenfold.providers.transport.types import Timeouts


class Transport(Protocol):
    """HTTP to one origin. `path` (with query) is appended to the path of the origin's base URL.

    Both calls return once the reply head is there, whatever its status; redirects are not followed. They raise
    UpstreamUnavailable, UpstreamTimeout, UpstreamError (a reply that is not HTTP) and InvalidHeader. A per-call
    header takes the place of a prepared one of the same name; per-call `timeouts` replace the deadlines of the
    reply (first byte, between bytes, total), not those of connecting.
    """

    def prepared(self, headers: Headers) -> PreparedHeaders:
        """Headers that many requests share, encoded once. Raises InvalidHeader."""
        ...

    async def post(
        self,
        path: str,
        headers: Headers,
        body: bytes,
        *,
        prepared: PreparedHeaders | None = None,
        timeouts: Timeouts | None = None,
    ) -> Exchange: ...

    async def get(
        self,
        path: str,
        headers: Headers,
        *,
        prepared: PreparedHeaders | None = None,
        timeouts: Timeouts | None = None,
    ) -> Exchange: ...

    async def aclose(self) -> None:
        """Close every connection; exchanges under way fail."""
        ...
