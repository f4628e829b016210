"""A `Transport` on aiohttp: the reference that the contract suite of the transport holds our own client against."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
from yarl import URL

from tenfold.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.ports import Headers
from tenfold.providers.transport import Origin, PreparedHeaders, Timeouts


class AiohttpExchange:
    def __init__(self, response: aiohttp.ClientResponse, max_body_bytes: int) -> None:
        self.status = response.status
        self.headers: Headers = [(name.lower(), value) for name, value in response.raw_headers]
        self._response = response
        self._max_body_bytes = max_body_bytes

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    async def read(self) -> bytes:
        body = b""
        async for block in self.blocks():
            body += block
            if len(body) > self._max_body_bytes:
                self.abort()
                raise UpstreamError("the body is too large", kind="reply_too_large")
        return body

    async def blocks(self) -> AsyncIterator[bytes]:
        try:
            with _typed_errors():
                async for block in self._response.content.iter_any():
                    yield block
        finally:
            self.abort()

    def abort(self) -> None:
        self._response.close()  # no-op for a complete reply


class AiohttpTransport:
    def __init__(self, origin: Origin, *, timeouts: Timeouts, max_body_bytes: int) -> None:
        self._origin = origin
        self._max_body_bytes = max_body_bytes
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(),
            timeout=aiohttp.ClientTimeout(
                total=timeouts.total_s, sock_connect=timeouts.connect_s, sock_read=timeouts.between_bytes_s
            ),
            auto_decompress=False,
            skip_auto_headers=("Content-Type",),
        )

    def prepared(self, headers: Headers) -> PreparedHeaders:
        return PreparedHeaders.of([], headers)

    async def post(
        self,
        path: str,
        headers: Headers,
        body: bytes,
        *,
        prepared: PreparedHeaders | None = None,
        timeouts: Timeouts | None = None,
    ) -> AiohttpExchange:
        return await self._exchange("POST", path, headers, body, prepared)

    async def get(
        self,
        path: str,
        headers: Headers,
        *,
        prepared: PreparedHeaders | None = None,
        timeouts: Timeouts | None = None,
    ) -> AiohttpExchange:
        return await self._exchange("GET", path, headers, None, prepared)

    async def aclose(self) -> None:
        await self._session.close()

    async def _exchange(
        self, method: str, path: str, headers: Headers, body: bytes | None, prepared: PreparedHeaders | None
    ) -> AiohttpExchange:
        pairs = [*(prepared.headers if prepared else ()), *headers]
        with _typed_errors():
            response = await self._session.request(
                method,
                URL(f"{self._origin}{path}", encoded=True),
                data=body,
                headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs],
                allow_redirects=False,
            )
        return AiohttpExchange(response, self._max_body_bytes)


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise UpstreamTimeout("aiohttp ran into a deadline") from error
    except aiohttp.ClientResponseError as error:
        raise UpstreamError("the reply is not valid HTTP", kind="malformed_reply") from error
    except (aiohttp.ClientError, RuntimeError) as error:  # RuntimeError: the session was closed meanwhile
        raise UpstreamUnavailable(type(error).__name__) from error
