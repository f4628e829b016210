"""An upstream over HTTP: a wire dialect on a transport, with the provider's key. It holds no rules about calls."""

from tenfold.core.errors import UpstreamError
from tenfold.providers.batches.http import Channel
from tenfold.providers.facts import UsageFacts
from tenfold.providers.ports import Exchange, Headers, Wire, WireRequest
from tenfold.providers.transport import PreparedHeaders, Transport

_SHARED: Headers = [(b"content-type", b"application/json"), (b"accept", b"*/*")]


class HttpProvider:
    """`check_path`: what a GET with the key answers when all is well. `usage_lookup`: see `providers.facts`; `facts` is
    None where the provider does not tell."""

    def __init__(
        self,
        name: str,
        wire: Wire,
        transport: Transport,
        api_key: str | None,
        check_path: str,
        usage_lookup: str | None = None,
    ) -> None:
        self.name = name
        self.wire = wire
        self._transport = transport
        self._check_path = check_path
        self._prepared: PreparedHeaders = transport.prepared([*_SHARED, *wire.request_headers(api_key)])
        self.facts: UsageFacts | None = None
        if usage_lookup is not None:
            self.facts = UsageFacts(wire=wire, transport=transport, prepared=self._prepared, lookup=usage_lookup)

    def channel(self) -> Channel:
        """For the provider's batch tier."""
        return Channel(wire=self.wire, transport=self._transport, prepared=self._prepared)

    async def send(self, request: WireRequest, headers: Headers) -> Exchange:
        return await self._transport.post(request.path, headers, request.body, prepared=self._prepared)

    async def check(self) -> str:
        exchange = await self._transport.get(self._check_path, [], prepared=self._prepared)
        try:
            body = await exchange.read()
        finally:
            exchange.abort()
        if exchange.status >= 300:
            raise self.wire.decode_error(exchange.status, exchange.headers, body)
        if not body.lstrip().startswith((b"{", b"[")):
            raise UpstreamError("answered something that is not JSON; is base_url right?", status=502)
        return f"reachable, GET {self._check_path} answered {exchange.status}"

    async def aclose(self) -> None:
        await self._transport.aclose()
